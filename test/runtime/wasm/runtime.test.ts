// The CPU runtime as a whole: random graphs against the float64 reference, bits that do not depend on
// the number of threads, states and programs that live side by side, and its error messages.

import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { add } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { constant, input, parameter, persistent } from "../../../src/graph/state.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { given } from "../../../src/basics/given.ts";
import { multiply, scale, square, tanh } from "../../../src/ops/elementwise.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { gather } from "../../../src/ops/gather.ts";
import { sum } from "../../../src/ops/reductions.ts";
import type { SynchronousRuntime } from "../../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { nodeHost } from "../../../src/runtime/wasm/node/host.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { WasmProgram, WasmRuntime } from "../../../src/runtime/wasm/runtime.ts";
import { relativeError } from "../../ops/harness.ts";
import { type RandomGraph, randomGraph } from "./random-graph.ts";
import type { ProgramSpec, TensorValues } from "../../../src/runtime/program.ts";

/** A runtime keeps what was compiled; a few are opened anew for the random graphs. */
const open: WasmRuntime[] = [];
let runtime: WasmRuntime;
beforeAll(async () => {
  for (const threads of [1, 2, 3]) open.push(await createWasmRuntime({ threads }));
  runtime = open[1]!;
});
afterAll(() => open.forEach((opened) => opened.close()));

type Values = Record<string, TensorValues>;

/** Outputs of two runs, and every state after each. */
function runTwice(on: SynchronousRuntime, { spec, states }: RandomGraph, how?: "keepAll" | "trace" | "begin"): Values {
  const program = how ? (on as WasmRuntime).compile(spec, { keepAll: how === "keepAll" }) : on.compile(spec);
  for (const [state, values] of states) on.write(state, values);
  const results: Values = {};
  for (const run of [1, 2]) {
    if (how === "trace") (program as unknown as WasmProgram).trace(() => {});
    else if (how === "begin") program.begin!()();
    else program.run();
    for (const name of Object.keys(spec.outputs)) results[`${name}, run ${run}`] = program.readNow(name);
    [...states.keys()].forEach((state, index) => (results[`state ${index}, run ${run}`] = on.readNow(state)));
  }
  return results;
}

describe("random graphs", () => {
  test("agree with the reference, outputs and states, over two runs", () => {
    fc.assert(
      fc.property(randomGraph, (graph) => {
        const expected = runTwice(createReferenceRuntime(), graph);
        const actual = runTwice(runtime, graph);
        // A wrong buffer or order is an error of the size of the values; rounding alone may reach 1e-4 where a tanh saturates.
        for (const [name, values] of Object.entries(expected))
          expect(relativeError(actual[name]!, values), name).toBeLessThan(1e-2);
      }),
      { numRuns: 60 },
    );
  });
  test("give the same bits on 1, 2 and 3 threads, with every buffer kept, and call by call", () => {
    fc.assert(
      fc.property(randomGraph, (graph) => {
        const [one, two, three] = open.map((opened) => runTwice(opened, graph));
        expect(two).toEqual(one);
        expect(three).toEqual(one);
        expect(runTwice(runtime, graph, "keepAll")).toEqual(one);
        expect(runTwice(runtime, graph, "trace")).toEqual(one);
        for (const opened of open) expect(runTwice(opened, graph, "begin")).toEqual(one);
      }),
      { numRuns: 30 },
    );
  });
});

