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

  // The first all-reduce makes the communicator, and all ranks take part in it.
  test.skipIf(!isThere || !machine).each([
    [
      "does not come is named by those that wait",
      "absent",
      {},
      /rank [01] after \d\.\d s: allReduce: rank 2 did not answer within 1 s/,
    ],
    ["is killed is named", "killed", {}, /No answer from rank 2\.|rank 2 (\(process \d+ on|has ended before)/],
    [
      "hears an error of NCCL says so",
      "refused",
      { BIRKHOFF_FAKE_CUDA_FAIL: "ncclAllReduce:6:1" },
      /nccl: allReduce, rank \d of 3: another rank has ended or cannot be reached: its call returned 6 \(ncclRemoteError\)/,
    ],
  ] as const)("a rank that %s", { timeout: SECONDS }, async (_name, what, environment, message) => {
    const started = performance.now();
    const ended = await runRanks(carrier, 3, what, environment);
    expect((performance.now() - started) / 1000).toBeLessThan(20);
    expect(ended.map(({ said }) => said).join("")).toMatch(message);
    for (const { code } of ended) expect(code).not.toBe(0);
  });
});
