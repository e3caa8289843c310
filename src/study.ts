// birkhoff/study: what a trained model can tell.

// Study: open a trained model, change its mixing, and see what the loss says.
export { type FixedAndStarted, measureStart, type Mixing, type Start, type StartOptions } from "./study/start.ts";
export { type Intervention, parseIntervention } from "./study/interventions.ts";
export { intervene, type InterveneOptions, type InterventionReport, type InterventionRow } from "./study/intervene.ts";
export { measureReasoning, type ReasoningOptions } from "./study/reasoning.ts";
export type { ReasoningData, ReasoningRow } from "./runs/reasoning-data.ts";
export { measureRobustness, type RobustnessOptions } from "./study/robustness.ts";
export type { RobustnessData, RobustnessRow } from "./runs/robustness-data.ts";
export { sinkhornError, type SinkhornError, type SinkhornErrorOptions, type Spread } from "./study/sinkhorn-error.ts";
export {
  type MeasuredRun,
  measureRun,
  type RunText,
  type TensorSpread,
  tensorSpreads,
  textOfFile,
  validationText,
} from "./study/inspect-run.ts";
export { inspectCheckpoint, type InspectedFile, inspectFile, type InspectFileOptions } from "./study/inspect.ts";

// Lint: find what is wrong with the connections of a checkpoint: transposed, mis-sliced, saturated or broken.
export type { LintCheck, LintConnection, LintInput, RecordedMaps, Verdict } from "./study/lint-check.ts";
export { lintConnections } from "./study/lint.ts";
export type { ReferenceConnection } from "./study/lint-reference.ts";
export { lintFile, type LintFileOptions, type LintReport } from "./study/lint-file.ts";
