// CUDA's own kernels at shapes of their own, and every operation in bfloat16, against the reference that rounds at the same
// points, forward and all gradients, and the same bits twice; on the machine that plays a GPU.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CudaRuntime, createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { ancestors } from "../../../src/graph/tensor.ts";
import { toBfloat16Operation } from "../../../src/ops/bfloat16.ts";
import { type ComputePrecision, inPrecision, programInPrecision } from "../../../src/runtime/precision.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { OperationCase } from "../../ops/case.ts";
import { cases } from "../../ops/cases/all.ts";
import { buildCase, runCase } from "../../ops/harness.ts";
import { expectAgreement } from "../gpu/agreement.ts";
import { float8Apart, float8Cases, ownCases, wideCases } from "./own-cases.ts";
import { fakeMachine } from "./machine/build.ts";

const machine = await fakeMachine();

const operationOf = ({ name }: OperationCase): string => name.split(" ")[0]!;
const rounds = (operationCase: OperationCase): boolean => {
  const { outputs } = programInPrecision({ outputs: buildCase(operationCase).outputs }, "bfloat16");
  return ancestors(Object.values(outputs)).some(({ op }) => (op as unknown) === toBfloat16Operation);
};
/** Operations that have kernels of CUDA's own, all of whose cases are run. */
const own = new Set(["attention", "streamRead", "streamWrite", "streamProjection", "manifoldCoefficients"]);
/** Of each other operation that rounds at all, the last two cases. */
const chosen = [...Map.groupBy(cases, operationOf)].flatMap(([operation, ofOperation]) => {
  const rounding = ofOperation.filter(rounds);
  return own.has(operation) ? rounding : rounding.slice(-2);
});

/** Of the largest value. Rounding by the other way where float32 and float64 differ moves a value by 2^-8 of its own. */
const TOLERANCE = 2 ** -6;

const runs: readonly (readonly [ComputePrecision, OperationCase])[] = [
  ...[...ownCases, ...float8Cases, float8Apart].map((each) => ["float32", each] as const),
  ...[...ownCases, ...chosen].map((each) => ["bfloat16", each] as const),
];

/** Compare with the reference, and with itself once more. */
async function check(runtime: CudaRuntime, precision: ComputePrecision, operationCase: OperationCase): Promise<void> {
  const built = buildCase(operationCase);
  const expected = runCase(inPrecision(createReferenceRuntime(), precision), built);
  const program = inPrecision(runtime, precision).compile({ outputs: built.outputs });
  const tolerance = precision === "float32" ? undefined : TOLERANCE;
  await expectAgreement(runtime, program, built, expected, operationCase, tolerance);
}

/** Whether a program makes codes of 8 bits. */
function makesCodes(runtime: CudaRuntime, operationCase: OperationCase): boolean {
  const program = runtime.compile({ outputs: buildCase(operationCase).outputs });
  const found = program.plan!.calls.some(({ kernel }) => kernel === "float8Codes");
  program.release();
  return found;
}

describe.skipIf(!machine)("by CUDA", { timeout: 120_000 }, () => {
  let runtime: CudaRuntime;
  beforeAll(async () => void (runtime = await createCudaRuntime()));
  afterAll(() => runtime.close());

  test.each(runs.map(([precision, { name }], at) => [precision, name, at] as const))(
    "%s: %s",
    async (precision, _, at) => {
      await check(runtime, precision, runs[at]![1]);
    },
  );

  test("factors of 8 bits are multiplied as such", () => {
    for (const each of float8Cases) expect(makesCodes(runtime, each), each.name).toBe(true);
    expect(makesCodes(runtime, float8Apart)).toBe(false);
  });
});

describe.skipIf(!machine)("by CUDA, on a GPU with 99 KiB of shared memory for a group", { timeout: 120_000 }, () => {
  let runtime: CudaRuntime;
  beforeAll(async () => {
    machine!.setDriver(13000, 86);
    runtime = await createCudaRuntime();
  });
  afterAll(() => {
    runtime.close();
    machine!.reset();
  });

  test.each(
    [
      ...wideCases.flatMap((each) => (["float32", "bfloat16"] as const).map((precision) => [precision, each] as const)),
      // This GPU has no products of 8 bits: the rounded factors are multiplied as bfloat16.
      ...[float8Cases[1]!, float8Cases[4]!].map((each) => ["float32", each] as const),
    ].map(([precision, each]) => [precision, each.name, each] as const),
  )("%s: %s", async (precision, _, operationCase) => {
    expect(runtime.gpu.sharedBytes).toBe(99 * 1024);
    expect(makesCodes(runtime, operationCase)).toBe(false);
    await check(runtime, precision, operationCase);
  });
});
