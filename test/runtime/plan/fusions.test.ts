// Operations that become one: by a machine that has a kernel for them, where nobody else reads what lies between.

import { describe, expect, test } from "vitest";
import { input } from "../../../src/graph/state.ts";
import { checkpoint, keep, type Tensor } from "../../../src/graph/tensor.ts";
import { toBfloat16, toFloat32 } from "../../../src/ops/bfloat16.ts";
import { multiply, scale } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { manifoldCoefficients } from "../../../src/ops/manifold-coefficients.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import { implementationsFor } from "../../../src/runtime/cuda/ops/table.ts";
import { gpuMachine } from "../../../src/runtime/gpu/machine.ts";
import { compilePlan, withoutMemory } from "../../../src/runtime/plan/compile.ts";
import type { Machine } from "../../../src/runtime/plan/machine.ts";
import type { Outputs } from "../../../src/runtime/program.ts";
import { wasmMachine } from "../../../src/runtime/wasm/machine.ts";

const gpu = { name: "gpu", largestMemory: 2 ** 40, largestBuffer: 2 ** 34, alignment: 256 };
const own = implementationsFor({ capability: "9.0", sharedBytes: 227 * 1024, compiler: 13_000 });
const cuda = gpuMachine({ ...gpu, own, takesStored: true });

const joint = [
  "streamWriteProjection",
  "coefficientsRead",
  "coefficientsReadBackward",
  "streamReadProjectionBackward",
] as const;
const alone = [
  "streamWrite",
  "streamProjection",
  "manifoldCoefficients",
  "streamRead",
  "manifoldCoefficientsBackward",
  "streamReadBackward",
  "streamProjectionBackward",
] as const;

/** How often each of the operations is called. */
function callsOf(outputs: Outputs, machine: Machine = cuda): Record<string, number> {
  const kernels = compilePlan({ outputs }, machine, withoutMemory()).calls.map(({ kernel }) => kernel);
  const counts = [...joint, ...alone].map(
    (name) => [name, kernels.filter((kernel) => kernel === name).length] as const,
  );
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

const [phi, alpha, bias] = [input("phi", [24, 128]), input("alpha", [3]), input("bias", [24])];
const x = input("x", [8, 4, 32]);
type Store = (next: Tensor) => Tensor;
const narrow: Store = (next) => toFloat32(toBfloat16(next));

/** Sublayers whose block is a scale, and the gradient of a sum of what they give. */
function sublayers(count: number, store: Store = (next) => next, coefficients: (h: Tensor) => Tensor = (h) => h) {
  const states = [x];
  for (let layer = 0; layer < count; layer++) {
    const state = states.at(-1)!;
    const h = coefficients(manifoldCoefficients(state, phi, alpha, bias));
    states.push(store(streamWrite(state, h, scale(streamRead(state, h), 2))));
  }
  return { states, last: states.at(-1)! };
}

const gradientOf = (last: Tensor): readonly Tensor[] => gradients(sum(multiply(last, last)), [x, phi]);

test("on CUDA a seam is two calls, and two backward", () => {
  const forward = { streamProjection: 1, coefficientsRead: 3, streamWriteProjection: 2, streamWrite: 1 };
  expect(callsOf({ last: sublayers(3).last })).toEqual(forward);
  const backward = { coefficientsReadBackward: 3, streamReadProjectionBackward: 3 };
  expect(callsOf({ gradients: gradientOf(sublayers(3).last) })).toEqual({ ...forward, ...backward });
});

test("so it is where streams are kept in bfloat16", () => {
  const { last } = sublayers(3, narrow);
  const found = callsOf({ last });
  expect(found).toEqual({ streamProjection: 1, coefficientsRead: 3, streamWriteProjection: 2, streamWrite: 1 });
});

describe("operations stay alone", () => {
  test("where what lies between in float32 is read by somebody else, or is a result", () => {
    let exact: Tensor | undefined;
    const { last } = sublayers(2, (next) => {
      exact ??= next;
      return narrow(next);
    });
    expect(callsOf({ last, exact })).toMatchObject({ streamWrite: 2, streamProjection: 2 });
  });

  test("where the streams are projected in float32 and kept in bfloat16 alone", () => {
    const h = manifoldCoefficients(x, phi, alpha, bias);
    const next = streamWrite(x, h, scale(streamRead(x, h), 2));
    const outputs = { coefficients: manifoldCoefficients(next, phi, alpha, bias), kept: narrow(next) };
    expect(callsOf(outputs)).toMatchObject({ streamWrite: 1, streamProjection: 2 });
  });

  test("where coefficients are changed before they are used", () => {
    const { last } = sublayers(2, undefined, (h) => scale(h, 0.5));
    const found = callsOf({ last });
    expect(found).toMatchObject({ manifoldCoefficients: 2, streamRead: 2, streamWriteProjection: 1 });
  });

  test("where they are computed again at different times: coefficients for the next write, the read for its block", () => {
    const state = checkpoint(() => {
      let streams = x;
      for (let layer = 0; layer < 3; layer++) {
        const h = manifoldCoefficients(streams, phi, alpha, bias);
        const read = scale(streamRead(streams, h), 2);
        streams = streamWrite(
          streams,
          h,
          keep(() => multiply(read, read)),
        );
      }
      return streams;
    });
    expect(callsOf({ state })).not.toHaveProperty("streamRead");
    const found = callsOf({ state, gradients: gradientOf(state) });
    expect(found).toMatchObject({ coefficientsRead: 3, manifoldCoefficients: 3, streamRead: 3 });
  });

  test("on machines that have no kernel for them", () => {
    const outputs = { gradients: gradientOf(sublayers(3).last) };
    for (const machine of [wasmMachine({ threads: 1, panelWidth: 16 }), gpuMachine(gpu)]) {
      const found = Object.keys(callsOf(outputs, machine));
      expect(found.filter((name) => (joint as readonly string[]).includes(name))).toEqual([]);
      expect(found).toContain("streamWrite");
    }
  });

  test("for shapes that the kernels cannot do", () => {
    const small = input("small", [8, 4, 12]);
    const weights = input("weights", [24, 48]);
    const h = manifoldCoefficients(small, weights, alpha, bias);
    const next = streamWrite(small, h, streamRead(small, h));
    const last = streamRead(next, manifoldCoefficients(next, weights, alpha, bias));
    expect(Object.keys(callsOf({ last })).filter((name) => (joint as readonly string[]).includes(name))).toEqual([]);
  });
});
