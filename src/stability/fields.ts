// Question: how is a recorded value described for all code that stores, reads, shows and exports it?
//
// There is one entry per field, in two tables: stability/instruments.ts (measurements of the streams) and
// training/records.ts (what every step and every alarm records). An entry gives the field's name, unit and shape,
// what its values belong to, and where it is shown: as single numbers (curves of the page and the report, tags of
// TensorBoard, metrics of Prometheus), as columns in a terminal, as panels of the report. The types of records,
// docs/instruments.md and docs/interop.md follow from the tables.

import type { GainPair } from "./gains.ts";

/** Norms of a group of parameters, and of the step's update to them. */
export interface GroupNorms {
  /** Euclidean norm of the group's gradients, before clipping. */
  readonly gradient: number;
  /** Euclidean norm of its values before the update. */
  readonly weight: number;
  /** Euclidean norm of the update, divided by `weight`. */
  readonly update: number;
}

/** What a field may hold. Every number may be NaN or infinite, and a run that went wrong shows it in its records. */
export interface Shapes {
  readonly number: number;
  /** A whole number, from 0. */
  readonly count: number;
  readonly text: string;
  readonly counts: readonly number[];
  readonly list: readonly number[];
  /** Numbers, with null where a value is missing. */
  readonly gaps: readonly (number | null)[];
  /** Lists of at least one number. */
  readonly vectors: readonly (readonly number[])[];
  /** Square matrices, [n²] row-major. */
  readonly matrices: readonly (readonly number[])[];
  /** Two lists of the same length. */
  readonly pair: GainPair;
  readonly groups: Readonly<Record<string, GroupNorms>>;
  /** What a run did after an alarm. */
  readonly action: "continue" | "stop" | "rollback";
  readonly rollback: { readonly step: number; readonly rateFactor: number };
}

/** The name of a shape. */
export type Shape = keyof Shapes;

/** How a field with one number per step is drawn over the steps. */
export interface CurveLook {
  readonly name: string;
  /** Shown in place of the field's unit; distinguishes fields with the same title. */
  readonly note?: string;
  /** Whether the axis is logarithmic at first. */
  readonly logarithmic?: boolean;
  /** Whether it is noisy enough to be smoothed. */
  readonly smooth?: boolean;
  /** Its place among the charts of the page, from 1; without a place it is sent but not drawn. */
  readonly place?: number;
}

/** A metric of Prometheus; labels distinguish several numbers of one name. */
export interface PrometheusName {
  readonly name: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** One number that a field has at a step, and where it is shown. */
export interface ScalarField {
  /** Which list of a pair. */
  readonly part?: keyof GainPair;
  /** Which value of a list; of vectors the largest ratio of a vector's largest value to its mean. */
  readonly take?: "largest" | "smallest" | "imbalance";
  readonly curve?: CurveLook;
  readonly tensorboard?: string;
  readonly prometheus?: PrometheusName;
}

/** A column of the tables in a terminal; neighbours with the same head share a column. */
export interface Column {
  readonly table: "maps" | "streams" | "blocks";
  readonly head: string;
  /** The number of decimals; "small" for numbers near zero, "plain" for numbers that may be near zero. */
  readonly digits: number | "small" | "plain";
}

/** A panel of a figure of the report: the values by sublayer at the last measured step. */
export interface ProfilePanel {
  readonly figure: "saturation" | "stream-use" | "mixing-strength";
  readonly logarithmic?: boolean;
  /** Ends of the axis; it starts at zero by default. */
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
  /** What the field is, for the documentation: one line of Markdown. */
  readonly about: string;
  readonly shape: Shape;
  /** Set if every record has the field. */
  readonly always?: true;
  /** What its values belong to: the sublayers that mix streams, or all sublayers of the network. */
  readonly of?: "mixing" | "all";
  readonly scalars?: readonly ScalarField[];
  /** A pair may have one column for each list. */
  readonly column?: Column | { readonly forward: Column; readonly backward: Column };
  readonly profile?: ProfilePanel;
  /** Names of columns of a CSV table, where the value is an object with fields. */
  readonly csv?: Readonly<Record<string, string>>;
}

/** Fields by their names. */
export type Table = Readonly<Record<string, Field>>;

/** A table whose names are known. */
export type TableOf<T extends Table> = Table & { readonly [K in keyof T]: Field };

/** The names of the fields that every record has. */
type Always<T extends Table> = { [K in keyof T]: T[K] extends { readonly always: true } ? K : never }[keyof T];

/** The type of a record with these fields. */
export type Recorded<T extends Table> = {
  readonly [K in keyof Pick<T, Always<T>>]: Shapes[T[K]["shape"]];
} & {
  readonly [K in keyof Omit<T, Always<T>>]?: Shapes[T[K]["shape"]];
};