describe.each([1, 2, 3])("a program that has been begun on %i threads", (threads) => {
  const [w, x, other] = [parameter("w", [300, 300]), input("x", [300, 300]), input("other", [4])];
  const ids = input("ids", [200], "i32");
  const spec = { outputs: { y: sum(tanh(matmul(x, w))) }, updates: [[w, scale(w, 0.5)]] } as const;
  const opened = (): WasmRuntime => open[threads - 1]!;
  const fill = (on: WasmRuntime): void => {
    on.write(
      w,
      Float32Array.from({ length: 90_000 }, (_, i) => Math.sin(i)),
    );
    on.write(
      x,
      Float32Array.from({ length: 90_000 }, (_, i) => Math.cos(i)),
    );
  };

  test("is waited for by whatever else is asked of the runtime", () => {
    const on = opened();
    const program = on.compile(spec);
    fill(on);
    program.run();
    const [y, after] = [program.readNow("y"), on.readNow(w)];
    const unused = on.compile({ outputs: { z: sum(matmul(x, x)) } });
    const askings: Readonly<Record<string, () => void>> = {
      write: () => on.write(other, [1, 2, 3, 4]),
      "read a state": () => expect(on.readNow(w)).toEqual(after),
      "read an output": () => expect(program.readNow("y")).toEqual(y),
      compile: () => on.compile({ outputs: { z: sum(matmul(x, x)) } }).release(),
      "release another": () => unused.release(),
    };
    for (const [name, ask] of Object.entries(askings)) {
      fill(on);
      const end = program.begin!();
      ask();
      end();
      end();
      expect(program.readNow("y"), name).toEqual(y);
      expect(on.readNow(w), name).toEqual(after);
    }
    fill(on);
    const end = program.begin!();
    program.run();
    end();
    expect(on.readNow(w)).toEqual(after.map((value) => 0.5 * value));
    fill(on);
    const last = program.begin!();
    program.release();
    last();
    expect(on.readNow(w)).toEqual(after);
  });

  test("tells what went wrong at its end, and nowhere else", () => {
    const on = opened();
    const program = on.compile({ outputs: { y: gather(w, ids) } });
    on.write(ids, new Int32Array(200).fill(7, 0, 199).fill(300, 199));
    const end = program.begin!();
    on.write(other, [1, 2, 3, 4]);
    expect(end).toThrow(/gather.*300/);
    expect(end).toThrow(/gather.*300/);
    expect(() => program.readNow("y")).toThrow(/run the program first/);
    on.write(ids, new Int32Array(200));
    program.begin!()();
    expect(program.readNow("y")).toHaveLength(200 * 300);
  });

  test("ends before the runtime closes", async () => {
    const on = await createWasmRuntime({ threads });
    const program = on.compile(spec);
    fill(on);
    const end = program.begin!();
    on.close();
    end();
    expect(() => program.begin!()).toThrow(/closed/);
  });
});

describe("a program in parts", () => {
  test("has the states of a whole one, and each passing value after the part that makes it", async () => {
    let shown = 0;
    await fc.assert(
      fc.asyncProperty(randomGraph, async (graph) => {
        const { spec, states } = graph;
        const expected = runTwice(runtime, graph);
        const names = Object.keys(spec.outputs).filter((name) => !states.has(spec.outputs[name]!));
        const passing = names.map((name) => spec.outputs[name]!);
        const program = runtime.compile({ outputs: {}, passing, ...given({ updates: spec.updates }) });
        for (const [state, values] of states) runtime.write(state, values);
        for (const run of [1, 2]) {
          const seen: Values = {};
          for (const part of program.parts()) {
            await part.run();
            for (const { index, view } of part.passing) seen[`${names[index]}, run ${run}`] = view().slice();
          }
          expect(Object.keys(seen)).toHaveLength(names.length);
          shown += names.length;
          for (const [name, values] of Object.entries(seen)) expect(values, name).toEqual(expected[name]);
          [...states.keys()].forEach((state, index) =>
            expect(runtime.readNow(state)).toEqual(expected[`state ${index}, run ${run}`]),
          );
        }
        program.release();
      }),
      { numRuns: 40 },
    );
    expect(shown).toBeGreaterThan(100);
  });
  test("gives the caller turns within a part; what one throws comes after the part, on all threads", async () => {
    const x = input("x", [960, 32]);
    const y = tanh(matmul(x, input("w", [32, 32])));
    for (const on of open) {
      const program = on.compile({ outputs: { y }, passing: [y] });
      on.write(x, new Float32Array(960 * 32).fill(0.5));
      let turns = 0;
      for (const part of program.parts()) await part.run(() => void turns++);
      program.run();
      const whole = turns;
      const wrong = new Error("no turn");
      const failing = async (): Promise<void> => {
        for (const part of program.parts())
          await part.run(() => {
            throw wrong;
          });
      };
      const [told] = await Promise.allSettled([failing()]);
      // Of several threads the caller's may come too late for any task.
      if (on === open[0]) {
        expect(whole).toBeGreaterThan(3);
        expect(told).toEqual({ status: "rejected", reason: wrong });
      }
      program.run();
      expect(turns).toBe(whole);
      program.release();
    }
  });
  test("of a released program there are none, and none are asked for room", async () => {
    const own = await createWasmRuntime({ threads: 1 });
    const x = input("x", [4]);
    const program = own.compile({ outputs: { y: square(x) } });
    expect(program.parts()).toHaveLength(1);
    program.release();
    const bytes = own.memoryBytes();
    for (let i = 0; i < 100; i++) expect(() => program.parts()).toThrow("this program has been released");
    own.compile({ outputs: { y: square(x) } }).parts();
    expect(own.memoryBytes()).toBe(bytes);
    own.close();
  });
  test("what is listed first is made first where nothing asks otherwise, in a part of its own when it is large", () => {
    const x = input("x", [256, 300]);
    const y = tanh(x);
    const values = [x, y].map((each) => matmul(each, y, { transposeA: true }));
    for (const passing of [values, values.toReversed()]) {
      const program = open[0]!.compile({ outputs: {}, passing });
      const made = program.parts().map((part) => part.passing.map(({ index }) => index));
      expect(made.filter(({ length }) => length > 0)).toEqual([[0], [1]]);
      program.release();
    }
  });
  test("keeps passing values no longer than their part", () => {
    const x = input("x", [64, 64]);
    const layers = [x];
    // A second factor must be whole before the product begins.
    for (let layer = 0; layer < 12; layer++) layers.push(tanh(matmul(x, layers.at(-1)!)));
    layers.shift();
    const bytes = (spec: ProgramSpec): number => {
      const program = runtime.compile(spec);
      const { bytes } = program.plan.arena;
      program.release();
      return bytes;
    };
    const own = { y: layers.at(-1)! };
    expect(bytes({ outputs: own, passing: layers })).toBeLessThan(bytes({ outputs: { ...own, layers } }) / 2);
  });
});

