// Question: what do the live page and its server say to each other?
//
// The tables of fields (training/scalars.ts), which the page and the server share, say which curves there are and how
// they are drawn. JSON cannot express numbers that are not finite: in lists they are sent as null.

import type { RankPace } from "../../training/stragglers.ts";
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
  /** Kind of connection, as "mhc"; "mixed" where sublayers differ, "net" for a network of the user's own. */
  readonly connection: string;
  /** Preset, or layers × width. */
  readonly size: string;
  readonly state: RunState;
  readonly step: number;
  readonly steps: number | null;
  /** Training loss, the mean of the last records; null where the last one is not finite. */
  readonly loss: number | null;
  /** The last that was measured, nats a token, and the same in bits a byte. */
  readonly validationLoss: number | null;
  readonly bitsPerByte: number | null;
  /** Median of the last records. */
  readonly tokensPerSecond: number | null;
  /** Seconds of its own steps. */
  readonly seconds: number | null;
  /** Seconds until its last step, by the clock; null unless it trains and was seen to. */
  readonly secondsLeft: number | null;
  /** The step of its newest checkpoint. */
  readonly saved: number | null;
  readonly seed: number | null;
  /** The same for runs that differ in nothing but the seed. */
  readonly family: string;
  /** Whether it has a mixture of experts. */
  readonly experts: boolean;
  /** Of a training that several processes share: how each of them went on lately; else none. */
  readonly ranks: readonly RankPace[];
  /** Whether it is a network of one's own, whose loss has a unit of its own. */
  readonly net: boolean;
  /** Tokens that one step trains on; null where the configuration does not tell. */
  readonly tokensPerStep: number | null;
  /** When it began, in milliseconds since 1970. */
  readonly begun: number;
  /** The tags that the user has given. */
  readonly tags: readonly string[];
  /** Whether the stop and checkpoint buttons reach it. */
  readonly controlled: boolean;
  readonly alarms: number;
  /** One line that says what is wrong with the folder. */
  readonly problem: string | null;
}

export interface Points {
  readonly step: readonly number[];
  /** null for a recorded value that is not finite: the line has a gap there. */
  readonly value: readonly (number | null)[];
}

/** Seconds of training at some steps. */
export interface Clock {
  readonly step: readonly number[];
  readonly value: readonly number[];
}

/** Smallest and largest value of every interval of steps, and the means of the intervals if not all points fit. */
export interface Series extends Points {
  readonly mean?: Points;
}

export interface Curves {
  readonly run: string;
  /** The positions up to which the files have been read: live records continue from there. */
  readonly cursor: string;
  readonly series: Readonly<Record<CurveName, Series>>;
  /** The seconds of training, to be interpolated. */
  readonly clock: Clock;
}

/** null if it was not recorded. */
export type LiveValue = number | "not finite" | null;

/** Values of one step: [step, seconds, then one for each curve in the order of `curves`]. */
export type LiveRow = readonly [step: number, seconds: number | null, ...values: LiveValue[]];

/** The messages of a stream of events. */
export interface LiveRecords {
  readonly run: string;
  readonly rows: readonly LiveRow[];
  /** The files were replaced (a resumed run went back): fetch the curves again. */
  readonly reset: boolean;
  /** Samples or alarms were added. */
  readonly texts: boolean;
}

export interface LiveCards {
  readonly cards: readonly RunCard[];
  readonly removed: readonly string[];
  /** Whether these are all runs. The first message of a stream has all of them, also after a reconnection. */
  readonly whole: boolean;
}

export const gainKinds = ["compositeBackward", "compositeForward", "singleBackward", "singleForward"] as const;
export type GainKind = (typeof gainKinds)[number];

/** Gains of every sublayer that mixes streams: one column per step, one entry per sublayer. */
export interface GainMaps {
  readonly run: string;
  readonly step: readonly number[];
  readonly maps: Readonly<Record<GainKind, readonly (readonly (number | null)[])[]>>;
  /** Positions of the sublayers in the network. */
  readonly sublayers: readonly number[];
  /** Steps at which the mixing matrices were recorded; none in runs of older versions. */
  readonly mixingSteps: readonly number[];
}

/** Token means of H_res at one step, [n²] row-major, one for each sublayer. */
export interface Mixing {
  readonly step: number;
  readonly sublayers: readonly number[];
  readonly mixing: readonly (readonly (number | null)[])[];
}

/** How the tokens spread over the experts: for each step, layer and expert its load over the mean of the layer. */
export interface ExpertLoads {
  readonly run: string;
  readonly step: readonly number[];
  readonly shares: readonly (readonly (readonly (number | null)[])[])[];
}

/** The lowest validation loss of a run. */
export interface BestValidation {
  readonly step: number;
  readonly validationLoss: number;
  readonly bitsPerByte: number | null;
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

/** What the page shows of one run in addition to its curves. */
export interface RunTexts {
  readonly run: string;
  readonly samples: readonly SampleText[];
  readonly events: readonly EventLine[];
  readonly checkpoints: readonly number[];
  /** The configuration with paths as names: "optimizer.clip" → "1". */
  readonly config: Readonly<Record<string, string>>;
  readonly versions: Readonly<Record<string, string>>;
  /** What resumes have changed, a line each: "after step 100: steps from 100 to 200". */
  readonly changes: readonly string[];
}

export type ControlAction = "stop" | "checkpoint";

export interface ControlRequest {
  readonly action: ControlAction;
  /** Only this run; else all that train beside the server. */
  readonly run?: string;
}
