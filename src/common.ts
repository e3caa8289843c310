// What birkhoff and birkhoff/browser both have: all of the root but the runtimes that are opened.

// Graphs: make a graph of symbolic tensors with static shapes, name its parameters, take its gradients.
export { type DType, type Shape, type Tensor, ShapeError } from "./graph/tensor.ts";
export { constant, input, parameter, persistent, type Role } from "./graph/state.ts";
export { gradients } from "./ops/gradients.ts";
export {
  type Initial,
  type Parameter,
  type ParameterSet,
  createParameters,
  parameterCount,
} from "./graph/parameters.ts";

// Connections: decide how layers pass information on, and wrap any block of your own.
export type { StreamPrecision } from "./ops/bfloat16.ts";
export type {
  Adjust,
  Block,
  Collapse,
  Connection,
  Ending,
  Sequences,
  State,
  Sublayer,
  SublayerOptions,
  SublayerResult,
} from "./connections/connection.ts";
export { residual } from "./connections/residual.ts";
export { hc, type HcOptions } from "./connections/hc.ts";
export { mhc } from "./connections/mhc.ts";
export type { Dynamic } from "./connections/dynamic.ts";
export type { MhcOptions } from "./connections/mhc-options.ts";
export type { GainBound, Guarantee, ResidualMap } from "./connections/manifolds/residual-map.ts";
export { type ResidualMapName, residualMapNames, residualMaps } from "./connections/manifolds/table.ts";
export { highway, type HighwayOptions } from "./connections/highway.ts";
export { dense, type DenseState } from "./connections/dense.ts";
export { frac, type FracOptions } from "./connections/frac.ts";
export {
  attentionResiduals,
  type AttentionResidualsOptions,
  type AttentionResidualsState,
} from "./connections/attention-residuals.ts";
export { gatedResidual, type GatedResidualOptions } from "./connections/gated-residual.ts";
export { mixed } from "./connections/mixed.ts";
export type { HcConventionName, MhcConventionName } from "./connections/conventions/table.ts";
export type { StreamsEnd } from "./connections/conventions/convention.ts";
export {
  type Initialisation,
  type InitialisationName,
  initialisationNames,
  initialisations,
} from "./connections/initialisations.ts";

// Steps: train the parameters of a graph by AdamW or another optimizer, from first values that a seed chooses.
export { initialise, initialValues } from "./training/initialise.ts";
export {
  adamwUpdates,
  type AdamwUpdates,
  type AdamwStep,
  type AdamwOptions,
  type AdamwSettings,
} from "./training/adamw-updates.ts";
export {
  type OptimizerChoice,
  type OptimizerOptions,
  optimizerUpdates,
  type OptimizerUpdates,
} from "./training/optimizers/updates.ts";
export type { OptimizerStep } from "./training/optimizers/step.ts";
export type { KeptState } from "./training/optimizers/rule.ts";
export type { AdaptiveClip, ClipConfig } from "./training/optimizers/clipping.ts";
export type { OptimizerKind, OptimizerSettings } from "./training/optimizers/table.ts";

// Runtimes: compile a graph once and run it any number of times.
export type { Output, Outputs, ProgramSpec, Readings, TensorValues, ValuesOf } from "./runtime/program.ts";
export type { Program, ProgramOf, Runtime } from "./runtime/runtime.ts";
export { type ComputePrecision, inPrecision } from "./runtime/precision.ts";

// Gains: measure how much the streams amplify a signal.
export { type GainPair, type Gains, measureGains } from "./stability/gains.ts";
