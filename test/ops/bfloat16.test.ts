// bfloat16 streams: rounding bit by bit, and what it does to a model's loss and gradients.

import { describe, expect, test } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { hc } from "../../src/connections/hc.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { modelSchema } from "../../src/model/config.ts";
import { streamRead } from "../../src/ops/stream-read.ts";
import { roundToBfloat16, type StreamPrecision, toBfloat16, toFloat32 } from "../../src/ops/bfloat16.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { uniform } from "./harness.ts";

const words = new Uint32Array(1);
const float = new Float32Array(words.buffer);
const fromBits = (bits: number): number => ((words[0] = bits), float[0]!);

/** Every bfloat16 that is a number, the smallest in magnitude first. */
const all = Array.from({ length: 0x7f81 }, (_, half) => fromBits(half << 16));

describe("rounding", () => {
  test("keeps every bfloat16", () => {
    expect(all.map(roundToBfloat16)).toEqual(all);
    const negative = all.map((value) => -value);
    expect(negative.map(roundToBfloat16)).toEqual(negative);
  });
  test("takes the nearer neighbour, and of two equally near the even one", () => {
    const halves = all.slice(0, 0x7f7f).map((_, half) => half);
    const rounded = (lower: number): number[] => halves.map((half) => roundToBfloat16(fromBits((half << 16) | lower)));
    expect(rounded(0x7fff)).toEqual(halves.map((half) => all[half]!));
    expect(rounded(0x8000)).toEqual(halves.map((half) => all[half + (half % 2)]!));
    expect(rounded(0x8001)).toEqual(halves.map((half) => all[half + 1]!));
    expect(roundToBfloat16(3.4e38)).toBe(Number.POSITIVE_INFINITY);
    expect(roundToBfloat16(Number.NaN)).toBeNaN();
  });
  test.each(["relaxed", "simd"] as const)("is the same in the %s kernels, for any bits", async (build) => {
    const runtime = await createWasmRuntime({ build, threads: 2 });
    const [T, n, C] = [200, 3, 37];
    const x = input("x", [T, n, C]);
    const random = uniform(7);
    const bits = Uint32Array.from({ length: T * n * C }, () => Math.floor(random() * 2 ** 32));
    bits.set([0x7fffffff, 0xffffffff, 0x7f800000, 0xff800000, 0x7f7fffff, 0x00008000, 0x00018000], 40);
    const values = new Float32Array(bits.buffer);
    runtime.write(x, values);
    const narrow = toBfloat16(x);
    const program = runtime.compile({ outputs: { narrow, wide: toFloat32(narrow) } });
    program.run();
    const expected = Float32Array.from(values, roundToBfloat16);
    expect(program.readNow("wide")).toEqual(expected);
    expect(program.readNow("narrow")).toEqual(expected);
    runtime.close();
  });
});

test("narrow streams are only for keeping", () => {
  const x = toBfloat16(input("x", [3, 4, 5]));
  expect(() => streamRead(x, input("h", [3, 24]))).toThrow(/bfloat16.*toFloat32/);
  expect(() => toFloat32(input("x", [3, 4, 5]))).toThrow(/f32 already/);
});

/** Loss and gradients of a small model. */
function measure(runtime: SynchronousRuntime, kind: "hc" | "mhc", streamPrecision: StreamPrecision) {
  const config = modelSchema.parse({
    vocabulary: 50,
    context: 24,
    width: 40,
    layers: 3,
    heads: 2,
    kvHeads: 1,
    hidden: 72,
    connection: { kind, streamPrecision },
  });
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const [tokens, targets] = [input("tokens", [3, 24], "i32"), input("targets", [3, 24], "i32")];
  const random = uniform(3);
  const ids = Int32Array.from({ length: 72 }, () => Math.floor(50 * random()));
  runtime.write(tokens, ids);
  runtime.write(targets, ids.toReversed());
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 5));
  const loss = model.loss(model.hidden(tokens).hidden_NC, targets);
  const found = gradients(
    loss,
    parameters.all.map(({ tensor }) => tensor),
  );
  const program = runtime.compile({ outputs: { loss, found } });
  program.run();
  return {
    loss: program.readNow("loss")[0]!,
    gradients: parameters.all.map(({ name, role }, index) => ({
      name,
      role,
      values: Array.from(program.readNow("found")[index]!),
    })),
  };
}

const norm = (values: readonly number[]): number => Math.hypot(...values);
const distance = (a: readonly number[], b: readonly number[]): number => norm(a.map((value, i) => value - b[i]!));

describe.each(["mhc", "hc"] as const)("%s with narrow streams", (kind) => {
  test("has the loss of float32 within 1e-3; by norm, gradients are within 3 %, those of the connections within 8 %", async () => {
    const runtime = await createWasmRuntime({ threads: 2 });
    const exact = measure(runtime, kind, "float32");
    const narrow = measure(runtime, kind, "bfloat16");
    expect(narrow.loss).not.toBe(exact.loss);
    expect(Math.abs(narrow.loss - exact.loss)).toBeLessThan(1e-3);
    for (const [index, { name, role, values }] of exact.gradients.entries()) {
      const error = distance(values, narrow.gradients[index]!.values) / Math.max(norm(values), 1e-6);
      expect(error, name).toBeLessThan(role === "connection" ? 0.08 : 0.03);
    }
    runtime.close();
  });
  test("is the same on the reference, but for sums that round the other way", async () => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const reference = measure(createReferenceRuntime(), kind, "bfloat16");
    const kernels = measure(runtime, kind, "bfloat16");
    expect(Math.abs(kernels.loss - reference.loss)).toBeLessThan(1e-4);
    for (const [index, { name, values }] of reference.gradients.entries()) {
      const error = distance(values, kernels.gradients[index]!.values) / Math.max(norm(values), 1e-6);
      expect(error, name).toBeLessThan(0.02);
    }
    runtime.close();
  });
  test("gives the same bits on one thread and on three", async () => {
    const results = await Promise.all(
      [1, 3].map(async (threads) => {
        const runtime = await createWasmRuntime({ threads });
        const result = measure(runtime, kind, "bfloat16");
        runtime.close();
        return result;
      }),
    );
    expect(results[0]).toEqual(results[1]);
  });
});

test("connections take narrow streams by option", () => {
  const x = input("x", [5, 8]);
  for (const connection of [mhc({ streamPrecision: "bfloat16" }), hc({ streamPrecision: "bfloat16" })]) {
    const state = connection.expand(x);
    expect(state.dtype).toBe("bf16");
    const sublayer = connection.sublayer(createParameters(), { channels: 8, index: 0 });
    expect(sublayer.apply(state, (u) => u).state.dtype).toBe("bf16");
    expect(connection.collapse(state).dtype).toBe("f32");
  }
});
