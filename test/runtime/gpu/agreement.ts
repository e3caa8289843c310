// Question: does a GPU compute a case as the reference does, forward and all gradients, and the same bits twice?

import { expect } from "vitest";
import type { Program, Runtime } from "../../../src/runtime/runtime.ts";
import type { OperationCase } from "../../ops/case.ts";
import { type BuiltCase, relativeError } from "../../ops/harness.ts";

/**
 * Run a case's program twice, release it, and compare what it gives.
 *
 * @param expected the outputs of the reference
 * @param tolerance of every output, relative to its largest value. Default: the case's own
 */
export async function expectAgreement(
  runtime: Runtime,
  program: Program<BuiltCase["outputs"]>,
  { inputs, outputs }: BuiltCase,
  expected: Readonly<Record<string, ArrayLike<number>>>,
  operationCase: OperationCase,
  tolerance?: number,
): Promise<void> {
  const { forward = 1e-5, gradient = 1e-4 } = operationCase.tolerance ?? {};
  for (const [tensor, values] of inputs) runtime.write(tensor, values);
  const names = Object.keys(outputs);
  program.run();
  const once = await Promise.all(names.map((name) => program.read(name)));
  program.run();
  const again = await Promise.all(names.map((name) => program.read(name)));
  program.release();
  expect(again).toEqual(once);
  for (const [at, name] of names.entries()) {
    const allowed = tolerance ?? (name.startsWith("gradient") ? gradient : forward);
    expect(relativeError(once[at]!, expected[name]!), name).toBeLessThan(allowed);
  }
}
