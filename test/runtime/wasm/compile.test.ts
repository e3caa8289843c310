// What the compiler does to a graph: sums that cost nothing, updates in place, views, and what it cannot do.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { add } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { input, parameter, persistent } from "../../../src/graph/state.ts";
import { apply, type Operation, scope, type Tensor } from "../../../src/graph/tensor.ts";
import { cachedAttention } from "../../../src/ops/cached-attention.ts";
import { adamw } from "../../../src/ops/adamw.ts";
import { multiply, scale, silu, square } from "../../../src/ops/elementwise.ts";
import { clipScale } from "../../../src/ops/clip-scale.ts";
import { sumSquares } from "../../../src/ops/sum-squares.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { mean } from "../../../src/ops/reductions.ts";
import { sinkhorn } from "../../../src/ops/sinkhorn.ts";
import { sinkhornUntil } from "../../../src/ops/sinkhorn-until.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { describeArena, describeSchedule, summarise } from "../../../src/runtime/plan/describe.ts";
import type { ProgramSpec } from "../../../src/runtime/program.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { WasmProgram, WasmRuntime } from "../../../src/runtime/wasm/runtime.ts";

let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(() => runtime.close());

const kernels = ({ plan }: Pick<WasmProgram, "plan">): string[] => plan.calls.map(({ kernel }) => kernel);
const compile = (
  outputs: Record<string, Tensor>,
  updates: ProgramSpec["updates"] = [],
): WasmProgram<Record<string, Tensor>> => runtime.compile({ outputs, updates });

describe("few rows", () => {
  test("a product of few rows packs nothing, and has the bits of the same rows among many", () => {
    for (const [inner, columns] of [
      [19, 33],
      [40, 70],
    ] as const) {
      const [many, few, w] = [input("many", [21, inner]), input("few", [3, inner]), parameter("w", [inner, columns])];
      const random = (_: unknown, i: number): number => Math.sin(1 + i * i);
      runtime.write(many, Array.from({ length: 21 * inner }, random));
      runtime.write(few, Array.from({ length: 3 * inner }, random));
      runtime.write(w, Array.from({ length: inner * columns }, random));
      const programs = [compile({ y: matmul(many, w) }), compile({ y: matmul(few, w) })];
      expect(programs.map(kernels)).toEqual([["packB", "gemmRows"], ["gemv"]]);
      const [all, some] = programs.map((program) => {
        program.run();
        return program.readNow("y");
      });
      expect(some).toEqual(all!.slice(0, 3 * columns));
    }
  });

  test("a cache is written in its place", () => {
    const cache = {
      keys: persistent("keys", [4, 1, 4, 8]),
      values: persistent("values", [4, 1, 8, 4]),
      blocks: input("blocks", [2, 2], "i32"),
    };
    const rows = { positions: input("positions", [1], "i32"), slots: input("slots", [1], "i32") };
    const { out, ...next } = cachedAttention(input("qkv", [1, 12]), cache, rows, { heads: 1, headSize: 4 });
    const program = compile({ out }, [
      [cache.keys, next.keys],
      [cache.values, next.values],
    ]);
    expect(kernels(program)).toEqual(["cachedAttention"]);
    expect(program.plan.arena.bytes).toBeLessThan(512);
  });
});

describe("sums", () => {
  const [x, w] = [input("x", [60, 8]), parameter("w", [8, 8])];
  const isSum = (kernel: string): boolean => kernel === "add";

  test("a product that is added to something older starts from it", () => {
    expect(kernels(compile({ y: add(x, matmul(x, w)) })).filter(isSum)).toEqual([]);
    expect(kernels(compile({ y: add(matmul(x, w), x) })).filter(isSum)).toEqual([]);
  });
  test("but not where the product itself is wanted", () => {
    const product = matmul(x, w);
    expect(kernels(compile({ y: add(x, product), product })).filter(isSum)).toHaveLength(1);
    expect(kernels(compile({ y: multiply(add(x, product), product) })).filter(isSum)).toHaveLength(1);
    expect(kernels(compile({ y: add(product, product) })).filter(isSum)).toHaveLength(1);
  });
  test("and not where the other operand comes later", () => {
    const product = matmul(x, w);
    const later = silu(x);
    const program = compile({ y: add(product, later) });
    expect(kernels(program).filter(isSum)).toHaveLength(1);
    runtime.write(
      x,
      Float32Array.from({ length: 480 }, (_, i) => Math.sin(i)),
    );
    runtime.write(
      w,
      Float32Array.from({ length: 64 }, (_, i) => Math.cos(i)),
    );
    program.run();
    const y = program.readNow("y");
    const parts = compile({ product, later });
    parts.run();
    const [a, b] = [parts.readNow("product"), parts.readNow("later")];
    expect([...y]).toEqual(Array.from(a, (value, i) => Math.fround(value + b[i]!)));
  });
});

