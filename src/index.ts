// The public library: build a graph, take gradients, compile it, run it; wrap any block in a residual or
// learned connection; train and sample language models. Each group below, with its docstrings, is a page of
// docs/api (npm run docs).

// Graphs: symbolic tensors with static shapes, the state that outlives a step, parameters, gradients.
export type { DType, Node, Shape, Tensor, TensorSpec } from "./graph/tensor.ts";
export { checkpoint, keep, scope, ShapeError } from "./graph/tensor.ts";
export { constant, input, parameter, persistent } from "./graph/state.ts";
export { add } from "./ops/elementwise.ts";
export { fill } from "./ops/fill.ts";
export { gradients } from "./ops/gradients.ts";
export type { Initial, Parameter, ParameterSet, Role } from "./graph/parameters.ts";
export { createParameters, parameterCount, trainedParameters } from "./graph/parameters.ts";

// Operations: functions from tensors to tensors, each with its gradient; shapes are checked where the graph is built.
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
export { weightedSum } from "./ops/weighted-sum.ts";

// Experts and latents: what a mixture of experts and multi-head latent attention are made of.
export { chooseExperts } from "./ops/expert-choice.ts";
export { type Dispatch, dispatch } from "./ops/dispatch.ts";
export { expertRows } from "./ops/expert-rows.ts";
export { expertSum } from "./ops/expert-sum.ts";
export { expertMatmul, type ExpertMatmulAttributes } from "./ops/expert-matmul.ts";
export { balanceBias } from "./ops/balance-bias.ts";
export { sequenceBalance } from "./ops/sequence-balance.ts";
export { latentHeads, type LatentHeadsAttributes } from "./ops/latent-heads.ts";

// Stream operations: what mHC and HC are made of, for connections of your own; projections onto matrices that mix.
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
export { streamNarrow, type StreamPrecision, streamWiden } from "./ops/stream-precision.ts";
export { paperSinkhorn, sinkhorn, type SinkhornAttributes, type SinkhornForm } from "./ops/sinkhorn.ts";
export { sinkhornImplicit } from "./ops/sinkhorn-implicit.ts";
export { birkhoffProjection } from "./ops/birkhoff-projection.ts";
export { cayley } from "./ops/cayley.ts";

// Runtimes: compile a graph once, run it any number of times; on all cores, or in float64 as the oracle.
export type { Outputs, ProgramSpec, TensorValues, ValuesOf } from "./runtime/program.ts";
export type {
  CallTime,
  Program,
  Runtime,
  SynchronousProgram,
  SynchronousRuntime,
  TracedCall,
} from "./runtime/runtime.ts";
export type { Device } from "./runtime/device.ts";
export { createReferenceRuntime } from "./runtime/reference/runtime.ts";
export { createWasmRuntime, type WasmOptions, type WasmProgram, type WasmRuntime } from "./runtime/wasm/runtime.ts";
export type { Build } from "./runtime/wasm/module.ts";
export { describeArena, describeSchedule, type PlanSummary, summarise } from "./runtime/plan/describe.ts";

// Connections: how layers pass information on; wrap any block of your own.
export type {
  Adjust,
  Block,
  Collapse,
  Connection,
  Ending,
  State,
  Sublayer,
  SublayerOptions,
  SublayerResult,
} from "./connections/connection.ts";
export { residual } from "./connections/residual.ts";
export { hyper, type HyperOptions } from "./connections/hyper.ts";
export { manifold, type ManifoldOptions } from "./connections/manifold.ts";
export type { Guarantee, ResidualMap } from "./connections/manifolds/residual-map.ts";
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

// Conventions: whose formulas exactly, as data; weights and checkpoints from one convention to another.
export {
  type ConventionName,
  conventionNames,
  conventions,
  type HyperConventionName,
  type ManifoldConventionName,
} from "./connections/conventions/table.ts";
export type {
  Convention,
  ConventionFacts,
  HyperConvention,
  ManifoldConvention,
  StreamsEnd,
} from "./connections/conventions/convention.ts";
export {
  type Conversion,
  conversion,
  type ConversionDifference,
  conversionDifference,
  ConversionError,
  type ConversionSizes,
} from "./connections/conventions/convert.ts";
export {
  type ConnectionWeights,
  type Evaluated,
  evaluateConnection,
  type Probe,
  type Weights,
} from "./connections/conventions/evaluate.ts";
export { type ConvertedConnection, convertFile, type ConvertOptions, type ConvertReport } from "./interop/convert.ts";
export type { Naming } from "./interop/connection-names.ts";

