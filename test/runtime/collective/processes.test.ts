// The contract of collectives over processes: by MPI, by TCP, and between GPUs by NCCL. The GPUs and the NCCL are the
// machine that plays them (test/runtime/cuda/machine), whose NCCL really moves values from process to process.

import { describe, expect, test } from "vitest";
import { fakeMachine } from "../cuda/machine/build.ts";
import { contract, gpuContract } from "./contract.ts";
import { hasMpi, runRanks } from "./ranks.ts";

const machine = await fakeMachine();
const SECONDS = 90_000;
const carriers = ["mpi", "tcp"] as const;
const sizes = [2, 4];

describe.each(carriers)("%s", (carrier) => {
  const isThere = carrier === "tcp" || hasMpi;

  test.skipIf(!isThere).each(sizes)("%d processes keep the contract", { timeout: SECONDS }, async (size) => {
    const ended = await runRanks(carrier, size, "contract");
    const said = ended.map((each) => each.said).join("");
    for (const name of Object.keys(contract)) expect(said).toContain(`holds: ${name}\n`);
    for (const { code } of ended) expect(code).toBe(0);
  });

  test.skipIf(!isThere || !machine).each(sizes)(
    "the GPUs of %d processes keep the contract by NCCL",
    { timeout: SECONDS },
    async (size) => {
      const ended = await runRanks(carrier, size, "gpus");
      const said = ended.map((each) => each.said).join("");
      for (const name of [...Object.keys(contract), ...Object.keys(gpuContract)])
        expect(said).toContain(`holds: ${name}\n`);
      for (const { code } of ended) expect(code).toBe(0);
    },
  );
});
