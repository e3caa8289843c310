// Question: which operations must a runtime have?
//
// These. Every other operation composes to them, so whoever implements this list runs every model; what a
// runtime implements besides is faster, nothing else. graph/compose.ts replaces what it does not have.

import type { Operation } from "../graph/tensor.ts";
import { stateOperation } from "../graph/state.ts";
import { batchedMatmulOperation } from "./batched-matmul.ts";
import { birkhoffProjectionOperation } from "./birkhoff-projection.ts";
import { addOperation, affineOperation, curveOperations, multiplyOperation } from "./elementwise.ts";
import { fillOperation } from "./fill.ts";
import { gatherOperation, scatterAddOperation } from "./gather.ts";
import { matmulOperation } from "./matmul.ts";
import { maxLastOperation } from "./max-last.ts";
import { permuteOperation } from "./permute.ts";
import { broadcastLastOperation, broadcastOperation, sumLastOperation, sumLeadingOperation } from "./reductions.ts";
import { reshapeOperation } from "./reshape.ts";
import { selectOperation } from "./select.ts";
import { placeOperation, sliceOperation } from "./slice.ts";
import { streamNarrowOperation, streamWidenOperation } from "./stream-precision.ts";
import { toFloatsOperation } from "./to-floats.ts";
import { toIndicesOperation } from "./to-indices.ts";

export const primitives: ReadonlySet<Operation> = new Set<Operation>([
  // Values that are there.
  stateOperation,
  fillOperation,
  // Element by element; of the functions of one tensor exp, log, sqrt and reciprocal.
  addOperation,
  multiplyOperation,
  affineOperation,
  selectOperation,
  ...curveOperations.filter(({ compose }) => compose === undefined),
  // Along axes.
  sumLastOperation,
  sumLeadingOperation,
  maxLastOperation,
  broadcastOperation,
  broadcastLastOperation,
  // Moved.
  reshapeOperation,
  permuteOperation,
  sliceOperation,
  placeOperation,
  // Looked up.
  gatherOperation,
  scatterAddOperation,
  // Products.
  matmulOperation,
  batchedMatmulOperation,
  // Other types.
  toFloatsOperation,
  toIndicesOperation,
  streamNarrowOperation,
  streamWidenOperation,
  // How many steps it takes depends on the values; only models with this choice of H_res need it.
  birkhoffProjectionOperation,
]);
