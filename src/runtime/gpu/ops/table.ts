// Question: which operations can a GPU do? All others are composed of these.

import type { Operation } from "../../../graph/tensor.ts";
import type { Lowering } from "../../plan/machine.ts";
import { attention } from "./attention.ts";
import { birkhoffProjection } from "./birkhoff-projection.ts";
import { blocks } from "./blocks.ts";
import { elementwise } from "./elementwise.ts";
import { scatter } from "./gather.ts";
import { hyperCoefficients } from "./hyper-coefficients.ts";
import { manifoldCoefficients } from "./manifold-coefficients.ts";
import { products } from "./matmul.ts";
import { moves } from "./moves.ts";
import { reductions } from "./reductions.ts";
import { rmsNorm } from "./rms-norm.ts";
import { softmax } from "./softmax.ts";
import { streamProjection } from "./stream-projection.ts";
import { streams } from "./streams.ts";
import { streamPrecision } from "./stream-precision.ts";

/** By the operation itself: two of the same name are two. */
export const implementations: ReadonlyMap<Operation, Lowering> = new Map(
  [
    ...elementwise,
    ...moves,
    ...reductions,
    ...products,
    ...scatter,
    ...streamPrecision,
    ...rmsNorm,
    ...softmax,
    ...birkhoffProjection,
    ...blocks,
    ...attention,
    ...streams,
    ...manifoldCoefficients,
    ...hyperCoefficients,
    ...streamProjection,
  ].map(({ op, lowering }) => [op, lowering]),
);
