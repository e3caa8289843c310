// Shapes that reach every branch of CUDA's own kernels: several groups, the last one not full, several slices of a row,
// heads that are shared, wide, or no multiple of 16 bytes.

import { attention } from "../../../src/ops/attention.ts";
import { manifoldCoefficients } from "../../../src/ops/manifold-coefficients.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import type { OperationCase } from "../../ops/case.ts";

function attentionCase(T: number, heads: number, kvHeads: number, headSize: number, valueSize: number): OperationCase {
  return {
    name: `attention T ${T}, ${heads} heads of ${headSize} over ${kvHeads}, values of ${valueSize}`,
    inputs: { qkv: { shape: [1, T, (heads + kvHeads) * headSize + kvHeads * valueSize] } },
    build: ({ qkv }) => attention(qkv!, { heads, kvHeads, headSize, valueSize }),
  };
}

/** A sublayer without a block, twice: gradients of streams meet, and streams are read that were written. */
function sublayersCase(T: number, n: number, C: number): OperationCase {
  const M = n * (n + 2);
  return {
    name: `two sublayers of streams [${T}, ${n}, ${C}]`,
    inputs: {
      x: { shape: [T, n, C] },
      phi: { shape: [M, n * C], values: (random) => 0.1 * (random() - 0.5) },
      alpha: { shape: [3] },
      bias: { shape: [M] },
    },
    build({ x, phi, alpha, bias }) {
      let streams = x!;
      for (let layer = 0; layer < 2; layer++) {
        const h = manifoldCoefficients(streams, phi!, alpha!, bias!, { iterations: 3 });
        streams = streamWrite(streams, h, streamRead(streams, h));
      }
      return streams;
    },
    tolerance: { forward: 1e-5, gradient: 2e-4, why: "sums over more than a thousand values, twice" },
  };
}

export const ownCases: readonly OperationCase[] = [
  attentionCase(130, 2, 1, 64, 64),
  attentionCase(67, 1, 1, 128, 128),
  attentionCase(70, 1, 1, 192, 128),
  attentionCase(33, 2, 1, 100, 36),
  sublayersCase(37, 4, 520),
  sublayersCase(70, 4, 24),
  sublayersCase(67, 4, 160),
  sublayersCase(18, 2, 64),
  sublayersCase(5, 2, 1040),
  sublayersCase(9, 3, 64),
];

/** Shapes that a GPU with less shared memory does in smaller tiles, or as every GPU does. */
export const wideCases: readonly OperationCase[] = [attentionCase(70, 1, 1, 192, 128), sublayersCase(5, 8, 16)];
