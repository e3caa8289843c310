// Question: what may anyone who has a runtime rely on, whichever it is?

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { constant, input, parameter, persistent } from "../../src/graph/state.ts";
import { add, multiply, scale } from "../../src/ops/elementwise.ts";
import { chooseExperts } from "../../src/ops/expert-choice.ts";
import { gather } from "../../src/ops/gather.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { toBfloat16 } from "../../src/ops/bfloat16.ts";
import type { TensorValues } from "../../src/runtime/program.ts";
import { createCudaRuntime } from "../../src/runtime/cuda/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { createWebgpuRuntime } from "../../src/runtime/webgpu/node/runtime.ts";
import { fakeMachine } from "./cuda/machine/build.ts";
import { hasWebgpu } from "./webgpu/here.ts";

/** Every machine that this computer has. */
const runtimes: readonly (readonly [name: string, open: () => Promise<Runtime>, floats: "f32" | "f64"])[] = [
  ["reference", () => Promise.resolve(createReferenceRuntime()), "f64"],
  ["wasm", () => createWasmRuntime({ threads: 1 }), "f32"],
  ["wasm", () => createWasmRuntime({ threads: 3 }), "f32"],
  ...((await fakeMachine()) ? [["cuda", () => createCudaRuntime({ largestMemory: 2 ** 29 }), "f32"] as const] : []),
  ...((await hasWebgpu()) ? [["webgpu", () => createWebgpuRuntime(), "f32"] as const] : []),
];

