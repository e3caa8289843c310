// Question: which charts does the page draw, in which order?
//
// Those of the table of scalars that have a place, and the time of a step, which follows from the speed.

import type { CurveScalar } from "../../../src/training/scalars.ts";
import { type CurveName, curves } from "../../../src/training/scalars.ts";

export interface ChartLook {
  readonly name: CurveName | "stepTime";
  readonly title: string;
  /** What the values are, for the vertical axis. */
  readonly unit: string;
  readonly logarithmic: boolean;
  readonly smooth: boolean;
  /** Whether the chart is left out while no chosen run has a value. */
  readonly optional: boolean;
  readonly place: number;
}

const always: ReadonlySet<string> = new Set(["loss", "validationLoss", "gradientNorm", "learningRate"]);

const lookOf = ({ curve, field }: CurveScalar): ChartLook => ({
  name: curve.name,
  title: field.title,
  unit: curve.note ?? field.unit ?? "",
  logarithmic: curve.logarithmic ?? false,
  smooth: curve.smooth ?? false,
  optional: !always.has(curve.name),
  place: curve.place!,
});

export const charts: readonly ChartLook[] = [
  ...curves.filter(({ curve }) => curve.place !== undefined).map(lookOf),
  {
    name: "stepTime",
    title: "Time of a step",
    unit: "s",
    logarithmic: false,
    smooth: true,
    optional: true,
    place: 9,
  } as const,
].sort((a, b) => a.place - b.place);
