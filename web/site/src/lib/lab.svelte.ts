// Question: which logits lie in the laboratory of figure 4, and where did they come from?
//
// The figure itself changes them, and so does the gallery of the paper's matrices.

import * as published from "../../../../src/report/paper-figures.ts";
import { randomLogits } from "../maths/normalise.ts";

/** The paper prints two digits: a printed 0 is anything below this. */
const HALF_DIGIT = 0.005;

/** A matrix that Figure 8 of the paper prints with all its entries. */
export interface Printed {
  readonly kind: "hc" | "mhc";
  readonly name: string;
  readonly matrix: readonly number[];
}

/** Those of the matrices of Figure 8 whose entries are known here. */
export const printed: readonly Printed[] = (["hc", "mhc"] as const).flatMap((kind) =>
  published.figure8[kind].flatMap(({ name, matrix }) => (matrix ? [{ kind, name, matrix }] : [])),
);

/** Logits whose exponentials are a matrix of mixing; what it prints as nothing gets half its last digit. */
const logitsOf = (matrix: readonly number[]): number[] => matrix.map((value) => Math.log(Math.max(value, HALF_DIGIT)));

interface Lab {
  /** [16], before they are multiplied by the size. */
  base: number[];
  size: number;
  /** Normalisations that are shown: 0 is exp(L), 1 the first of columns, 2 the first of rows, … */
  step: number;
  from: string;
}

export const FIRST_SEED = 11;
export const lab: Lab = $state({ base: [...randomLogits(FIRST_SEED, 4)], size: 2, step: 0, from: "random" });

/** Put numbers into the laboratory, and begin again. */
export function load(base: readonly number[], from: string, size = 1): void {
  lab.base = [...base];
  lab.size = size;
  lab.step = 0;
  lab.from = from;
}

/** HC's matrices are numbers without a constraint, as logits are; of mHC's the logarithms are taken. */
export function loadPrinted({ kind, name, matrix }: Printed): void {
  load(kind === "hc" ? matrix : logitsOf(matrix), `${kind === "hc" ? "HC" : "mHC"} ${name}`);
}