/** Throws at once or when the promise is awaited, as the runtime likes. */
const failing = async (act: () => unknown): Promise<Error> => {
  try {
    await act();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
};

describe.each(runtimes)("%s", (name, open, floats) => {
  let runtime: Runtime;
  beforeAll(async () => void (runtime = await open()));
  afterAll(() => runtime.close());
  const list = (values: TensorValues | undefined): number[] => [...(values ?? [])];
  const Floats = floats === "f64" ? Float64Array : Float32Array;

  test("it says its name and its device", () => {
    expect(runtime.name).toBe(name);
    for (const size of Object.values(runtime.device)) expect(size).toBeGreaterThanOrEqual(0);
    expect(runtime.device.threads).toBeGreaterThanOrEqual(1);
    expect(runtime.device.rowTile).toBeGreaterThanOrEqual(1);
    if (runtime.machine) expect(runtime.machine.device).toEqual(runtime.device);
  });

  describe("states", () => {
    test("hold zeros, then what is written, in the form of their type", async () => {
      const [w, ids] = [parameter("w", [2, 2]), input("ids", [3], "i32")];
      expect(await runtime.read(w)).toEqual(new Floats(4));
      expect(await runtime.read(ids)).toEqual(new Int32Array(3));
      runtime.write(w, [1, -2, 0.5, 4]);
      runtime.write(ids, Int32Array.of(7, -1, 70_000));
      expect(await runtime.read(w)).toEqual(Floats.of(1, -2, 0.5, 4));
      expect(await runtime.read(ids)).toEqual(Int32Array.of(7, -1, 70_000));
    });

    test("are read as copies of what was there when it was asked for", async () => {
      const w = parameter("w", [2]);
      runtime.write(w, [1, 2]);
      const asked = runtime.read(w);
      runtime.write(w, [3, 4]);
      const values = await asked;
      expect(list(values)).toEqual([1, 2]);
      values[0] = 99;
      expect(list(await runtime.read(w))).toEqual([3, 4]);
    });

    test("are read at once and looked at in place, where the runtime can", async () => {
      const w = parameter("w", [2]);
      runtime.write(w, [1, 2]);
      if (runtime.readNow) expect(runtime.readNow(w)).toEqual(await runtime.read(w));
      if (runtime.view) expect(runtime.view(w)).toEqual(await runtime.read(w));
    });

    test("are shared by programs", async () => {
      const [x, w] = [input("x", [2]), parameter("w", [2])];
      const reading = runtime.compile({ outputs: { y: multiply(x, w) } });
      const learning = runtime.compile({ outputs: {}, updates: [[w, add(w, x)]] });
      runtime.write(x, [1, 10]);
      runtime.write(w, [2, 3]);
      learning.run();
      reading.run();
      expect(list(await reading.read("y"))).toEqual([3, 130]);
    });

    test("are updated from what all held before the run, also when they change places", async () => {
      const [a, b, c] = [persistent("a", [2]), persistent("b", [2]), persistent("c", [2])];
      const program = runtime.compile({
        outputs: { sum: add(a, b), a },
        updates: [
          [a, b],
          [b, a],
          [c, scale(a, 10)],
        ],
      });
      runtime.write(a, [1, 2]);
      runtime.write(b, [3, 4]);
      program.run();
      expect(list(await program.read("a")), "outputs are from before the updates").toEqual([1, 2]);
      expect(list(await program.read("sum"))).toEqual([4, 6]);
      expect([list(await runtime.read(a)), list(await runtime.read(b))]).toEqual([
        [3, 4],
        [1, 2],
      ]);
      expect(list(await runtime.read(c))).toEqual([10, 20]);
      program.run();
      expect([list(await runtime.read(a)), list(await runtime.read(c))]).toEqual([
        [1, 2],
        [30, 40],
      ]);
    });

    test("an update of a state by itself or by a view of it changes nothing", async () => {
      const a = persistent("a", [2, 2]);
      const program = runtime.compile({ outputs: {}, updates: [[a, reshape(reshape(a, [4]), [2, 2])]] });
      runtime.write(a, [1, 2, 3, 4]);
      program.run();
      expect(list(await runtime.read(a))).toEqual([1, 2, 3, 4]);
    });

    test("stay when programs go, but for inputs; forgotten, they begin anew", async () => {
      const [x, w] = [input("x", [1]), parameter("w", [1])];
      const [one, two] = [
        runtime.compile({ outputs: { y: multiply(x, w) } }),
        runtime.compile({ outputs: { z: add(x, w) } }),
      ];
      runtime.write(x, [5]);
      runtime.write(w, [7]);
      one.release();
      one.release();
      two.run();
      expect(list(await two.read("z"))).toEqual([12]);
      expect((await failing(() => runtime.forget(w))).message).toBe("forget: 1 program has w; release it first.");
      two.release();
      expect(list(await runtime.read(x))).toEqual([0]);
      expect(list(await runtime.read(w))).toEqual([7]);
      runtime.forget(w);
      expect(list(await runtime.read(w))).toEqual([0]);
    });

    test("a state that a program only writes is its own too", async () => {
      const [x, w] = [input("x", [1]), parameter("w", [1])];
      const program = runtime.compile({ outputs: {}, updates: [[w, scale(x, 2)]] });
      expect((await failing(() => runtime.forget(w))).message).toBe("forget: 1 program has w; release it first.");
      runtime.write(x, [3]);
      program.run();
      expect(list(await runtime.read(w))).toEqual([6]);
      program.release();
    });

    test("constants hold their values before, between and after runs", async () => {
      const c = constant([1, -2, 3], [3]);
      const program = runtime.compile({ outputs: { c, square: multiply(c, c) } });
      for (let run = 0; run < 2; run++) {
        program.run();
        expect(list(await program.read("c"))).toEqual([1, -2, 3]);
        expect(list(await program.read("square"))).toEqual([1, 4, 9]);
      }
      expect(list(await runtime.read(c))).toEqual([1, -2, 3]);
    });
  });

  describe("outputs", () => {
    test("of every type", async () => {
      const [scores, bias, x] = [input("scores", [2, 4]), input("bias", [4]), input("x", [1, 1, 3])];
      const { experts, weights } = chooseExperts(scores, bias, { active: 2 });
      const program = runtime.compile({ outputs: { experts, weights, narrow: toBfloat16(x), scores } });
      runtime.write(scores, [0.125, 0.25, 0.375, 0.5, 0.875, 0.125, 0.125, 0.75]);
      runtime.write(x, [1, -2.5, 1 + 2 ** -20]);
      program.run();
      expect(await program.read("experts")).toEqual(Int32Array.of(3, 2, 0, 3));
      expect((await program.read("weights")).constructor).toBe(Floats);
      expect(await program.read("narrow")).toEqual(Floats.of(1, -2.5, 1));
      expect(await program.read("scores")).toEqual(await runtime.read(scores));
    });

    test("nested as they were asked for", async () => {
      const x = input("x", [2]);
      const twice = scale(x, 2);
      const program = runtime.compile({
        outputs: { all: { twice, powers: [x, multiply(x, x)], none: undefined }, again: twice, empty: [] },
      });
      runtime.write(x, [3, 4]);
      program.run();
      const { twice: values, powers, none } = await program.read("all");
      expect([list(values), powers.map(list), none]).toEqual([
        [6, 8],
        [
          [3, 4],
          [9, 16],
        ],
        undefined,
      ]);
      expect(list(await program.read("again"))).toEqual([6, 8]);
      expect(await program.read("empty")).toEqual([]);
      if (program.readNow) expect(program.readNow("all")).toEqual(await program.read("all"));
    });

    test("are those of the moment when they were asked for", async () => {
      const x = input("x", [1]);
      const program = runtime.compile({ outputs: { y: scale(x, 2) } });
      const asked = [1, 2, 3].map((value) => {
        runtime.write(x, [value]);
        program.run();
        return program.read("y");
      });
      expect((await Promise.all(asked)).map(list)).toEqual([[2], [4], [6]]);
    });

    test("are there after a trace as after a run", async () => {
      const [x, w] = [input("x", [3, 2]), parameter("w", [2, 2])];
      const inner = multiply(matmul(x, w), matmul(x, w));
      const program = runtime.compile({ outputs: { y: scale(inner, 2) }, updates: [[w, scale(w, 0.5)]] });
      if (!program.trace) return;
      runtime.write(x, [1, 2, 3, 4, 5, 6]);
      runtime.write(w, [1, 0, 0, 1]);
      const labels = new Map<number, string>();
      await program.trace(({ label, index }) => void labels.set(index, label));
      expect(list(await program.read("y"))).toEqual([2, 8, 18, 32, 50, 72]);
      expect(list(await runtime.read(w))).toEqual([0.5, 0, 0, 0.5]);
      expect([...labels.values()].some((label) => label.includes("matmul"))).toBe(true);
    });
  });

  describe("errors", () => {
    const x = input("tokens", [2, 3]);
    const computed = multiply(x, x);

    test("of a wrong number of values", () => {
      expect(() => runtime.write(x, [1, 2])).toThrow(
        "write: tokens is given 2 values; its shape [2, 3] needs 6. Give them all, row after row.",
      );
    });
    test("of a computed tensor, and of a state that could only be kept narrow", async () => {
      const message =
        "read or write: this tensor is computed; only parameters, persistent tensors and inputs hold values of their own. Name it in a program's outputs to read it.";
      expect(() => runtime.write(computed, Array(6).fill(0))).toThrow(message);
      expect((await failing(() => runtime.read(computed))).message).toBe(message);
      const narrow = input("narrow", [2], "bf16");
      expect(() => runtime.write(narrow, [1, 2])).toThrow("narrow: a state cannot be bfloat16;");
    });
    test("of an output that there is not, or not yet, or no more", async () => {
      const [one, other] = [
        runtime.compile({ outputs: { y: computed, x } }),
        runtime.compile({ outputs: { z: scale(x, 2) } }),
      ];
      const gone = (output: string): string =>
        `read: "${output}" is not there: run the program first, and read before another program runs, for programs share their memory.`;
      expect((await failing(() => one.read("y"))).message).toBe(gone("y"));
      one.run();
      expect(await one.read("y")).toHaveLength(6);
      expect((await failing(() => one.read("z" as "y"))).message).toBe(
        'read: there is no output "z"; there are: y, x. Name it in compile\'s outputs, or read one of these.',
      );
      expect((await failing(() => one.read("toString" as "y"))).message).toContain('no output "toString"');
      other.run();
      for (const output of ["x", "y"] as const)
        expect((await failing(() => one.read(output))).message).toBe(gone(output));
    });
    test("of a program that has been released", async () => {
      const program = runtime.compile({ outputs: { y: computed } });
      program.run();
      program.release();
      for (const use of [() => program.run(), () => program.read("y")])
        expect((await failing(use)).message).toContain("released");
    });
    test("of an index out of range: there is nothing to read, and the runtime goes on", async () => {
      const [table, ids] = [input("table", [4, 2]), input("ids", [3], "i32")];
      const program = runtime.compile({ outputs: { rows: gather(table, ids) } });
      runtime.write(table, [0, 1, 2, 3, 4, 5, 6, 7]);
      runtime.write(ids, [3, 0, 1]);
      program.run();
      expect([...(await program.read("rows"))]).toEqual([6, 7, 0, 1, 2, 3]);
      runtime.write(ids, [3, 4, 1]);
      const message = "gather: index 4 at position 1; allowed are 0 to 3; check the token ids.";
      const error = await failing(async () => {
        program.run();
        await runtime.finish();
      });
      expect(error.message).toBe(message);
      expect((await failing(() => program.read("rows"))).message).toContain('"rows" is not there');
      runtime.write(ids, [2, 2, 2]);
      program.run();
      expect([...(await program.read("rows"))]).toEqual([4, 5, 4, 5, 4, 5]);
    });
    test("of an index out of range in a program with updates: each state is as it was, or the error names it", async () => {
      const [table, ids] = [parameter("table", [4, 2]), input("ids", [1], "i32")];
      const sum = parameter("sum", [1, 2]);
      const row = gather(table, ids);
      const program = runtime.compile({
        outputs: {},
        updates: [
          [sum, add(sum, row)],
          [table, scale(table, 2)],
        ],
      });
      runtime.write(table, [1, 2, 3, 4, 5, 6, 7, 8]);
      runtime.write(ids, [-1]);
      const { message } = await failing(async () => {
        program.run();
        await runtime.finish();
      });
      expect(message).toMatch(/^gather: index -1 at position 0; allowed are 0 to 3; check the token ids\./);
      const [before, after] = [[1, 2, 3, 4, 5, 6, 7, 8], list(await runtime.read(table))];
      if (name === "reference") expect(after).toEqual(before);
      else expect(message).toContain("wrote wrong numbers to sum, table: write them anew, such as from a checkpoint");
      runtime.write(table, before);
      runtime.write(sum, [0, 0]);
      runtime.write(ids, [3]);
      program.run();
      expect(list(await runtime.read(sum))).toEqual([7, 8]);
      expect(list(await runtime.read(table))).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
    });
    test.each([2 ** 32 + 1, 1.5, Number.NaN])("of an i32 state that is given %d", (value) => {
      const ids = input("ids", [2], "i32");
      expect(() => runtime.write(ids, [0, value])).toThrow(
        `write: ids holds ${value} at position 1; allowed are whole numbers of 32 bits; check the indices.`,
      );
    });
    test("of memory that does not suffice: everything else goes on", async () => {
      const own = await open();
      const small = own.compile({ outputs: { y: computed } });
      own.write(x, [1, 2, 3, 4, 5, 6]);
      const huge = input("huge", [2 ** 15, 2 ** 16]);
      for (let attempt = 0; attempt < 2; attempt++)
        expect((await failing(() => own.compile({ outputs: { y: multiply(huge, huge) } }))).message).toMatch(
          /^Out of memory: \d+ MiB are needed and the limit of the \w+ runtime is \d+ MiB\./,
        );
      small.run();
      expect(list(await small.read("y"))).toEqual([1, 4, 9, 16, 25, 36]);
      own.close();
    });
    test("of a runtime that has been closed", async () => {
      const own = await open();
      const program = own.compile({ outputs: { y: computed } });
      own.close();
      own.close();
      const uses: readonly (() => unknown)[] = [
        () => program.run(),
        () => program.read("y"),
        () => own.compile({ outputs: { y: computed } }),
        () => own.write(x, Array(6).fill(0)),
        () => own.read(x),
      ];
      for (const use of uses) expect((await failing(use)).message).toMatch(/has been closed/);
      program.release();
    });
  });

  test("everything that was asked for is done when finish says so", async () => {
    const w = persistent("w", [1]);
    const program = runtime.compile({ outputs: {}, updates: [[w, add(w, constant([1], [1]))]] });
    for (let run = 0; run < 5; run++) program.run();
    await runtime.finish();
    expect(list(await runtime.read(w))).toEqual([5]);
  });
});
