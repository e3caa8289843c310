// The operations of the seam, which only machines make: they have no gradient.

import { apply } from "../../../src/graph/tensor.ts";
import {
  coefficientsReadBackwardOperation,
  coefficientsReadOperation,
  streamReadProjectionBackwardOperation,
  streamWriteProjectionOperation,
} from "../../../src/ops/stream-seam.ts";
import type { OperationCase } from "../case.ts";

const [T, n, C] = [6, 4, 32];
const M = n * (n + 2);

export const streamSeamCases: readonly OperationCase[] = [
  ...[false, true].map((rounds): OperationCase => ({
    name: `streamWriteProjection [${T}, ${n}, ${C}]${rounds ? ", rounded" : ""}`,
    inputs: { x: { shape: [T, n, C] }, h: { shape: [T, M] }, y: { shape: [T, C] }, w: { shape: [M, n * C] } },
    constant: ["x", "h", "y", "w"],
    ...(rounds && { rounds }),
    build({ x, h, y, w }) {
      const attributes = { over: "token", epsilon: 1e-6, rounds } as const;
      const { next, p, s } = apply(streamWriteProjectionOperation, { x: x!, h: h!, y: y!, w: w! }, attributes);
      return [next, p, s];
    },
    ...(rounds && {
      tolerance: { forward: 2 ** -8, gradient: 1, why: "a value in the middle may be rounded the other way" },
    }),
  })),
  {
    name: `coefficientsRead [${T}, ${n}, ${C}]`,
    inputs: { p: { shape: [T, M] }, alpha: { shape: [3] }, bias: { shape: [M] }, x: { shape: [T, n, C] } },
    constant: ["p", "alpha", "bias", "x"],
    build({ p, alpha, bias, x }) {
      const operands = { p: p!, alpha: alpha!, bias: bias!, x: x! };
      const { h, u } = apply(coefficientsReadOperation, operands, { iterations: 20 });
      return [h, u];
    },
  },
  {
    name: `coefficientsReadBackward [${T}, ${n}, ${C}]`,
    inputs: {
      p: { shape: [T, M] },
      alpha: { shape: [3] },
      bias: { shape: [M] },
      dh: { shape: [T, M] },
      x: { shape: [T, n, C] },
      du: { shape: [T, C] },
    },
    constant: ["p", "alpha", "bias", "dh", "x", "du"],
    build({ p, alpha, bias, dh, x, du }) {
      const operands = { p: p!, alpha: alpha!, bias: bias!, dh: dh!, x: x!, du: du! };
      const { dp, dalpha, dbias } = apply(coefficientsReadBackwardOperation, operands, { iterations: 3 });
      return [dp, dalpha, dbias];
    },
  },
  ...[false, true].map((rounds): OperationCase => ({
    name: `streamReadProjectionBackward [${T}, ${n}, ${C}]${rounds ? ", rounded" : ""}`,
    inputs: {
      before: { shape: [T, n, C] },
      x: { shape: [T, n, C] },
      h: { shape: [T, M] },
      du: { shape: [T, C] },
      w: { shape: [M, n * C] },
      p: { shape: [T, M] },
      s: { shape: [T, 1], values: (random) => 0.5 + random() },
      dp: { shape: [T, M] },
    },
    constant: ["before", "x", "h", "du", "w", "p", "s", "dp"],
    ...(rounds && { rounds }),
    build({ before, x, h, du, w, p, s, dp }) {
      const operands = { before: before!, x: x!, h: h!, du: du!, w: w!, p: p!, s: s!, dp: dp! };
      const attributes = { over: "token", epsilon: 1e-6, rounds } as const;
      const { dx, draw } = apply(streamReadProjectionBackwardOperation, operands, attributes);
      return [dx, draw];
    },
    ...(rounds && {
      tolerance: { forward: 2 ** -8, gradient: 1, why: "a value in the middle may be rounded the other way" },
    }),
  })),
];