describe("memory", () => {
  test("a training step updates parameters and moments in place", () => {
    const [x, w] = [input("x", [60, 8]), parameter("w", [8, 8])];
    const [m, v, schedule] = [persistent("m", [8, 8]), persistent("v", [8, 8]), input("schedule", [3])];
    const loss = mean(square(matmul(x, w)));
    const [gradient] = gradients(loss, [w]);
    const next = adamw({ param: w, gradient: gradient!, m, v, schedule, clip: clipScale([sumSquares(gradient!)], 1) });
    const program = compile({ loss }, [
      [w, next[0]],
      [m, next[1]],
      [v, next[2]],
    ]);
    expect(kernels(program)).not.toContain("copy");
    expect(
      [...program.plan.arena.sharing.values()]
        .filter(({ state }) => state)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["m", "v", "w"]);
  });
  test("a view costs no call", () => {
    const x = input("x", [6, 4]);
    expect(kernels(compile({ y: reshape(square(reshape(x, [24])), [2, 12]) }))).toEqual(["square"]);
    const plain = compile({ y: reshape(x, [24]) });
    expect(kernels(plain)).toEqual([]);
    runtime.write(
      x,
      Array.from({ length: 24 }, (_, i) => i),
    );
    plain.run();
    expect(plain.readNow("y")[23]).toBe(23);
  });
  test("with keepAll every value can be looked at after a run", () => {
    const x = input("x", [4]);
    const inner = scope("inner", () => square(x));
    const program = runtime.compile({ outputs: { y: silu(scale(inner, -1)) } }, { keepAll: true });
    runtime.write(x, [1, 2, 3, 4]);
    program.run();
    const call = program.plan.calls.find(({ label }) => label === "inner:square")!;
    const written = call.operands.find((operand) => operand?.access === "write")!;
    expect([...program.peek(written.buffer)]).toEqual([1, 4, 9, 16]);
  });
  test("a trace shows all that every call writes, also what never leaves its chain", () => {
    const [x, w] = [input("x", [130, 8]), parameter("w", [8, 8])];
    const inner = scope("inner", () => square(matmul(x, w)));
    const outer = scope("outer", () => matmul(inner, w));
    const values = (size: number): number[] => Array.from({ length: size }, (_, i) => Math.sin(i));
    const spec = { outputs: { loss: mean(silu(outer)) } };
    const [kept, program] = [runtime.compile(spec, { keepAll: true }), runtime.compile(spec)];
    runtime.write(x, values(1040));
    runtime.write(w, values(64));
    expect(program.plan.arena.locals.size).toBeGreaterThan(0);
    kept.run();
    for (const tensor of [inner, outer]) {
      const expected = [...kept.peek(kept.plan.bufferOf(tensor))];
      const buffer = program.plan.bufferOf(tensor);
      const shown: number[] = [];
      program.trace(({ index }, part) => {
        if (
          program.plan.calls[index]!.operands.some(
            (operand) => operand?.access === "write" && operand.buffer === buffer,
          )
        )
          shown.push(...part);
      });
      expect(shown).toEqual(expected);
      kept.run();
    }
  });
});

test("a plan describes itself", () => {
  const [x, w] = [input("x", [60, 8]), parameter("w", [8, 8])];
  const loss = scope("head", () => mean(square(matmul(x, w))));
  const { plan } = compile({ loss });
  const summary = summarise(plan);
  expect(summary).toMatchObject({
    phases: plan.phases.length,
    calls: kernels(compile({ loss })).length,
    stateBytes: 4 * (480 + 64),
    arenaBytes: plan.arena.bytes,
  });
  expect(summary.flops).toBeGreaterThanOrEqual(2 * 60 * 8 * 8);
  expect(summary.unsharedBytes).toBeGreaterThan(4 * 480);
  expect(describeArena(plan)).toMatch(/^ *MiB {2}offset {2}phases {2}buffer\n[\s\S]*head:matmul/);
  expect(describeArena(plan, 2).split("\n")).toHaveLength(3);
  expect(describeSchedule(plan)).toMatch(/head:matmul\/gemmRows → head:square/);
});

test("an operation without a kernel is named with its place", () => {
  const strange: Operation<["x"], ["y"]> = {
    name: "strange",
    inputs: ["x"],
    outputs: ["y"],
    infer: ({ x }) => ({ y: x }),
    flops: () => 0,
    reference: ({ x }, { y }) => y.data.set(x.data),
  };
  const y = scope("layers.3", () => apply(strange, { x: input("x", [2]) }).y);
  expect(() => compile({ y })).toThrow(
    "compile: the wasm runtime has no kernel for layers.3:strange, and this operation has no composed form.",
  );
});

test("Sinkhorn-Knopp that does not fit the scratch says how many iterations would, or that none would", () => {
  const logits = (n: number): Tensor => input("logits", [1, n, n]);
  const [fits] = [compile({ y: sinkhornUntil(logits(64), { most: 189 }) })];
  expect(kernels(fits)).toEqual(["sinkhornUntil"]);
  expect(() => compile({ y: sinkhornUntil(logits(64), { most: 190 }) })).toThrow(
    "most is 190 for matrices of 64 × 64; the CPU runtime does 189 iterations at most; use a smaller most.",
  );
  expect(() => compile({ y: sinkhornUntil(logits(128)) })).toThrow("does 0 iterations at most; use smaller matrices.");
  expect(() => compile({ y: sinkhorn(logits(64), { iterations: 500 }) })).toThrow(
    /does \d+ at most; use fewer iterations/,
  );
  expect(() => compile({ y: sinkhorn(logits(128), { iterations: 1 }) })).toThrow(
    "does 0 at most; use smaller matrices.",
  );
});