describe("programs and states", () => {
  test("a state keeps its value between runs and is shared by programs", () => {
    const [count, x] = [persistent("count", [3]), input("x", [3])];
    const more = runtime.compile({ outputs: {}, updates: [[count, add(count, x)]] });
    const look = runtime.compile({ outputs: { twice: scale(count, 2) } });
    runtime.write(x, [1, 10, 100]);
    for (let i = 0; i < 3; i++) more.run();
    look.run();
    expect([...look.readNow("twice")]).toEqual([6, 60, 600]);
    expect([...runtime.readNow(count)]).toEqual([3, 30, 300]);
    expect([...runtime.readNow(persistent("fresh", [2]))]).toEqual([0, 0]);
  });
  test("values that are read are copies", () => {
    const x = input("x", [2]);
    const program = runtime.compile({ outputs: { y: square(x) } });
    runtime.write(x, [2, 3]);
    program.run();
    const first = program.readNow("y");
    runtime.write(x, [5, 6]);
    program.run();
    expect([...first]).toEqual([4, 9]);
    expect([...program.readNow("y")]).toEqual([25, 36]);
  });
  test("an update sees the values from before the step, an output too", () => {
    const [a, b] = [persistent("a", [2]), persistent("b", [2])];
    for (const on of [runtime, createReferenceRuntime()]) {
      on.write(a, [1, 2]);
      on.write(b, [3, 4]);
      const program = on.compile({
        outputs: { before: a, product: multiply(a, b) },
        updates: [
          [a, b],
          [b, add(a, b)],
        ],
      });
      program.run();
      expect([...program.readNow("product")]).toEqual([3, 8]);
      expect([...program.readNow("before")]).toEqual([1, 2]);
      expect([[...on.readNow(a)], [...on.readNow(b)]]).toEqual([
        [3, 4],
        [4, 6],
      ]);
    }
  });
  test("two states may take one value, and a state may stay as it is", () => {
    const [a, b, c] = [persistent("a", [2]), persistent("b", [2]), persistent("c", [2])];
    runtime.write(c, [7, 8]);
    const value = square(c);
    runtime
      .compile({
        outputs: { value },
        updates: [
          [a, value],
          [b, value],
          [c, c],
        ],
      })
      .run();
    expect([a, b, c].map((state) => [...runtime.readNow(state)])).toEqual([
      [49, 64],
      [49, 64],
      [7, 8],
    ]);
  });
  test("indices are whole numbers", () => {
    const ids = input("ids", [3], "i32");
    runtime.write(ids, [1, 2, 70000]);
    expect(runtime.readNow(ids)).toEqual(Int32Array.of(1, 2, 70000));
  });
  test("a program tells its size and where its time goes", () => {
    const [x, w] = [input("x", [100, 64]), parameter("w", [64, 32])];
    const loss = sum(square(matmul(x, w)));
    const program = runtime.compile({ outputs: { loss, gradient: gradients(loss, [w])[0]! } });
    expect(program.plan.arena.bytes).toBeGreaterThan(4 * 100 * 32);
    expect(runtime.memoryBytes()).toBeGreaterThan(program.plan.arena.bytes);
    runtime.write(
      x,
      Float32Array.from({ length: 6400 }, (_, i) => Math.sin(i)),
    );
    runtime.write(
      w,
      Float32Array.from({ length: 2048 }, (_, i) => Math.cos(i)),
    );
    program.run();
    const before = program.readNow("gradient");
    const times = program.profile();
    expect(times.map(({ call }) => call)).toEqual(program.plan.calls);
    expect(times.every(({ milliseconds }) => milliseconds >= 0)).toBe(true);
    expect(program.readNow("gradient")).toEqual(before);
  });
});

