// Question: which kernels are there, one file per operation? See README.md for the calling convention.

export { version } from "./arguments";
export { copy, joinProgram, openProgram, runOne, startProgram, workerLoop } from "./interpreter";
export { currentCall } from "./indices";
export { sumPartials } from "./sum-partials";
export { attention } from "./attention";
export { attentionBackward } from "./attention-backward";
export { cachedAttention } from "./cached-attention";
export { gemv } from "./gemv";
export { gemmPanels, gemmRows, packB } from "./gemm";
export { gemmOuter } from "./gemm-outer";
export { gemmExperts, outerExperts, packExperts } from "./gemm-experts";
export { gemmBatched } from "./gemm-batched";
export { panelWidth, setPanelWidth } from "./gemm-tile";
export * from "./copying";
export * from "./elementwise";
export * from "./reductions";
export { maxLast, select, toFloats, toIndices } from "./select";
export * from "./softmax";
export { weightedSum, weightedSumBackward } from "./weighted-sum";
export { rmsNorm, rmsNormBackward } from "./rms-norm";
export { rotary, rotaryTable } from "./rotary";
export { latentHeads, latentHeadsBackward } from "./latent-heads";
export { swiglu, swigluBackward } from "./swiglu";
export { adamw } from "./adamw";
export { clipScale, sumSquares } from "./gradient-norm";
export { countNotFinite } from "./finite";
export { collapse, expand } from "./streams";
export { toBfloat16, toFloat32 } from "./casts";
export { roundToFloat8 } from "./float8";
export { streamRead, streamReadBackward } from "./stream-read";
export { streamWrite, streamWriteBackward, streamWriteGather } from "./stream-write";
export { streamProjection, streamProjectionBackward } from "./stream-projection";
export { sinkhorn, sinkhornBackward } from "./sinkhorn";
export { manifoldCoefficients, manifoldCoefficientsBackward } from "./manifold-coefficients";
export {
  manifoldCoefficientsForm,
  manifoldCoefficientsFormBackward,
  sinkhornForm,
  sinkhornFormBackward,
} from "./sinkhorn-forms";
export { hyperCoefficients, hyperCoefficientsBackward } from "./hyper-coefficients";
export { birkhoffProjection } from "./birkhoff-projection";
export { sinkhornUntil, sinkhornUntilBackward } from "./sinkhorn-until";
export { cayley, cayleyBackward } from "./cayley";
export { entropicBackward } from "./entropic-backward";
export { expertChoice, expertChoiceBackward } from "./expert-choice";
export { dispatch, expertRows, expertSum, expertSumBackward } from "./dispatch";
export { balanceBias, sequenceBalance, sequenceBalanceBackward } from "./expert-balance";
