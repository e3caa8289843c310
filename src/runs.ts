// birkhoff/runs: train with a folder that can be resumed, and read what runs recorded.

// Runs: train with a folder on disk that survives a kill, and read what it recorded.
export type { CorpusSource } from "./data/corpus.ts";
export type { DataSummary, PreparedData, PreparedFiles, PrepareProgress } from "./data/prepared-files.ts";
export { prepareData, type PrepareOptions } from "./data/prepare.ts";
export { readTokenizer } from "./data/tokenizer-file.ts";
export type { StoredTokens } from "./data/tokens.ts";
export { followRun, openRun, type Run, type RunOptions } from "./runs/run.ts";
export { endFollowers } from "./training/parallel/lead.ts";
export {
  type RunRequest,
  type RunRequests,
  trainInTurns,
  type TurnOptions,
  type TurnsResult,
} from "./runs/train-runs.ts";
export { AlarmError, DivergenceError, RunStopped } from "./training/reactions.ts";
export type { InterventionsData } from "./runs/interventions-data.ts";
export { readRunData, type RunData } from "./runs/run-data.ts";

// Own networks: train a network of your own with batches, a schedule and a run folder, and keep its parameters in a file.
export {
  type NetEvaluation,
  type NetRecord,
  type TrainedNet,
  trainNet,
  type TrainNetOptions,
} from "./runs/train-net.ts";
export { type LoadedParameters, loadParameters, type LoadOptions, saveParameters } from "./runs/parameters-file.ts";

// Sweeps: count what many runs say of loss spikes and of the best learning rate.
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
