// A thread that ends, or cannot start, is told to the caller within a second: nothing waits for it. Kernels that were
// built from other sources are refused before they can do harm.

import { syncBuiltinESMExports } from "node:module";
import workerThreads, { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { input } from "../../../src/graph/state.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";

const started: Worker[] = [];
/** What is done to each worker as soon as it is made. */
let befall: (worker: Worker) => void;

class WatchedWorker extends Worker {
  constructor(...given: ConstructorParameters<typeof Worker>) {
    super(...given);
    started.push(this);
    befall(this);
  }
}

beforeEach(() => {
  started.length = 0;
  befall = () => undefined;
  workerThreads.Worker = WatchedWorker;
  syncBuiltinESMExports();
});
afterEach(() => {
  workerThreads.Worker = Worker;
  syncBuiltinESMExports();
  vi.restoreAllMocks();
});

const x = input("x", [300, 300]);

/** How long a call took, and what it threw. */
function thrown(run: () => unknown): { error: Error; milliseconds: number } {
  const begun = performance.now();
  try {
    run();
  } catch (error) {
    return { error: error as Error, milliseconds: performance.now() - begun };
  }
  throw new Error("nothing was thrown");
}

describe.each([2, 3])("on %i threads, one that ends", (threads) => {
  it("is noticed by the run that needs it", async () => {
    const runtime = await createWasmRuntime({ threads });
    const program = runtime.compile({ outputs: { y: sum(matmul(x, x)) } });
    program.run();
    expect(started).toHaveLength(threads - 1);
    void started.at(-1)?.terminate();
    // No await: Node has not had the time to tell.
    const { error, milliseconds } = thrown(() => {
      for (const until = performance.now() + 2000; performance.now() < until;) program.run();
    });
    expect(milliseconds).toBeLessThan(1000);
    expect(error.message).toMatch(
      new RegExp(`^run: a thread of the CPU runtime failed \\(thread ${threads} of ${threads} has ended\\); close`),
    );
    expect(thrown(() => program.run()).error.message).toMatch(/^This runtime has failed and does nothing any more/);
    runtime.close();
  });

  it("is noticed between runs", async () => {
    const runtime = await createWasmRuntime({ threads });
    const program = runtime.compile({ outputs: { y: sum(matmul(x, x)) } });
    program.run();
    await started[0]?.terminate();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { error, milliseconds } = thrown(() => program.run());
    expect(milliseconds).toBeLessThan(1000);
    expect(error.message).toMatch(/does nothing any more \(thread 2 of \d has ended with code 1\); close it/);
    expect(() => runtime.readNow(x)).toThrow(/has ended/);
    runtime.close();
    runtime.close();
  });

  it("while it starts, is told, and the others are ended", async () => {
    befall = (worker) => worker === started.at(-1) && started.length === threads - 1 && void worker.terminate();
    const begun = performance.now();
    await expect(createWasmRuntime({ threads })).rejects.toThrow(
      new RegExp(
        `^createWasmRuntime: the CPU runtime could not start its ${threads} threads \\(thread ${threads} of ${threads} ended with code \\d`,
      ),
    );
    expect(performance.now() - begun).toBeLessThan(2000);
    await vi.waitFor(() => expect(started.map(({ threadId }) => threadId)).toEqual(started.map(() => -1)));
  });

  it("or cannot start, is told", async () => {
    befall = () => {
      if (started.length === threads - 1) throw new Error("ERR_WORKER_INIT_FAILED: EAGAIN");
    };
    await expect(createWasmRuntime({ threads })).rejects.toThrow(/\(ERR_WORKER_INIT_FAILED: EAGAIN\)\. Ask for fewer/);
  });
});

it.each([1, 2, 3])("after close everything throws at once, on %i threads", async (threads) => {
  const runtime = await createWasmRuntime({ threads });
  const program = runtime.compile({ outputs: { y: sum(matmul(x, x)) } });
  program.run();
  runtime.close();
  const uses: readonly (() => unknown)[] = [
    () => program.run(),
    () => program.readNow("y"),
    () => program.profile(),
    () => program.trace(() => undefined),
    () => program.touch(),
    () => runtime.compile({ outputs: { x } }),
    () => runtime.write(x, new Float32Array(90_000)),
    () => runtime.readNow(x),
    () => runtime.view(x),
  ];
  for (const use of uses) {
    const { error, milliseconds } = thrown(use);
    expect(error.message).toMatch(/^\w+: the wasm runtime has been closed, and its memory with it; open another\.$/);
    expect(milliseconds).toBeLessThan(1000);
  }
  await expect(program.read("y")).rejects.toThrow(/has been closed/);
  await expect(runtime.read(x)).rejects.toThrow(/has been closed/);
  program.release();
  expect(() => runtime.close()).not.toThrow();
});

it("a runtime that is closed leaves another one alone", async () => {
  const [one, two] = [await createWasmRuntime({ threads: 2 }), await createWasmRuntime({ threads: 3 })];
  const program = two.compile({ outputs: { y: sum(matmul(x, x)) } });
  one.close();
  program.run();
  expect([...program.readNow("y")]).toEqual([0]);
  two.close();
});
