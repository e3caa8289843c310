// Every operation on WebGPU against the float64 reference, forward and all gradients, and the same bits twice.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { cases } from "../../ops/cases/all.ts";
import { buildCase, relativeError, runCase } from "../../ops/harness.ts";
import { hasWebgpu } from "./here.ts";

const here = await hasWebgpu();

describe.skipIf(!here)("on WebGPU", { timeout: 120_000 }, () => {
  let runtime: WebgpuRuntime;
  beforeAll(async () => void (runtime = await createWebgpuRuntime()));
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
