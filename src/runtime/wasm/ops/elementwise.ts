// Question: how does the CPU do arithmetic element by element?

import {
  addOperation,
  affineOperation,
  curveBackwardOperations,
  curveOperations,
  divideOperation,
  multiplyOperation,
  subtractOperation,
} from "../../../ops/elementwise.ts";
import type { KernelName } from "../call.ts";
import { elementwise as cut, type Implementation } from "../implement.ts";
import { signatures } from "../signatures.ts";

/** Kernels with the arguments of exp: a curve has a kernel of its own name. */
type CurveKernel = {
  [K in KernelName]: (typeof signatures)[K] extends (typeof signatures)["exp"] ? K : never;
}[KernelName];
type SlopeKernel = {
  [K in KernelName]: (typeof signatures)[K] extends (typeof signatures)["expBackward"] ? K : never;
}[KernelName];

const none = (): object => ({});

export const elementwise: readonly Implementation[] = [
  ...curveOperations.map((op) => cut(op, op.name as CurveKernel, { inPlace: { y: "x" }, words: none })),
  // The gradient first, which usually dies here.
  ...curveBackwardOperations.map((op) =>
    cut(op, op.name as SlopeKernel, { inPlace: { dx: ["g", "saved"] }, words: none }),
  ),
  cut(affineOperation, "affine", { inPlace: { y: "x" }, words: (_, { factor, offset }) => ({ factor, offset }) }),
  cut(addOperation, "add", { inPlace: { y: ["b", "a"] }, words: none }),
  cut(subtractOperation, "subtract", { inPlace: { y: ["b", "a"] }, words: none }),
  cut(multiplyOperation, "multiply", { inPlace: { y: ["b", "a"] }, words: none }),
  cut(divideOperation, "divide", { inPlace: { y: ["b", "a"] }, words: none }),
];
