// One token, several tiles, grouped heads, values of another size.

import { attention } from "../../../src/ops/attention.ts";
import type { OperationCase } from "../case.ts";

function attentionCase(
  batch: number,
  length: number,
  heads: number,
  kvHeads: number,
  headSize: number,
  valueSize: number = headSize,
): OperationCase {
  const values = valueSize === headSize ? "" : `, values of ${valueSize}`;
  return {
    name: `attention B ${batch}, T ${length}, ${heads} heads of ${headSize} over ${kvHeads}${values}`,
    inputs: { qkv: { shape: [batch, length, (heads + kvHeads) * headSize + kvHeads * valueSize] } },
    build: ({ qkv }) => attention(qkv!, { heads, kvHeads, headSize, valueSize }),
  };
}

const logSumExpCase: OperationCase = {
  name: "attention with its log-sum-exp",
  inputs: { qkv: { shape: [2, 21, 32] } },
  constant: ["qkv"],
  build: ({ qkv }) => attention(qkv!, { heads: 2, kvHeads: 1, headSize: 8, scale: 1.5 }).node.outputs,
};

export const attentionCases: readonly OperationCase[] = [
  attentionCase(1, 1, 1, 1, 4),
  attentionCase(2, 13, 2, 2, 8),
  attentionCase(1, 67, 4, 2, 10),
  attentionCase(3, 50, 3, 1, 17),
  attentionCase(1, 1, 1, 1, 3, 5),
  attentionCase(2, 53, 2, 2, 24, 16),
  attentionCase(1, 67, 4, 2, 6, 19),
  attentionCase(1, 331, 1, 1, 48, 32),
  logSumExpCase,
];
