// What sublayers read.

import { streamRead } from "../../../src/ops/stream-read.ts";
import type { OperationCase } from "../case.ts";
import { sizes } from "./stream-sizes.ts";

export const streamReadCases: readonly OperationCase[] = sizes.map(([T, n, C]): OperationCase => ({
  name: `streamRead [${T}, ${n}, ${C}]`,
  inputs: { x: { shape: [T, n, C] }, h: { shape: [T, n * n + 2 * n] } },
  build: ({ x, h }) => streamRead(x!, h!),
}));
