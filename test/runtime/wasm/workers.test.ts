// A thread that ends, or cannot start, is told to the caller within a second: nothing waits for it. Kernels that were
// built from other sources are refused before they can do harm.

import { syncBuiltinESMExports } from "node:module";
import workerThreads, { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { input } from "../../../src/graph/state.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { CONTROL_TICKET } from "../../../src/runtime/wasm/constants.ts";
import type { ThreadStart } from "../../../src/runtime/wasm/host.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";

const started: Worker[] = [];
/** What each was given. */
const starts: ThreadStart[] = [];
/** What is done to each worker as soon as it is made. */
let befall: (worker: Worker) => void;

class WatchedWorker extends Worker {
  constructor(...given: ConstructorParameters<typeof Worker>) {
    super(...given);
    started.push(this);
    starts.push(given[1]?.workerData as ThreadStart);
    befall(this);
  }
}

beforeEach(() => {
  started.length = 0;
  starts.length = 0;
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

/** Take a task as a thread does; false if there is none. */
function takeTask({ memory, control }: ThreadStart): boolean {
  const ticket = new BigInt64Array(memory.buffer, control + CONTROL_TICKET, 1);
  const seen = Atomics.load(ticket, 0);
  return seen % 2n ** 28n !== 0n && Atomics.compareExchange(ticket, 0, seen, seen - 1n) === seen;
}

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
    const large = input("large", [600, 600]);
    const program = runtime.compile({ outputs: { y: sum(matmul(large, large)) } });
    program.run();
    expect(started).toHaveLength(threads - 1);
    // A task that the thread has taken is never done. No await: Node has not had the time to tell.
    let begun = 0;
    const { error } = thrown(() => {
      for (const part of program.parts())
        void part.run(() => {
          if (begun > 0 || !takeTask(starts.at(-1)!)) return;
          begun = performance.now();
          void started.at(-1)?.terminate();
        });
    });
    expect(begun).toBeGreaterThan(0);
    expect(performance.now() - begun).toBeLessThan(1000);
    expect(error.message).toMatch(
      new RegExp(`^run: a thread of the CPU runtime failed \\(thread ${threads} of ${threads} has ended\\); close`),
    );
    expect(thrown(() => program.run()).error.message).toMatch(/^This runtime has failed and does nothing any more/);
    runtime.close();
  });

  it("while it has nothing to do, leaves the run to the others", async () => {
    const runtime = await createWasmRuntime({ threads });
    const program = runtime.compile({ outputs: { y: matmul(x, x) } });
    runtime.write(
      x,
      Float32Array.from({ length: 90_000 }, (_, index) => index % 7),
    );
    program.run();
    const expected = program.readNow("y");
    const ended = started.map((worker) => worker.terminate());
    // They end while they wait for the next run: it takes less than this to look for that.
    for (const until = performance.now() + 50; performance.now() < until;);
    program.run();
    expect(program.readNow("y")).toEqual(expected);
    await Promise.all(ended);
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
