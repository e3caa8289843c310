// What is made of parameters alone is kept while they stay the same, and rows get the same bits however few there are.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createParameters } from "../../../src/graph/parameters.ts";
import { input, parameter } from "../../../src/graph/state.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { createDecoder, type Row } from "../../../src/model/decoder.ts";
import { languageModel } from "../../../src/model/language-model.ts";
import { scale } from "../../../src/ops/elementwise.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import type { Buffer, Call } from "../../../src/runtime/plan/calls.ts";
import { inPrecision } from "../../../src/runtime/precision.ts";
import { createHeap } from "../../../src/runtime/wasm/heap.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { createPreparations } from "../../../src/runtime/wasm/prepared.ts";
import type { WasmProgram, WasmRuntime } from "../../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../../src/training/initialise.ts";
import { tinyConfig } from "../../model/tiny.ts";

let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 2 })));
afterAll(() => runtime.close());

const numbers = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.sin(seed + i * i));

describe("steady parameters", () => {
  const [inner, columns] = [40, 70];
  const made = (rows: number): { x: Tensor; w: Tensor } => ({
    x: input("x", [rows, inner]),
    w: parameter("w", [inner, columns], "weight"),
  });
  const kernels = ({ plan }: Pick<WasmProgram, "plan">): string[] => plan.calls.map(({ kernel }) => kernel);

  test("a matrix is packed once, and again when it has changed", () => {
    const { x, w } = made(7);
    const y = matmul(x, w);
    const steady = runtime.compile({ outputs: { y }, steady: true });
    const usual = runtime.compile({ outputs: { y } });
    const change = runtime.compile({ outputs: {}, updates: [[w, scale(w, 2)]] });
    expect(kernels(steady)).toEqual(["gemmPanels"]);
    const both = (): unknown[] => [steady, usual].map((program) => (program.run(), program.readNow("y")));
    const expectSame = (): unknown => {
      const [one, other] = both();
      expect(one).toEqual(other);
      return one;
    };
    runtime.write(x, numbers(7 * inner, 1));
    runtime.write(w, numbers(inner * columns, 2));
    const first = expectSame();
    runtime.write(w, numbers(inner * columns, 3));
    expect(expectSame()).not.toEqual(first);
    change.run();
    expectSame();
    const seen = runtime.view(w);
    expectSame();
    seen.fill(0.5);
    expectSame();
  });

  test.each([1, 7])("of %i rows in bfloat16 a matrix is rounded and packed once", (rows) => {
    const { x, w } = made(rows);
    const y = matmul(x, w);
    const rounding = inPrecision(runtime, "bfloat16");
    const steady = rounding.compile({ outputs: { y }, steady: true });
    const usual = rounding.compile({ outputs: { y } });
    expect(kernels(steady)).toContain("gemmPanels");
    expect(kernels(steady)).not.toContain("packB");
    runtime.write(x, numbers(rows * inner, 1));
    const seen = [2, 3].map((seed) => {
      runtime.write(w, numbers(inner * columns, seed));
      const [one, other] = [steady, usual].map((program) => (program.run(), program.readNow("y")));
      expect(one).toEqual(other);
      return one;
    });
    expect(seen[0]).not.toEqual(seen[1]);
  });

  test("programs share what is kept, and it goes with the last of them", () => {
    const { w } = made(1);
    runtime.write(w, numbers(inner * columns, 2));
    const compile = (rows: number): WasmProgram =>
      runtime.compile({ outputs: { y: matmul(input("x", [rows, inner]), w) }, steady: true });
    const [one, other] = [compile(2), compile(5)];
    const panelsOf = ({ plan }: WasmProgram): unknown => plan.calls[0]!.operands[1]!.buffer;
    expect(panelsOf(one)).toBe(panelsOf(other));
    other.run();
    one.release();
    other.run();
    other.release();
    const again = compile(3);
    expect(panelsOf(again)).not.toBe(panelsOf(other));
    again.run();
  });

  test.each([1, 2, 3, 5, 6, 8, 16, 33, 100, 300])(
    "%i rows have the bits of the same rows in other programs",
    (rows) => {
      const { x, w } = made(rows);
      const all = input("x", [301, inner]);
      const values = numbers(301 * inner, 1);
      runtime.write(w, numbers(inner * columns, 2));
      runtime.write(x, values.slice(0, rows * inner));
      runtime.write(all, values);
      const [some, many] = [x, all].map((each) => {
        const program = runtime.compile({ outputs: { y: matmul(each, w) }, steady: each === x });
        program.run();
        return program.readNow("y");
      });
      expect(some).toEqual(many!.slice(0, rows * columns));
    },
  );
});

describe.each(["residual", "hc", "mhc"] as const)("a decoder with %s", (kind) => {
  test("gives a row the same bits in programs of any number of rows", async () => {
    const parameters = createParameters();
    const model = languageModel(tinyConfig(kind, { context: 8 }), parameters);
    for (const each of parameters.all) runtime.write(each.tensor, initialValues(each, 1));
    const decoder = createDecoder(runtime, model, 2);
    const text: Row[] = Array.from({ length: 7 }, (_, position) => ({
      slot: 0,
      position,
      token: (5 * position + 1) % 11,
    }));
    const read = async (sizes: readonly number[]): Promise<number[][]> => {
      const found: number[][] = [];
      for (const [position, row] of text.entries()) {
        const scores = await decoder.read([row], 1, sizes[position % sizes.length]);
        found.push([...scores]);
      }
      return found;
    };
    const alone = await read([1]);
    expect(await read([2, 4, 8, 16])).toEqual(alone);
    expect(await read([32, 64, 128])).toEqual(alone);
    const together = await decoder.read(text, 7, 8);
    expect([...together]).toEqual(alone.flat());
    decoder.release();
  });
});

test("where there is room for a result but not for the words that make it, neither takes any", () => {
  const [weight, result]: Buffer[] = [
    { name: "w", bytes: 640 },
    { name: "packed", bytes: 640 },
  ];
  const heap = createHeap(64, (bytes) => {
    if (bytes > 64 + 640 + 64) throw new Error("Out of memory");
  });
  const addresses = new Map([[weight!, 4096]]);
  const call: Call = {
    kernel: "packB",
    label: "pack",
    domain: 1,
    grain: 1,
    operands: [
      { buffer: weight!, access: "read", aligned: false },
      { buffer: result!, access: "write", aligned: false },
    ],
    words: [],
    inPlace: [],
    flops: 0,
  };
  const own = createPreparations(heap, addresses, { write() {}, drop() {} }).enter();
  expect(() => own.prepare(call)).toThrow("Out of memory");
  own.leave();
  expect([...addresses.keys()]).toEqual([weight]);
  expect(heap.allocate(640)).toBe(64);
});
