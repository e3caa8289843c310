// Every operation by CUDA against the float64 reference, forward and all gradients, and the same bits twice; on the
// machine that plays a GPU.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CudaRuntime, createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { cases } from "../../ops/cases/all.ts";
import { buildCase, relativeError, runCase } from "../../ops/harness.ts";
import { fakeMachine } from "./machine/build.ts";

const machine = await fakeMachine();

describe.skipIf(!machine)("by CUDA", { timeout: 120_000 }, () => {
  let runtime: CudaRuntime;
  beforeAll(async () => void (runtime = await createCudaRuntime()));
  afterAll(() => runtime.close());

  test.each(cases.map((operationCase) => [operationCase.name, operationCase] as const))(
    "%s",
    async (_name, operationCase) => {
      const built = buildCase(operationCase);
      const expected = runCase(createReferenceRuntime(), built);
      const program = runtime.compile({ outputs: built.outputs });
      for (const [tensor, values] of built.inputs) runtime.write(tensor, values);
      const names = Object.keys(built.outputs);
      program.run();
      const once = await Promise.all(names.map((name) => program.read(name)));
      program.run();
      const again = await Promise.all(names.map((name) => program.read(name)));
      program.release();
      expect(again).toEqual(once);
      for (const [at, name] of names.entries()) {
        const tolerance = name.startsWith("gradient")
          ? (operationCase.tolerance?.gradient ?? 1e-4)
          : (operationCase.tolerance?.forward ?? 1e-5);
        expect(relativeError(once[at]!, expected[name]!), name).toBeLessThan(tolerance);
      }
    },
  );
});