describe("errors", () => {
  const x = input("tokens", [2, 3]);
  test("of reading and writing", () => {
    expect(() => runtime.write(x, [1, 2])).toThrow(
      "write: tokens is given 2 values; its shape [2, 3] needs 6. Give them all, row after row.",
    );
    const computed: Tensor = square(x);
    expect(() => runtime.write(computed, Array(6).fill(0))).toThrow(
      "read or write: this tensor is computed; only parameters, persistent tensors and inputs hold values of their own. Name it in a program's outputs to read it.",
    );
    const program = runtime.compile({ outputs: { y: computed } });
    program.run();
    expect(() => program.readNow("z" as "y")).toThrow('read: there is no output "z"; there are: y.');
  });
  test("of an output that is not there yet, or whose memory another program has used since", () => {
    const [one, other] = [
      runtime.compile({ outputs: { y: square(x), x } }),
      runtime.compile({ outputs: { z: scale(x, 2) } }),
    ];
    const message =
      'read: "y" is not there: run the program first, and read before another program runs, for programs share their memory.';
    expect(() => one.readNow("y")).toThrow(message);
    one.run();
    expect(one.readNow("y")).toHaveLength(6);
    other.run();
    expect(() => one.readNow("y")).toThrow(message);
    expect(() => one.readNow("x")).toThrow(message.replace("y", "x"));
  });
  test("of options", async () => {
    for (const threads of [0, 1.5, 300])
      await expect(createWasmRuntime({ threads })).rejects.toThrow(
        `createWasmRuntime: threads is ${threads}; it must be a whole number from 1 to 256.`,
      );
  });
  test("of missing kernels", async () => {
    await expect(nodeHost.loadKernels("absent" as "simd")).rejects.toThrow(
      'The compiled kernels are missing (absent.wasm). Run "npm run build" first.',
    );
  });
  test("a browser that reserves fewer addresses gets a smaller memory, and the limit is told", async () => {
    const { Memory } = WebAssembly;
    let most = 16_384;
    WebAssembly.Memory = class extends Memory {
      constructor(asked: WebAssembly.MemoryDescriptor) {
        if ((asked.maximum ?? 0) > most) throw new RangeError("could not allocate memory");
        super(asked);
      }
    };
    try {
      const smaller = await createWasmRuntime({ threads: 1 });
      const x = constant([1, 2, 3], [3]);
      const program = smaller.compile({ outputs: { y: square(x) } });
      program.run();
      expect([...program.readNow("y")]).toEqual([1, 4, 9]);
      const huge = parameter("huge", [20_000, 20_000]);
      expect(() => smaller.compile({ outputs: { y: square(huge) } })).toThrow(
        /the limit of the CPU runtime is 1024 MiB/,
      );
      smaller.close();
      most = 0;
      await expect(createWasmRuntime({ threads: 1 })).rejects.toThrow(/no 512 MiB of addresses could be reserved/);
    } finally {
      WebAssembly.Memory = Memory;
    }
  });

  test("of memory: a program that needs more than 4 GiB says so before it runs", async () => {
    const small = await createWasmRuntime({ threads: 1 });
    const huge = input("huge", [1 << 15, 1 << 15]);
    expect(() => small.compile({ outputs: { y: square(huge) } })).toThrow(
      /^Out of memory: \d+ MiB are needed and the limit of the CPU runtime is 4096 MiB\. Use a smaller batch/,
    );
    small.close();
  });
});
