// Question: how is a value that a run records described, so that all that keep, read, show and export it need no more?
//
// One entry a field, in two tables: stability/instruments.ts (what is measured of the streams) and
// training/records.ts (what every step and every alarm leaves). An entry says what the field is called, its
// unit, its shape, whose values it holds, and where it is shown: as single numbers (curves of the page and the
// report, tags of TensorBoard, metrics of Prometheus), as columns in a terminal, as panels of the report. The
// types of records follow from the tables, and so do docs/instruments.md and docs/interop.md.

import type { GainPair } from "./gains.ts";

/** Norms of a group of parameters, and of what the step did to them. */
export interface GroupNorms {
  /** Euclidean norm of the group's gradients, before clipping. */
  readonly gradient: number;
  /** Euclidean norm of its values before the update. */
  readonly weight: number;
  /** Euclidean norm of the update, a share of `weight`. */
  readonly update: number;
}

/** What a field may hold. Every number may be NaN or infinite: a run that went wrong says so in its records. */
export interface Shapes {
  readonly number: number;
  /** Whole, from 0. */
  readonly count: number;
  readonly text: string;
  readonly counts: readonly number[];
  readonly list: readonly number[];
  /** null where there is nothing of the kind. */
  readonly gaps: readonly (number | null)[];
  /** Lists of at least one number. */
  readonly vectors: readonly (readonly number[])[];
  /** Square ones, [n²] row-major. */
  readonly matrices: readonly (readonly number[])[];
  /** Two lists of the same length. */
  readonly pair: GainPair;
  readonly groups: Readonly<Record<string, GroupNorms>>;
  /** Of an alarm after which a run went back. */
  readonly action: "continue" | "stop" | "rollback";
  readonly rollback: { readonly step: number; readonly rateFactor: number };
}

/** The name of a shape. */
export type Shape = keyof Shapes;

/** How one number a step is drawn over the steps. */
export interface CurveLook {
  readonly name: string;
  /** In place of the field's unit: what tells it from others of the same title. */
  readonly note?: string;
  /** Whether the axis is logarithmic at first. */
  readonly logarithmic?: boolean;
  /** Whether it is noisy enough to be smoothed. */
  readonly smooth?: boolean;
  /** Its place among the charts of the page, from 1; without one it is sent and not drawn. */
  readonly place?: number;
}

/** A metric of Prometheus; several numbers of one name are told apart by their labels. */
export interface PrometheusName {
  readonly name: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** One number that a field comes to at a step, and where it is shown. */
export interface ScalarField {
  /** Which list of a pair. */
  readonly part?: keyof GainPair;
  /** Which value of a list. */
  readonly take?: "largest" | "smallest";
  readonly curve?: CurveLook;
  readonly tensorboard?: string;
  readonly prometheus?: PrometheusName;
}

/** A column of the tables in a terminal; neighbours of one head share a column. */
export interface Column {
  readonly table: "maps" | "streams" | "blocks";
  readonly head: string;
  /** Decimals; "small" for what is near zero, "plain" for what may be. */
  readonly digits: number | "small" | "plain";
}

/** A panel of a figure of the report: the values by sublayer at the last measured step. */
export interface ProfilePanel {
  readonly figure: "saturation" | "stream-use" | "mixing-strength";
  readonly logarithmic?: boolean;
  /** Ends of the axis; from zero where not given. */
  readonly scale?: {
    readonly zero?: boolean;
    readonly domain?: readonly [number, number];
    readonly domainMin?: number;
  };
}

/** A field of a record. */
export interface Field {
  readonly title: string;
  readonly unit?: string;
  /** What it is, for the documentation: one line of Markdown. */
  readonly about: string;
  readonly shape: Shape;
  /** Every record has it. */
  readonly always?: true;
  /** What its values are of: the sublayers that mix streams, or all of the network. */
  readonly of?: "mixing" | "all";
  readonly scalars?: readonly ScalarField[];
  /** Of a pair, one column a list. */
  readonly column?: Column | { readonly forward: Column; readonly backward: Column };
  readonly profile?: ProfilePanel;
  /** Names of columns of a CSV table, where the value has fields of its own. */
  readonly csv?: Readonly<Record<string, string>>;
}

/** Fields by their names. */
export type Table = Readonly<Record<string, Field>>;

/** A table whose names are known. */
export type TableOf<T extends Table> = Table & { readonly [K in keyof T]: Field };

/** The names of the fields that every record has. */
type Always<T extends Table> = { [K in keyof T]: T[K] extends { readonly always: true } ? K : never }[keyof T];

/** What a record of these fields is. */
export type Recorded<T extends Table> = {
  readonly [K in keyof Pick<T, Always<T>>]: Shapes[T[K]["shape"]];
} & {
  readonly [K in keyof Omit<T, Always<T>>]?: Shapes[T[K]["shape"]];
};
