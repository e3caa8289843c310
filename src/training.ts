// birkhoff/training: train a language model step by step; touches no files.

// Training: train a language model step by step.
export {
  type DataConfig,
  type OptimizerConfig,
  parseTrainingConfig,
  type RecomputeConfig,
  type ReducePrecision,
  type Sharded,
  type ScheduleConfig,
  type TrainingConfig,
} from "./training/config.ts";
export type { SavedTensor, TrainerState } from "./training/state.ts";
export { createTrainer, type StepResult, type StepWishes, type Trainer } from "./training/trainer.ts";
export type { Evaluation } from "./training/evaluation.ts";
export type { AlarmAction, AlarmsConfig, AlarmSetting } from "./training/alarms.ts";
export type { EventRecord, GainRecord, MetricRecord } from "./training/records.ts";

// Net trainers: train a network of your own step by step, also in a browser.
export {
  createNetTrainer,
  type Net,
  type NetBatch,
  type NetStep,
  type NetTrainer,
  type NetTraining,
} from "./training/net-trainer.ts";
export type { NetConfig } from "./training/net-config.ts";
