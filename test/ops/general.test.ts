// What the operations of general use say when they are given what they cannot take, and that a diverged
// value stays visible.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { concat } from "../../src/ops/concat.ts";
import { crossEntropy } from "../../src/ops/cross-entropy.ts";
import { exp, gelu, multiply, relu, sigmoid, silu, square, tanh } from "../../src/ops/elementwise.ts";
import { gather, scatterAdd } from "../../src/ops/gather.ts";
import { permute } from "../../src/ops/permute.ts";
import { broadcast, broadcastLast, sum, sumLast, sumLeading } from "../../src/ops/reductions.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { place, slice } from "../../src/ops/slice.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";

const x = input("x", [6, 4]);
const tokens = input("tokens", [6], "i32");

const wrong: readonly [string, () => Tensor, RegExp][] = [
  ["operands of two shapes", () => multiply(x, input("y", [4])), /multiply: .*broadcast\(\).*a \[6, 4\], b \[4\]/],
  ["indices where values belong", () => exp(tokens), /exp: x holds i32 indices.*gather/],
  ["broadcast to another ending", () => broadcast(x, [4, 6]), /broadcast: .*end with x's shape.*\[4, 6\]/],
  ["broadcastLast to nothing", () => broadcastLast(x, 0), /broadcastLast: every axis must be a positive whole number/],
  ["keeping more axes than there are", () => sumLeading(x, 3), /keepAxes must be a whole number from 0 to 2, .*not 3/],
  ["the rows of a scalar", () => sumLast(sum(x)), /sumLast: x needs an axis/],
  ["reshape to another size", () => reshape(x, [5, 5]), /reshape: .*as many elements as x \(24\), not 25/],
  [
    "permute with an axis twice",
    () => permute(x, [0, 0]),
    /permute: axes must name each of x's 2 axes once, not \[0, 0\]/,
  ],
  [
    "slice over the end",
    () => slice(x, 1, 2, 3),
    /slice: the part from 2 of size 3 must lie within the axis \(size 4\)/,
  ],
  [
    "slice an axis that is not there",
    () => slice(x, 2, 0, 1),
    /slice: the axis must be a whole number from 0 to 1, not 2/,
  ],
  [
    "place over the end",
    () => place(x, 0, 1, 6),
    /place: the part from 1 of size 6 must lie within the axis \(size 6\)/,
  ],
  [
    "concat of unequal sides",
    () => concat([x, input("y", [5, 4])], 1),
    /concat: the tensors may differ only in axis 1.*x2 \[5, 4\]/,
  ],
  ["concat of nothing", () => concat([], 0), /concat: it needs at least one tensor/],
  ["gather with values as indices", () => gather(x, x), /gather: indices must be i32 and values f32, not f32 and f32/],
  ["gather from a vector", () => gather(input("y", [4]), tokens), /gather: the table must have two axes/],
  [
    "scatterAdd of too few rows",
    () => scatterAdd(tokens, input("g", [5, 4]), 9),
    /scatterAdd: g must have one row for each index/,
  ],
  [
    "crossEntropy with too few targets",
    () => crossEntropy(x, input("targets", [5], "i32")),
    /crossEntropy: there must be one target for each row/,
  ],
];

describe("shapes that do not fit", () => {
  it.each(wrong)("%s", (_name, build, message) => expect(build).toThrow(message));
});

describe("indices out of range", () => {
  it.each([
    ["gather", () => gather(x, tokens), /gather: index 6 at position 1; allowed are 0 to 5; check the token ids/],
    [
      "crossEntropy",
      () => crossEntropy(x, tokens),
      /crossEntropy: index 6 at position 1; allowed are 0 to 3; check the targets/,
    ],
  ] as const)("the reference of %s names the index", (_name, build, message) => {
    const runtime = createReferenceRuntime();
    const program = runtime.compile({ outputs: { y: build() } });
    runtime.write(tokens, [0, 6, 0, 0, 0, 0]);
    expect(() => program.run()).toThrow(message);
  });
});

describe("not a number", () => {
  let runtime: WasmRuntime;
  beforeAll(async () => {
    runtime = await createWasmRuntime({ threads: 1 });
  });
  afterAll(() => runtime.close());

  const functions: Readonly<Record<string, (x: Tensor) => Tensor>> = {
    exp,
    gelu,
    relu,
    sigmoid,
    silu,
    square,
    tanh,
    softmax,
    sum,
    sumLast,
    crossEntropy: (logits) => crossEntropy(logits, tokens),
  };
  it.each(Object.entries(functions))("stays so through %s", (_name, of) => {
    const program = runtime.compile({ outputs: { y: of(x) } });
    for (const position of [0, 2, 3]) {
      const values = Float32Array.from({ length: 24 }, (_, i) => (i === position ? NaN : 1));
      runtime.write(x, values);
      runtime.write(tokens, [1, 1, 1, 1, 1, 1]);
      program.run();
      expect(program.readNow("y").some(Number.isNaN)).toBe(true);
    }
  });
});
