// Question: which operations must a runtime have?
//
// A runtime must have the operations listed here. Every other operation has a composed form of these, so a runtime that
// implements this list runs every model. Implementing more only makes it faster. graph/compose.ts replaces the
// operations that a runtime lacks.

import type { Operation } from "../graph/tensor.ts";
import { stateOperation } from "../graph/state.ts";
import { batchedMatmulOperation } from "./batched-matmul.ts";
import { birkhoffProjectionOperation } from "./birkhoff-projection.ts";
import { sinkhornUntilBackwardOperation, sinkhornUntilOperation } from "./sinkhorn-until.ts";
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
import { toBfloat16Operation, toFloat32Operation } from "./bfloat16.ts";
import { roundToFloat8Operation } from "./float8.ts";
import { toFloatsOperation } from "./to-floats.ts";
import { toIndicesOperation } from "./to-indices.ts";

export const primitives: ReadonlySet<Operation> = new Set<Operation>([
  // Stored values.
  stateOperation,
  fillOperation,
  // Elementwise operations. Of the functions of one tensor, exp, log, sqrt and reciprocal are primitives.
  addOperation,
  multiplyOperation,
  affineOperation,
  selectOperation,
  ...curveOperations.filter(({ compose }) => compose === undefined),
  // Operations along axes.
  sumLastOperation,
  sumLeadingOperation,
  maxLastOperation,
  broadcastOperation,
  broadcastLastOperation,
  // Operations that move values.
  reshapeOperation,
  permuteOperation,
  sliceOperation,
  placeOperation,
  // Operations that look values up.
  gatherOperation,
  scatterAddOperation,
  // Products.
  matmulOperation,
  batchedMatmulOperation,
  // Conversions.
  toFloatsOperation,
  toIndicesOperation,
  toBfloat16Operation,
  toFloat32Operation,
  roundToFloat8Operation,
  // The number of their steps depends on the values. Only models with these choices of H_res need them.
  birkhoffProjectionOperation,
  sinkhornUntilOperation,
  sinkhornUntilBackwardOperation,
]);
