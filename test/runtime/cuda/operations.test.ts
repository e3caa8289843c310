// Every operation by CUDA against the float64 reference, forward and all gradients, and the same bits twice; on the
// machine that plays a GPU.

import { afterAll, beforeAll, describe, test } from "vitest";
import { type CudaRuntime, createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Program } from "../../../src/runtime/runtime.ts";
import { cases } from "../../ops/cases/all.ts";
import type { OperationCase } from "../../ops/case.ts";
import { type BuiltCase, buildCase, runCase } from "../../ops/harness.ts";
import { expectAgreement } from "../gpu/agreement.ts";
import { fakeMachine } from "./machine/build.ts";

const machine = await fakeMachine();

describe.skipIf(!machine)("by CUDA", { timeout: 120_000 }, () => {
  let runtime: CudaRuntime;
  // All are compiled together, which takes fewer starts of the compiler.
  interface Compiled {
    readonly built: BuiltCase;
    readonly program: Program<BuiltCase["outputs"]>;
  }
  const programs = new Map<string, Compiled>();
  const build = (operationCase: OperationCase): Compiled => {
    const built = buildCase(operationCase);
    return { built, program: runtime.compile({ outputs: built.outputs }) };
  };
  beforeAll(async () => {
    runtime = await createCudaRuntime();
    for (const operationCase of cases) programs.set(operationCase.name, build(operationCase));
    await runtime.finish();
  }, 300_000);
  afterAll(() => runtime.close());

  test.each(cases.map((operationCase) => [operationCase.name, operationCase] as const))(
    "%s",
    async (_name, operationCase) => {
      const { built, program } = programs.get(operationCase.name) ?? build(operationCase);
      const expected = runCase(createReferenceRuntime(), built);
      await expectAgreement(runtime, program, built, expected, operationCase);
    },
  );
});
