// Question: in how many bits does a program compute?
//
// A precision is a policy of the graph: `inPrecision` rewrites a program, with its gradients and updates, before it is
// compiled. Machines know nothing of it. States stay float32, so that parameters, moments and checkpoints are the same
// in every precision.

import { expectName } from "../basics/fields.ts";
import { composed } from "../graph/compose.ts";
import { withoutIncluded } from "../graph/included.ts";
import { type Policy, withPolicy } from "../graph/precision.ts";
import type { Operation, Tensor } from "../graph/tensor.ts";
import { toBfloat16, toFloat32, toFloat32Operation } from "../ops/bfloat16.ts";
import { headCrossEntropyBackwardOperation, headCrossEntropyOperation } from "../ops/head-cross-entropy.ts";
import { float8Factor, ruleOf } from "../ops/precision.ts";
import { reshapeOperation } from "../ops/reshape.ts";
import { type Outputs, type ProgramSpec, resultsOf, withTensors } from "./program.ts";
import type { Runtime } from "./runtime.ts";

/**
 * How many bits values have. float32: everything. bfloat16: factors of products and all that is stored for each token,
 * with their gradients, have 8 significant bits; sums, statistics, coefficients, softmax, the loss, weights, moments
 * and the gradients of weights are float32. fp8: the same, and the factors of products with the network's weights have 4
 * significant bits, e4m3 with a scale for each block of 128 (docs/precision.md).
 */
export type ComputePrecision = "float32" | "bfloat16" | "fp8";

/** Every precision. */
export const computePrecisions: readonly ComputePrecision[] = ["float32", "bfloat16", "fp8"];

/** Operations with products within, whose factors are rounded. */
const roundsWithin: ReadonlySet<Operation> = new Set<Operation>([
  headCrossEntropyOperation,
  headCrossEntropyBackwardOperation,
]);

const bfloat16: Policy = {
  rule: ruleOf,
  isView: (op) => op === reshapeOperation,
  narrow: toBfloat16,
  widen: toFloat32,
  isWidened: ({ node }) => node.op === toFloat32Operation,
};

const policies: Readonly<Record<ComputePrecision, Policy | undefined>> = {
  float32: undefined,
  bfloat16,
  fp8: { ...bfloat16, factor: float8Factor },
};

/**
 * A program that computes the same in a precision.
 *
 * @param spec with the gradients that it needs
 * @returns the program itself for float32
 */
export function programInPrecision<O extends Outputs>(
  spec: ProgramSpec<O>,
  precision: ComputePrecision = "float32",
): ProgramSpec<O> {
  expectName("inPrecision", "precision", precision, computePrecisions);
  const policy = policies[precision];
  if (!policy) return spec;
  // What rounds within is taken apart before: a policy sees the operands of operations alone.
  const needed = withoutIncluded(resultsOf(spec));
  const apart = composed(resultsOf(spec).map(needed), { name: precision, has: (op) => !roundsWithin.has(op) });
  const rounded = withPolicy(resultsOf(spec).map(needed).map(apart), policy);
  const place = (tensor: Tensor): Tensor => rounded(apart(needed(tensor)));
  return {
    ...spec,
    outputs: withTensors(spec.outputs, place),
    updates: (spec.updates ?? []).map(([state, value]): [Tensor, Tensor] => [state, place(value)]),
    passing: (spec.passing ?? []).map(place),
  };
}

/**
 * The same runtime, for programs in a precision.
 *
 * @param precision "float32" changes nothing
 * @returns what compiles in this precision; all else is the runtime's own
 * @throws TypeError or RangeError for a precision that there is not
 */
export function inPrecision<R extends Pick<Runtime, "compile">>(
  runtime: R,
  precision: ComputePrecision = "float32",
): R {
  expectName("inPrecision", "precision", precision, computePrecisions);
  if (precision === "float32") return runtime;
  const compile: Runtime["compile"] = (spec) => runtime.compile(programInPrecision(spec, precision));
  return { ...runtime, compile };
}