// Initialisation: how parameters start, what a start makes of a model, and starting from a trained residual model.
export {
  type Initialisation,
  type InitialisationName,
  initialisationNames,
  initialisations,
} from "./connections/initialisations.ts";
export { type FixedAndStarted, measureStart, type Mixing, type Start, type StartOptions } from "./study/start.ts";
export { initialValues } from "./training/initialise.ts";
export {
  upcycle,
  upcycledConnections,
  type Upcycled,
  type UpcycledConnection,
  type UpcycleOptions,
} from "./interop/upcycle.ts";

// Files: models in Hugging Face's form, out of runs and into them.
export { exportHuggingFace, type HuggingFaceExport, type HuggingFaceExportOptions } from "./interop/hf/export.ts";
export { importHuggingFace, type HuggingFaceImport, type HuggingFaceImportOptions } from "./interop/hf/import.ts";

// Models: the transformer language model, its sizes and connections, and how it writes.
export {
  type AttentionResidualsConfig,
  type ConnectionConfig,
  type ConnectionKind,
  connectionKinds,
  createConnection,
  defaultConnection,
  type DenseConfig,
  type FracConfig,
  type GatedResidualConfig,
  type HighwayConfig,
  type HyperConfig,
  isMixed,
  type ManifoldConfig,
  type MixedConnectionConfig,
  modelConnection,
  type ModelConfig,
  type ModelSize,
  type Preset,
  parseConnection,
  presets,
  type ResidualConfig,
  sublayerConnections,
} from "./model/config.ts";
export type { LatentAttentionConfig } from "./model/latent-attention.ts";
export { inactiveParameters, type MixtureConfig, type Routing } from "./model/mixture.ts";
export type { Override, SublayerRole } from "./model/overrides.ts";
export type { Attending, Heads } from "./model/attending.ts";
export {
  type BatchSamplingOptions,
  createGenerator,
  type Generator,
  type SamplingOptions,
  type WrittenToken,
} from "./model/generate.ts";
export { type Hidden, type LanguageModel, languageModel, type ObservedSublayer } from "./model/language-model.ts";
export type { SamplingRules } from "./model/sampling.ts";
export { type TextCodec, type WritingOptions, type WrittenPiece, writeTexts } from "./model/write-texts.ts";

// Data: from text to tokens to batches, all of it seeded.
export { createBatches, type Batch, type Batches, type BatchOptions, type ValidationBatch } from "./data/batches.ts";
export type { CorpusSource } from "./data/corpus.ts";
export {
  type DataSummary,
  type PreparedData,
  type PreparedFiles,
  prepareData,
  type PrepareOptions,
  type PrepareProgress,
  readTokenizer,
} from "./data/prepare.ts";
export {
  type AddedToken,
  type StreamDecoder,
  Tokenizer,
  type TokenizerDefinition,
  type TokenizerTraining,
  trainTokenizer,
} from "./data/tokenizer.ts";
export { samplingRandom } from "./data/random.ts";
export type { TokenFile } from "./data/token-file.ts";
export type { TokenSource } from "./data/tokens.ts";

// Stability: what is measured of a running or trained model, what changing it does, and what is wrong with a checkpoint.
export { amaxGain, type GainPair, type Gains, measureGains } from "./stability/gains.ts";
export {
  type AlarmName,
  type AlarmSubject,
  type AlarmWatch,
  type Excursion,
  type Observation,
  watchAlarms,
} from "./stability/alarms.ts";
export { singularValues } from "./stability/singular-values.ts";
export { eigenvalueModuli } from "./stability/eigenvalues.ts";
export type { GroupNorms, Instruments } from "./stability/instruments.ts";
export { type Intervention, parseIntervention } from "./study/interventions.ts";
export { intervene, type InterveneOptions, type InterventionReport, type InterventionRow } from "./study/intervene.ts";
export { sinkhornError, type SinkhornError, type SinkhornErrorOptions, type Spread } from "./study/sinkhorn-error.ts";
export type { LintCheck, LintConnection, LintInput, RecordedMaps, Verdict } from "./study/lint-check.ts";
export { lintConnections } from "./study/lint.ts";
export type { ReferenceConnection } from "./study/lint-reference.ts";
export { lintFile, type LintFileOptions, type LintReport } from "./study/lint-file.ts";
export { inspectCheckpoint, type InspectedFile, inspectFile, type InspectFileOptions } from "./study/inspect.ts";

