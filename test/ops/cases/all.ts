// Question: which operations are checked, at which sizes? One file an operation, under the name of its file in src/ops.

import type { OperationCase } from "../case.ts";
import { adamwCases } from "./adamw.ts";
import { attentionCases } from "./attention.ts";
import { balanceBiasCases } from "./balance-bias.ts";
import { batchedMatmulCases } from "./batched-matmul.ts";
import { birkhoffProjectionCases } from "./birkhoff-projection.ts";
import { sinkhornUntilCases } from "./sinkhorn-until.ts";
import { cachedAttentionCases } from "./cached-attention.ts";
import { cayleyCases } from "./cayley.ts";
import { clipScaleCases } from "./clip-scale.ts";
import { concatCases } from "./concat.ts";
import { countNotFiniteCases } from "./count-not-finite.ts";
import { crossEntropyCases } from "./cross-entropy.ts";
import { elementwiseCases } from "./elementwise.ts";
import { expandCases } from "./expand.ts";
import { expertChoiceCases } from "./expert-choice.ts";
import { expertMatmulCases } from "./expert-matmul.ts";
import { expertSumCases } from "./expert-sum.ts";
import { fillCases } from "./fill.ts";
import { gatherCases } from "./gather.ts";
import { headCrossEntropyCases } from "./head-cross-entropy.ts";
import { hyperCoefficientsCases } from "./hyper-coefficients.ts";
import { latentHeadsCases } from "./latent-heads.ts";
import { manifoldCoefficientsCases } from "./manifold-coefficients.ts";
import { matmulCases } from "./matmul.ts";
import { maxLastCases } from "./max-last.ts";
import { permuteCases } from "./permute.ts";
import { reductionsCases } from "./reductions.ts";
import { reshapeCases } from "./reshape.ts";
import { rmsNormCases } from "./rms-norm.ts";
import { rotaryCases } from "./rotary.ts";
import { selectCases } from "./select.ts";
import { sequenceBalanceCases } from "./sequence-balance.ts";
import { sinkhornCases } from "./sinkhorn.ts";
import { sinkhornImplicitCases } from "./sinkhorn-implicit.ts";
import { sliceCases } from "./slice.ts";
import { softmaxCases } from "./softmax.ts";
import { bfloat16Cases } from "./bfloat16.ts";
import { streamReadCases } from "./stream-read.ts";
import { streamSeamCases } from "./stream-seam.ts";
import { streamWriteCases } from "./stream-write.ts";
import { sumSquaresCases } from "./sum-squares.ts";
import { swigluCases } from "./swiglu.ts";
import { toFloatsCases } from "./to-floats.ts";
import { transportPlanCases } from "./transport-plan.ts";
import { weightedSumCases } from "./weighted-sum.ts";

export const cases: readonly OperationCase[] = [
  ...adamwCases,
  ...attentionCases,
  ...balanceBiasCases,
  ...batchedMatmulCases,
  ...birkhoffProjectionCases,
  ...sinkhornUntilCases,
  ...cachedAttentionCases,
  ...cayleyCases,
  ...clipScaleCases,
  ...concatCases,
  ...countNotFiniteCases,
  ...crossEntropyCases,
  ...elementwiseCases,
  ...expandCases,
  ...expertChoiceCases,
  ...expertMatmulCases,
  ...expertSumCases,
  ...fillCases,
  ...gatherCases,
  ...headCrossEntropyCases,
  ...hyperCoefficientsCases,
  ...latentHeadsCases,
  ...manifoldCoefficientsCases,
  ...matmulCases,
  ...maxLastCases,
  ...permuteCases,
  ...reductionsCases,
  ...reshapeCases,
  ...rmsNormCases,
  ...rotaryCases,
  ...selectCases,
  ...sequenceBalanceCases,
  ...sinkhornCases,
  ...sinkhornImplicitCases,
  ...sliceCases,
  ...softmaxCases,
  ...bfloat16Cases,
  ...streamReadCases,
  ...streamSeamCases,
  ...streamWriteCases,
  ...sumSquaresCases,
  ...swigluCases,
  ...toFloatsCases,
  ...transportPlanCases,
  ...weightedSumCases,
];
