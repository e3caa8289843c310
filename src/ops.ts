// birkhoff/ops: the operations that graphs are made of.

// Operations: compute with tensors; every operation checks its shapes where the graph is built, and almost all have a gradient.
export {
  add,
  divide,
  exp,
  gelu,
  log,
  multiply,
  negate,
  reciprocal,
  relu,
  scale,
  shift,
  sigmoid,
  silu,
  sqrt,
  square,
  subtract,
  tanh,
  type Unary,
} from "./ops/elementwise.ts";
export { fill } from "./ops/fill.ts";
export { adamw, type AdamwAttributes, type AdamwOperands } from "./ops/adamw.ts";
export { attention } from "./ops/attention.ts";
export { concat } from "./ops/concat.ts";
export { crossAttention, type CrossAttentionOptions } from "./ops/cross-attention.ts";
export { crossEntropy } from "./ops/cross-entropy.ts";
export { headCrossEntropy, type HeadCrossEntropyAttributes } from "./ops/head-cross-entropy.ts";
export { embedding, gather } from "./ops/gather.ts";
export { clipScale } from "./ops/clip-scale.ts";
export { sumSquares } from "./ops/sum-squares.ts";
export { batchedMatmul } from "./ops/batched-matmul.ts";
export { matmul, type MatmulAttributes } from "./ops/matmul.ts";
export { permute } from "./ops/permute.ts";
export { broadcast, broadcastLast, mean, meanLast, sum, sumLast, sumLeading } from "./ops/reductions.ts";
export { reshape } from "./ops/reshape.ts";
export { rmsNorm } from "./ops/rms-norm.ts";
export { rotary } from "./ops/rotary.ts";
export { rotaryTable, type RotaryTableAttributes } from "./ops/rotary-table.ts";
export { slice } from "./ops/slice.ts";
export { softmax } from "./ops/softmax.ts";
export { swiglu } from "./ops/swiglu.ts";
export { transportPlan, type TransportPlanAttributes } from "./ops/transport-plan.ts";
export { weightedSum } from "./ops/weighted-sum.ts";

// Experts and latents: build a mixture of experts, and multi-head latent attention.
export { chooseExperts } from "./ops/expert-choice.ts";
export { type Dispatch, dispatch } from "./ops/dispatch.ts";
export { expertRows } from "./ops/expert-rows.ts";
export { expertSum } from "./ops/expert-sum.ts";
export { expertMatmul, type ExpertMatmulAttributes } from "./ops/expert-matmul.ts";
export { balanceBias } from "./ops/balance-bias.ts";
export { sequenceBalance } from "./ops/sequence-balance.ts";
export { latentHeads, type LatentHeadsAttributes } from "./ops/latent-heads.ts";

// Stream operations: build a connection of your own from what mHC and HC are made of, or project onto matrices that mix.
export { hyperCoefficients } from "./ops/hyper-coefficients.ts";
export {
  type CoefficientForm,
  manifoldCoefficients,
  type ManifoldCoefficientsOptions,
  paperCoefficients,
} from "./ops/manifold-coefficients.ts";
export { streamRead } from "./ops/stream-read.ts";
export { streamWrite } from "./ops/stream-write.ts";
export { collapse, expand } from "./ops/expand.ts";
export { toBfloat16, toFloat32 } from "./ops/bfloat16.ts";
export { type Float8Block, roundToFloat8 } from "./ops/float8.ts";
export { paperSinkhorn, type SinkhornAttributes, type SinkhornForm } from "./ops/sinkhorn-form.ts";
export { sinkhorn } from "./ops/sinkhorn.ts";
export { sinkhornImplicit } from "./ops/sinkhorn-implicit.ts";
export { birkhoffProjection } from "./ops/birkhoff-projection.ts";
export { sinkhornUntil, type SinkhornUntilAttributes } from "./ops/sinkhorn-until.ts";
export { cayley } from "./ops/cayley.ts";

// Segments: choose what the backward pass computes again instead of storing it, and name the parts of a graph.
export { type Node, type TensorSpec, checkpoint, keep, scope } from "./graph/tensor.ts";
export { trainedParameters } from "./graph/parameters.ts";
