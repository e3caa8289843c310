// NCCL's interface as it is bound here, on two GPUs of one process that the test machine plays: types that no tensor has
// yet, where the library is looked for, and what is said when it, or a rank, is not as it must be.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { input } from "../../../src/graph/state.ts";
import type { Collective } from "../../../src/runtime/collective/collective.ts";
import { dataTypes, showVersion, SUM } from "../../../src/runtime/collective/nccl/abi.ts";
import { createCommunicator } from "../../../src/runtime/collective/nccl/communicator.ts";
import { joinGpus } from "../../../src/runtime/collective/nccl/join.ts";
import { NCCL_VARIABLE, type Nccl, openNccl } from "../../../src/runtime/collective/nccl/library.ts";
import { type CudaRuntime, createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { fakeMachine } from "../cuda/machine/build.ts";
import { gpuContract } from "./contract.ts";
import { createWorld, onAll } from "./world.ts";

const machine = await fakeMachine();

test("versions are told as NCCL's macro makes them", () => {
  expect(showVersion(23_007)).toBe("2.30.7");
  expect(showVersion(21_403)).toBe("2.14.3");
  expect(showVersion(2708)).toBe("2.7.8");
});

test.skipIf(!machine)("where there is none, it says where was looked and what to install", async () => {
  await expect(openNccl({ [NCCL_VARIABLE]: "/nowhere/libnccl.so.2" })).rejects.toThrow(
    /libnccl\.so\.2 cannot be opened \(\/nowhere\/libnccl\.so\.2: .*pip install nvidia-nccl-cu13.*BIRKHOFF_NCCL_LIBRARY/s,
  );
});

describe.skipIf(!machine)("two GPUs", () => {
  let runtimes: CudaRuntime[] = [];
  let nccl: Nccl;
  beforeAll(async () => {
    machine!.setDevices(2);
    runtimes = [await createCudaRuntime({ device: 0 }), await createCudaRuntime({ device: 1 })];
    nccl = await openNccl();
  });
  afterAll(() => {
    for (const runtime of runtimes) runtime.close();
    machine!.reset();
  });
  const ofRank = ({ rank }: Collective): CudaRuntime => runtimes[rank]!;

  test.each(Object.entries(gpuContract))("in one process: %s", async (_name, check) => {
    await onAll(createWorld(2), async (base) => {
      const { collective, leave } = await joinGpus(base, ofRank(base), "nccl");
      expect(collective.gpu!.library).toBe("NCCL 2.30.7");
      await check(collective.gpu!, ofRank(base), collective);
      await leave();
    });
  });

  const patterns = {
    f64: (values: readonly number[]) => new Int32Array(Float64Array.from(values).buffer),
    f32: (values: readonly number[]) => new Int32Array(Float32Array.from(values).buffer),
    i32: (values: readonly number[]) => Int32Array.from(values),
    // The upper halves of float32, for numbers that need no more.
    bf16: (values: readonly number[]) =>
      new Int32Array(
        Uint16Array.from(values, (value) => new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16).buffer,
      ),
  };
  test.each(Object.entries(dataTypes))("sums of %s", async (name, { code, bytes }) => {
    const bits = patterns[name as keyof typeof dataTypes];
    const own = [[1, 2, 3, -4], [0.5, 8, 1, 100].map((value) => (name === "i32" ? 10 * value : value))];
    await onAll(createWorld(2), async (base) => {
      const runtime = ofRank(base);
      const state = input(`bits ${name}`, [bytes], "i32");
      runtime.write(state, bits(own[base.rank]!));
      const communicator = createCommunicator(nccl, runtime.beside, base, 10);
      const at = runtime.beside.addressOf(state);
      await communicator
        .order("sum", (handle, stream) => nccl.call.ncclAllReduce(at, at, 4, code, SUM, handle, stream))
        .done();
      const sums = own[0]!.map((value, index) => value + own[1]![index]!);
      expect(await runtime.read(state)).toEqual(bits(sums));
      await communicator.close();
    });
  });

  test("marks are made again, whether anybody asks for the end of an operation or not", async () => {
    await onAll(createWorld(2), async (base) => {
      const runtime = ofRank(base);
      const { collective, leave } = await joinGpus(base, runtime, "nccl");
      const values = { state: input("marks", [4]) };
      const copy = { state: input("marks.copy", [4]) };
      const before = machine!.count("cuEventCreate");
      for (let round = 0; round < 40; round++) {
        for (let each = 0; each < 10; each++) {
          void collective.gpu!.copy([{ from: values, into: copy }]);
          void collective.gpu!.allReduce(values);
        }
        collective.gpu!.join();
        await runtime.read(values.state);
      }
      // Two marks for each of the orders that may be under way, on both ranks.
      expect(machine!.count("cuEventCreate") - before).toBeLessThan(2 * 2 * 100);
      await leave();
    });
  });

  test("ranks of one GPU, and ranks without one, are told why NCCL cannot be", async () => {
    const asked = (others: readonly unknown[]): Promise<string[]> =>
      onAll(createWorld(2), async (base) => {
        const runtime = others[base.rank] as CudaRuntime;
        return await joinGpus(base, runtime, "nccl").then(
          () => "nothing was thrown",
          (error: unknown) => (error as Error).message,
        );
      });
    for (const message of await asked([runtimes[0], runtimes[0]]))
      expect(message).toMatch(/ranks 0 and 1 have the same GPU, 0000:01:00\.0 of .*CUDA_VISIBLE_DEVICES/);
    for (const message of await asked([runtimes[0], createReferenceRuntime()]))
      expect(message).toContain("rank 1 does not compute by CUDA: use --runtime cuda on all.");
  });

  test("by itself it takes messages where NCCL cannot be, and says why", async () => {
    const found = await onAll(createWorld(2), async (base) => {
      const { collective, why } = await joinGpus(base, runtimes[0]!);
      return [collective === base, why];
    });
    for (const [same, why] of found) {
      expect(same).toBe(true);
      expect(why).toContain("have the same GPU");
    }
  });

  test("what NCCL refuses is told with its name and the rank, and nothing is computed after it", async () => {
    const runtime = await createCudaRuntime({ device: 0 });
    const [base] = createWorld(2);
    const communicator = createCommunicator(nccl, runtime.beside, base!, 10);
    machine!.fail("ncclCommInitRankConfig", 5);
    const state = input("refused", [2]);
    const address = runtime.beside.addressOf(state);
    const pending = communicator.order("sum", (handle, stream) =>
      nccl.call.ncclAllReduce(address, address, 2, dataTypes.f32.code, SUM, handle, stream),
    );
    await expect((async () => pending.test())()).rejects.toThrow(
      /ncclCommInitRankConfig returned 5 \(ncclInvalidUsage\)/,
    );
    await expect(runtime.read(state)).rejects.toThrow("ncclInvalidUsage");
    runtime.close();
  });
});
