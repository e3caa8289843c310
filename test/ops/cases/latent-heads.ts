// One row and several.

import { latentHeads } from "../../../src/ops/latent-heads.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

function latentCase(
  rows: Shape,
  heads: number,
  rotarySize: number,
  contentSize: number,
  valueSize: number,
): OperationCase {
  return {
    name: `latentHeads [${rows}], ${heads} heads of ${rotarySize} + ${contentSize}, values of ${valueSize}`,
    inputs: {
      q: { shape: [...rows, heads * (rotarySize + contentSize)] },
      kv: { shape: [...rows, heads * (contentSize + valueSize)] },
      r: { shape: [...rows, rotarySize] },
    },
    build: ({ q, kv, r }) => latentHeads(q!, kv!, r!, { heads, rotarySize, contentSize, valueSize }),
  };
}

export const latentHeadsCases: readonly OperationCase[] = [
  latentCase([1], 1, 2, 1, 1),
  latentCase([2, 51], 3, 4, 5, 7),
  latentCase([50], 2, 16, 32, 24),
];
