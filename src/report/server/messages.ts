// Question: what do the live page and its server say to each other?
//
// Which curves there are, and how they are drawn, is said in the tables of fields (training/scalars.ts), which
// the page and the server share. JSON has no word for numbers that are not finite: in lists they travel as null.

import type { CurveName } from "../../training/scalars.ts";

/** training: a process holds the folder; stopped: it can be resumed; diverged: it cannot as it is. */
export type RunState = "training" | "finished" | "stopped" | "diverged";

/** A run as the list shows it. */
export interface RunCard {
  /** Path from the root, with slashes; "." when the root itself is the run. */
  readonly id: string;
  readonly name: string;
  /** Path of the folder around it, "" at the root. */
  readonly group: string;
  /** Kind of connection, as "mhc"; "mixed" where sublayers differ. */
  readonly connection: string;
  /** Preset, or layers × width. */
  readonly size: string;
  readonly state: RunState;
  readonly step: number;
  readonly steps: number | null;
  readonly loss: number | null;
  readonly validationLoss: number | null;
  readonly tokensPerSecond: number | null;
  readonly seconds: number | null;
  /** Tokens that one step trains on; null where the configuration does not tell. */
  readonly tokensPerStep: number | null;
  /** When it began, in milliseconds since 1970. */
  readonly begun: number;
  /** Written by the user. */
  readonly tags: readonly string[];
  /** Whether the stop and checkpoint buttons reach it. */
  readonly controlled: boolean;
  readonly alarms: number;
  /** One line when the folder is not as it should be. */
  readonly problem: string | null;
}

export interface Points {
  readonly step: readonly number[];
  /** null where something was recorded that is not finite: the line has a gap there. */
  readonly value: readonly (number | null)[];
}

/** Seconds of training at some steps. */
export interface Clock {
  readonly step: readonly number[];
  readonly value: readonly number[];
}

/** Smallest and largest value of every stretch of steps; means of the stretches where there are more than fit. */
export interface Series extends Points {
  readonly mean?: Points;
}

export interface Curves {
  readonly run: string;
  /** Up to where the files have been read: live records go on from there. */
  readonly cursor: string;
  readonly series: Readonly<Record<CurveName, Series>>;
  /** To be interpolated. */
  readonly clock: Clock;
}

/** null: not recorded. */
export type LiveValue = number | "not finite" | null;

/** Values of one step: [step, seconds, then one a curve in the order of `curves`]. */
export type LiveRow = readonly [step: number, seconds: number | null, ...values: LiveValue[]];

/** What a stream of events carries. */
export interface LiveRecords {
  readonly run: string;
  readonly rows: readonly LiveRow[];
  /** The files were replaced (a resumed run went back): fetch the curves anew. */
  readonly reset: boolean;
  /** Samples or alarms were added. */
  readonly texts: boolean;
}

export interface LiveCards {
  readonly cards: readonly RunCard[];
  readonly removed: readonly string[];
  /** These are all runs there are: the first message of a stream, also of one that goes on. */
  readonly whole: boolean;
}

export const gainKinds = ["compositeBackward", "compositeForward", "singleBackward", "singleForward"] as const;
export type GainKind = (typeof gainKinds)[number];

/** Gains of every sublayer that mixes streams: one column a step, one entry a sublayer. */
export interface GainMaps {
  readonly run: string;
  readonly step: readonly number[];
  readonly maps: Readonly<Record<GainKind, readonly (readonly (number | null)[])[]>>;
  /** Positions of the sublayers in the network. */
  readonly sublayers: readonly number[];
  /** Steps at which the mixing matrices were recorded; none in runs of older versions. */
  readonly mixingSteps: readonly number[];
}

/** Token means of H_res at one step, [n²] row-major, one a sublayer. */
export interface Mixing {
  readonly step: number;
  readonly sublayers: readonly number[];
  readonly mixing: readonly (readonly (number | null)[])[];
}

export interface SampleText {
  readonly step: number | null;
  readonly prompt: string;
  readonly text: string;
}

export interface EventLine {
  readonly step: number;
  readonly rule: string;
  readonly message: string;
  readonly action: string;
}

/** What the page shows of one run besides curves. */
export interface RunTexts {
  readonly run: string;
  readonly samples: readonly SampleText[];
  readonly events: readonly EventLine[];
  readonly checkpoints: readonly number[];
  /** The configuration with paths as names: "optimizer.clip" → "1". */
  readonly config: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
}

export type ControlAction = "stop" | "checkpoint";

export interface ControlRequest {
  readonly action: ControlAction;
  /** Only this run; else all that train beside the server. */
  readonly run?: string;
}
