// The operations of the seam, which only machines make: they have no gradient.

import { apply } from "../../../src/graph/tensor.ts";
import { coefficientsReadOperation, streamWriteProjectionOperation } from "../../../src/ops/stream-seam.ts";
import type { OperationCase } from "../case.ts";

const [T, n, C] = [6, 4, 12];
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
];
