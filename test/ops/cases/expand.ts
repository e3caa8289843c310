// Channels into streams and back.

import { add } from "../../../src/ops/elementwise.ts";
import { collapse, expand } from "../../../src/ops/expand.ts";
import type { OperationCase } from "../case.ts";
import { type Sizes, sizes } from "./stream-sizes.ts";

const name = ([T, n, C]: Sizes): string => `[${T}, ${n}, ${C}]`;

export const expandCases: readonly OperationCase[] = [
  ...sizes.map((size): OperationCase => ({
    name: `expand ${name(size)}`,
    inputs: { y: { shape: [size[0], size[2]] } },
    build: ({ y }) => expand(y!, size[1]),
  })),
  ...sizes.map((size): OperationCase => ({
    name: `collapse ${name(size)} by mean and sum`,
    inputs: { x: { shape: size } },
    build: ({ x }) => [collapse(x!, "mean"), collapse(x!, "sum")],
  })),
  {
    name: "expand and collapse [2, 3, 5]",
    inputs: { x: { shape: [2, 3, 5] } },
    build: ({ x }) => collapse(add(expand(x!, 2), expand(x!, 2)), "mean"),
  },
];
