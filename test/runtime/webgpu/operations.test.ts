// Every operation on WebGPU against the float64 reference, forward and all gradients, and the same bits twice.

import { afterAll, beforeAll, describe, test } from "vitest";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { cases } from "../../ops/cases/all.ts";
import { buildCase, runCase } from "../../ops/harness.ts";
import { expectAgreement } from "../gpu/agreement.ts";
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
      await expectAgreement(runtime, program, built, expected, operationCase);
    },
  );
});
