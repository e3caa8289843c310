// What sublayers write.

import { streamWrite } from "../../../src/ops/stream-write.ts";
import type { OperationCase } from "../case.ts";
import { sizes } from "./stream-sizes.ts";

export const streamWriteCases: readonly OperationCase[] = sizes.map(([T, n, C]): OperationCase => ({
  name: `streamWrite [${T}, ${n}, ${C}]`,
  inputs: { x: { shape: [T, n, C] }, h: { shape: [T, n * n + 2 * n] }, y: { shape: [T, C] } },
  build: ({ x, h, y }) => streamWrite(x!, h!, y!),
}));
