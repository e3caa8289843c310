// Question: which operations can a GPU do? All others are composed of these.

import type { Operation } from "../../../graph/tensor.ts";
import type { Lowering } from "../../plan/machine.ts";
import { attention } from "./attention.ts";
import { birkhoffProjection } from "./birkhoff-projection.ts";
import { sinkhornUntil } from "./sinkhorn-until.ts";
import { blocks } from "./blocks.ts";
import { cachedAttention } from "./cached-attention.ts";
import { dispatch } from "./dispatch.ts";
import { float8 } from "./float8.ts";
import { elementwise } from "./elementwise.ts";
import { expertMatmul } from "./expert-matmul.ts";
import { experts } from "./experts.ts";
import { scatter } from "./gather.ts";
import { hyperCoefficients } from "./hyper-coefficients.ts";
import { latentHeads } from "./latent-heads.ts";
import { manifoldCoefficients } from "./manifold-coefficients.ts";
import { products } from "./matmul.ts";
import { moves } from "./moves.ts";
import { reductions } from "./reductions.ts";
import { rmsNorm } from "./rms-norm.ts";
import { softmax } from "./softmax.ts";
import { streamProjection } from "./stream-projection.ts";
import { streams } from "./streams.ts";
import { bfloat16 } from "./bfloat16.ts";

/** By the operation itself: two of the same name are two. */
export const implementations: ReadonlyMap<Operation, Lowering> = new Map(
  [
    ...elementwise,
    ...moves,
    ...reductions,
    ...products,
    ...scatter,
    ...bfloat16,
    ...float8,
    ...rmsNorm,
    ...softmax,
    ...birkhoffProjection,
    ...sinkhornUntil,
    ...blocks,
    ...attention,
    ...cachedAttention,
    ...latentHeads,
    ...dispatch,
    ...experts,
    ...expertMatmul,
    ...streams,
    ...manifoldCoefficients,
    ...hyperCoefficients,
    ...streamProjection,
  ].map(({ op, lowering }) => [op, lowering]),
);
