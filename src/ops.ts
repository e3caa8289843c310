// birkhoff/ops: the operations that graphs are made of.

// Operations: compute with tensors; every operation checks its shapes where the graph is built, and has a gradient unless it says otherwise.
export { add, fill } from "./graph/gradients.ts";
export { adamw, type AdamwAttributes, type AdamwOperands } from "./ops/adamw.ts";
export { attention } from "./ops/attention.ts";
export { concat } from "./ops/concat.ts";
export { crossEntropy } from "./ops/cross-entropy.ts";
export {
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
export { embedding, gather } from "./ops/gather.ts";
export { clipScale, sumSquares } from "./ops/gradient-norm.ts";
export { batchedMatmul, matmul, type MatmulAttributes } from "./ops/matmul.ts";
export { permute } from "./ops/permute.ts";
export { broadcast, broadcastLast, mean, meanLast, sum, sumLast, sumLeading } from "./ops/reductions.ts";
export { reshape } from "./ops/reshape.ts";
export { rmsNorm } from "./ops/rms-norm.ts";
export { rotary, rotaryTable, type RotaryTableAttributes } from "./ops/rotary.ts";
export { slice } from "./ops/slice.ts";
export { softmax } from "./ops/softmax.ts";
export { swiglu } from "./ops/swiglu.ts";
export { weightedSum } from "./ops/weighted-sum.ts";

// Experts and latents: build a mixture of experts, and multi-head latent attention.
export { chooseExperts } from "./ops/expert-choice.ts";
export { type Dispatch, dispatch, expertRows, expertSum } from "./ops/dispatch.ts";
export { expertMatmul, type ExpertMatmulAttributes } from "./ops/expert-matmul.ts";
export { balanceBias, sequenceBalance } from "./ops/expert-balance.ts";
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
export { collapse, expand } from "./ops/streams.ts";
export { streamNarrow, streamWiden } from "./ops/stream-precision.ts";
export { paperSinkhorn, sinkhorn, type SinkhornAttributes, type SinkhornForm } from "./ops/sinkhorn.ts";
export { sinkhornImplicit } from "./ops/sinkhorn-implicit.ts";
export { birkhoffProjection } from "./ops/birkhoff-projection.ts";
export { cayley } from "./ops/cayley.ts";

// Segments: choose what the backward pass computes again instead of storing it, and name the parts of a graph.
export { type Node, type TensorSpec, checkpoint, keep, scope } from "./graph/tensor.ts";
export { trainedParameters } from "./graph/parameters.ts";