// Training: AdamW with schedules and clipping, step by step or as a run with a folder that can be resumed.
export {
  type DataConfig,
  type OptimiserConfig,
  parseTrainingConfig,
  type RecomputeConfig,
  type ScheduleConfig,
  type TrainingConfig,
} from "./training/config.ts";
export {
  createTrainer,
  type SavedTensor,
  type StepResult,
  type StepWishes,
  type Trainer,
  type TrainerState,
} from "./training/trainer.ts";
export type { Evaluation } from "./training/evaluation.ts";
export { AlarmError, DivergenceError, openRun, type Run, type RunOptions } from "./runs/run.ts";
export type { AlarmAction, AlarmsConfig, AlarmSetting } from "./training/alarms.ts";
export type { EventRecord, GainRecord, MetricRecord } from "./training/records.ts";

// Interop: what a run recorded, for TensorBoard, spreadsheets and Prometheus.
export { exportTensorBoard, recordTensorBoard } from "./interop/tensorboard.ts";
export { exportCsv } from "./interop/csv.ts";
export { prometheusText } from "./interop/prometheus.ts";
export { type InterventionsData, readRunData, type RunData } from "./runs/run-data.ts";

// Sweeps: what many runs say of loss spikes, the best learning rate, and how far one may miss it.
export {
  analyseSweep,
  countGradientExcursions,
  countLossSpikes,
  type GroupSummary,
  optimumRate,
  type RateLoss,
  type RateOptimum,
  type RateSummary,
  type RateTolerance,
  rateTolerance,
  type SeedBand,
  seedBand,
  type SweepResult,
} from "./runs/sweep/analysis.ts";

// Memory: what a training step needs, planned, predicted and measured; the best selective recomputation.
export type { Machine } from "./runtime/plan/machine.ts";
export { plannedMachine } from "./runtime/machines.ts";
export { measureStepMemory, planStepMemory, type StepConfig, type StepMemory } from "./training/step-memory.ts";
export {
  blockObjective,
  blockOptimum,
  chooseRecompute,
  type ExtraMemory,
  measureExtraMemory,
  type MemoryPrediction,
  predictStepMemory,
} from "./training/recomputation.ts";

// Planning: what training a large model takes with mHC and without, from its shapes: memory, traffic, time, money.
export { type Extra, type PlanOptions, planTraining, type SchemeTraffic, type TrainingPlan } from "./planning/plan.ts";
export { plannedModel, plannedModels, trainedTokens } from "./planning/presets.ts";
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
export type { Layout, LayoutWishes, Stage } from "./planning/layout.ts";
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

// Pipelines: schedules of pipeline-parallel training simulated, measured and drawn; mHC in DualPipe.
export {
  type ScheduleName,
  scheduleNames,
  schedules,
  type SimulatedSchedule,
  simulateSchedule,
} from "./planning/pipeline/schedules.ts";
export type { PipelineSchedule, PipelineShape } from "./planning/pipeline/orders.ts";
export type { StageReport, TimelineReport } from "./planning/pipeline/measure.ts";
export { passCosts, type PassTimes } from "./planning/pipeline/pass-costs.ts";
export {
  type ComputeTimes,
  type ConnectionTimes,
  fullOverlap,
  layerCosts,
  type LayerTimes,
  noOverlap,
  type Overlap,
} from "./planning/pipeline/layer-costs.ts";
export { type ConnectionCost, type LayerAssumptions, layerTimes, paper27b } from "./planning/pipeline/paper-times.ts";
export { type Compared, compareOverlap, compareSchedules, type OverlapRow } from "./planning/pipeline/compare.ts";
export {
  type PassPart,
  type Piece,
  type PipelineCosts,
  type PipelinePass,
  type PipelineTask,
  type Slot,
  type TaskKind,
  type TaskStream,
  type TimedTask,
  type Timeline,
} from "./planning/pipeline/task.ts";
export { type Picture, timelineSvg, type TimelineSvgOptions } from "./report/timeline-svg.ts";
export { type FigureTable, timelineHtml, type TimelinePage } from "./report/timeline-html.ts";
