// Question: what are the values of tensors, in float64, for given inputs?
//
// For graphs that are evaluated once and thrown away: measurements of a connection, comparisons of weights.

import type { Tensor } from "../../graph/tensor.ts";
import { createReferenceRuntime } from "./runtime.ts";

/**
 * Evaluate a graph once by the oracle.
 *
 * @param inputs the values of the inputs and parameters behind the outputs
 * @returns the values of each output, row-major
 */
export function evaluate<O extends { readonly [K in keyof O]: Tensor }>(
  outputs: O,
  inputs: Iterable<readonly [input: Tensor, values: ArrayLike<number>]>,
): { [K in keyof O]: Float64Array } {
  const runtime = createReferenceRuntime();
  const named = new Map<string, Tensor>(Object.entries(outputs));
  const program = runtime.compile({ outputs: Object.fromEntries(named) });
  for (const [input, values] of inputs) runtime.write(input, values);
  program.run();
  const read = [...named.keys()].map((name) => [name, program.readNow(name)]);
  return Object.fromEntries(read) as { [K in keyof O]: Float64Array };
}
