// Question: which operations can the CPU do?

import type { Operation } from "../../../graph/tensor.ts";
import type { Lowering } from "../../plan/machine.ts";
import { adamw } from "./adamw.ts";
import { attention } from "./attention.ts";
import { balanceBias } from "./balance-bias.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { birkhoffProjection } from "./birkhoff-projection.ts";
import { sinkhornUntil } from "./sinkhorn-until.ts";
import { cachedAttention } from "./cached-attention.ts";
import { cayley } from "./cayley.ts";
import { clipScale } from "./clip-scale.ts";
import { concat } from "./concat.ts";
import { countNotFinite } from "./count-not-finite.ts";
import { crossEntropy } from "./cross-entropy.ts";
import { dispatch } from "./dispatch.ts";
import { elementwise } from "./elementwise.ts";
import { entropicBackward } from "./entropic-backward.ts";
import { expand } from "./expand.ts";
import { expertChoice } from "./expert-choice.ts";
import { expertMatmul } from "./expert-matmul.ts";
import { expertRows } from "./expert-rows.ts";
import { expertSum } from "./expert-sum.ts";
import { fill } from "./fill.ts";
import { float8 } from "./float8.ts";
import { gather } from "./gather.ts";
import { hyperCoefficients } from "./hyper-coefficients.ts";
import { latentHeads } from "./latent-heads.ts";
import { manifoldCoefficients } from "./manifold-coefficients.ts";
import { matmul } from "./matmul.ts";
import { maxLast } from "./max-last.ts";
import { permute } from "./permute.ts";
import { reductions } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { rmsNorm } from "./rms-norm.ts";
import { rotaryTable } from "./rotary-table.ts";
import { rotary } from "./rotary.ts";
import { select } from "./select.ts";
import { sequenceBalance } from "./sequence-balance.ts";
import { sinkhornImplicit } from "./sinkhorn-implicit.ts";
import { sinkhorn } from "./sinkhorn.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";
import { bfloat16 } from "./bfloat16.ts";
import { streamProjection } from "./stream-projection.ts";
import { streamRead } from "./stream-read.ts";
import { streamWrite } from "./stream-write.ts";
import { sumSquares } from "./sum-squares.ts";
import { swiglu } from "./swiglu.ts";
import { toIndices } from "./to-indices.ts";
import { toFloats } from "./to-floats.ts";
import { weightedSum } from "./weighted-sum.ts";

/** By the operation itself: two of the same name are two. */
export const implementations: ReadonlyMap<Operation, Lowering> = new Map(
  [
    ...adamw,
    ...attention,
    ...balanceBias,
    ...batchedMatmul,
    ...birkhoffProjection,
    ...sinkhornUntil,
    ...cachedAttention,
    ...cayley,
    ...clipScale,
    ...concat,
    ...countNotFinite,
    ...crossEntropy,
    ...dispatch,
    ...elementwise,
    ...entropicBackward,
    ...expand,
    ...expertChoice,
    ...expertMatmul,
    ...expertRows,
    ...expertSum,
    ...fill,
    ...float8,
    ...gather,
    ...hyperCoefficients,
    ...latentHeads,
    ...manifoldCoefficients,
    ...matmul,
    ...maxLast,
    ...permute,
    ...reductions,
    ...reshape,
    ...rmsNorm,
    ...rotaryTable,
    ...rotary,
    ...select,
    ...sequenceBalance,
    ...sinkhornImplicit,
    ...sinkhorn,
    ...slice,
    ...softmax,
    ...bfloat16,
    ...streamProjection,
    ...streamRead,
    ...streamWrite,
    ...sumSquares,
    ...swiglu,
    ...toIndices,
    ...toFloats,
    ...weightedSum,
  ].map(({ op, lowering }) => [op, lowering]),
);
