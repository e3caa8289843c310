// Streams kept as bfloat16, alone and around a sublayer.

import { manifoldCoefficients } from "../../../src/ops/manifold-coefficients.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { toBfloat16, toFloat32 } from "../../../src/ops/bfloat16.ts";
import { roundToFloat8 } from "../../../src/ops/float8.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import type { OperationCase } from "../case.ts";
import { normal } from "../harness.ts";
import { fewSizes, normals, type Sizes, sizes } from "./stream-sizes.ts";

const name = ([T, n, C]: Sizes): string => `[${T}, ${n}, ${C}]`;

/** A sublayer whose streams are kept as bfloat16: widened in two chains and for the gradient of phi. */
function narrowSublayer([T, n, C]: Sizes): OperationCase {
  const M = n * n + 2 * n;
  return {
    name: `narrow sublayer [${T}, ${n}, ${C}]`,
    inputs: {
      x: { shape: [T, n, C] },
      phi: { shape: [M, n * C], values: normals(1 / Math.sqrt(n * C)) },
      alpha: { shape: [3], values: () => 0.5 },
      bias: { shape: [M] },
      w: { shape: [C, C], values: normals(1 / Math.sqrt(C)) },
    },
    rounds: true,
    tolerance: {
      forward: 2 ** -8,
      gradient: 2 ** -7,
      why: "a sum that differs in its last bit may round the other way",
    },
    build({ x, phi, alpha, bias, w }) {
      const streams = toFloat32(toBfloat16(x!));
      const h = manifoldCoefficients(streams, phi!, alpha!, bias!);
      const y = matmul(streamRead(streams, h), w!);
      return toFloat32(toBfloat16(streamWrite(streams, h, y)));
    },
  };
}

export const bfloat16Cases: readonly OperationCase[] = [
  ...sizes.map((size): OperationCase => ({
    name: `toBfloat16 and toFloat32 ${name(size)}`,
    inputs: { x: { shape: size } },
    rounds: true,
    build: ({ x }) => toFloat32(toBfloat16(x!)),
  })),
  ...[[], [1], [37], [5, 3, 7]].map((shape): OperationCase => ({
    name: `toBfloat16 and toFloat32 [${shape.join(", ")}]`,
    inputs: { x: { shape } },
    rounds: true,
    build: ({ x }) => toFloat32(toBfloat16(x!)),
  })),
  ...fewSizes.map(narrowSublayer),
  ...(
    [
      [[5, 300], 1, 128],
      [[130, 7], 128, 1],
      [[3, 37], 1, 16],
      [[140, 135], 128, 128],
      [[3, 20, 37], 16, 16],
      [[2, 3, 5], 1, 4],
      [[1], 1, 1],
    ] as const
  ).map(([shape, rows, columns]): OperationCase => ({
    name: `roundToFloat8 [${shape.join(", ")}] in blocks of ${rows} x ${columns}`,
    // Magnitudes over many powers of two, so that blocks have numbers below their least.
    inputs: { x: { shape, values: (random) => normal(random) * 2 ** Math.floor(24 * random() - 12) } },
    rounds: true,
    build: ({ x }) => roundToFloat8(x!, { rows, columns }),
  })),
];
