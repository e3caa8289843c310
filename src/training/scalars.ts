// Question: to which single numbers does a step's record come, and where is each shown?
//
// Derived from the tables of fields: the curves of the page, the tags of TensorBoard and the metrics of
// Prometheus are these numbers. Runs in a browser.

import type { CurveLook, Field, ScalarField } from "../stability/fields.ts";
import { extreme, imbalance } from "../stability/extremes.ts";
import { instrumentFields, type InstrumentTable } from "../stability/instruments.ts";
import { metricFields, type MetricTable } from "./records.ts";

/** One number of a step. */
export interface Scalar extends ScalarField {
  /** The file whose records hold it. */
  readonly file: "metrics.jsonl" | "gains.jsonl";
  readonly name: string;
  readonly field: Field;
  /** Undefined for a record that does not have it; NaN and the infinities are values. */
  read(record: Readonly<Record<string, unknown>>): number | undefined;
}

function scalarsOf(file: Scalar["file"], table: Readonly<Record<string, Field>>): Scalar[] {
  return Object.entries(table).flatMap(([name, field]) =>
    (field.scalars ?? []).map((scalar) => ({ ...scalar, file, name, field, read: reader(name, scalar) })),
  );
}

function reader(name: string, { part, take }: ScalarField): Scalar["read"] {
  return (record) => {
    const value = record[name];
    if (!take) return typeof value === "number" ? value : undefined;
    if (take === "imbalance") return imbalance(value);
    return extreme(part ? (value as Readonly<Record<string, unknown>> | undefined)?.[part] : value, take);
  };
}

/** All of them: those of every step, then those of the instruments. */
export const scalars: readonly Scalar[] = [
  ...scalarsOf("metrics.jsonl", metricFields),
  ...scalarsOf("gains.jsonl", instrumentFields),
];

type CurveNameIn<T> = {
  [K in keyof T]: T[K] extends { readonly scalars: readonly (infer S)[] }
    ? S extends { readonly curve: { readonly name: infer N } }
      ? N
      : never
    : never;
}[keyof T];

/** The name of a number that is drawn over the steps. */
export type CurveName = CurveNameIn<MetricTable> | CurveNameIn<InstrumentTable>;

/** A number that is drawn over the steps. */
export interface CurveScalar extends Omit<Scalar, "curve"> {
  readonly curve: CurveLook & { readonly name: CurveName };
}

/** The curves, in the order in which they travel to the page. */
export const curves: readonly CurveScalar[] = scalars.filter(
  (scalar): scalar is Scalar & CurveScalar => scalar.curve !== undefined,
);
