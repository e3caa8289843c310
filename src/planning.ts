// birkhoff/planning: what training takes, from the shapes of a model.

// Memory: know what memory a training step needs before it runs, and choose what to compute again.
export { type ExtraMemory, measureExtraMemory, measureStepMemory, planStepMemory } from "./planning/step-memory.ts";
export type { StepConfig } from "./training/step.ts";
export {
  chooseRecompute,
  type MemoryPrediction,
  predictStepMemory,
  type StepMemory,
} from "./training/recomputation.ts";
export { blockObjective, blockOptimum } from "./planning/block-objective.ts";

// Planning: know what training a large model takes with mHC and without: memory, traffic, time and cost, from its shapes.
export { type Extra, type PlanOptions, planTraining, type SchemeTraffic, type TrainingPlan } from "./planning/plan.ts";
export { plannedModel, plannedModels, trainedTokens } from "./planning/presets.ts";
export type { ReadModel } from "./planning/here/hugging-face.ts";
export { readPlannedModel } from "./planning/here/model-file.ts";
export { type ReadHardware, readHardware } from "./planning/here/hardware-file.ts";
export type {
  Architecture,
  ConnectionShape,
  DenseFeedForward,
  ExpertFeedForward,
  GroupedAttention,
  LatentAttention,
  PlannedModel,
  PublishedModel,
  TrainingShape,
} from "./planning/architecture.ts";
export {
  connectionParameters,
  countParameters,
  type ModelPart,
  type ParameterCount,
  type PartCount,
} from "./planning/parameters.ts";
export { countFlops, type FlopCount, type FlopPart } from "./planning/flops.ts";
export type { Layout, LayoutWishes, Stage, ZeroStage } from "./planning/layout.ts";
export type { Communication, CommunicationKind } from "./planning/communication.ts";
export type { StepTime } from "./planning/step.ts";
export {
  type MemoryBytes,
  type MemoryClass,
  type MemoryVariant,
  peakMemory,
  type Precision,
  type PrecisionName,
  precisions,
  type StageMemory,
  stageMemories,
} from "./planning/gpu-memory.ts";
export type { Reduction } from "./planning/reductions.ts";
export { type Amount, type Pass, type Scheme, totalTraffic, trafficOf } from "./planning/traffic.ts";
export { type Hardware, type HardwareName, hardwareProfiles } from "./planning/hardware.ts";
export { measureMachine } from "./planning/machine.ts";
export { type KernelRates, measureKernels, predictStepTime } from "./planning/step-time.ts";
export {
  type CompiledStep,
  type CompiledSteps,
  compileSteps,
  type CompileStepsOptions,
} from "./planning/compiled-step.ts";
export {
  type ConnectionTime,
  connectionTime,
  type Direction,
  type Fusion,
  type KernelTime,
  type RooflineOptions,
} from "./planning/roofline.ts";
export { type TimeOptions, trainingTime, type TrainingTime } from "./planning/time.ts";
export { compileRunStep, type StepPeak } from "./planning/here/compiled-run.ts";
export { type Finding, findMachine } from "./planning/here/machine-findings.ts";
