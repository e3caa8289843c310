// birkhoff/training: train a language model step by step; touches no files.

// Training: train a language model step by step.
export {
  type DataConfig,
  type OptimizerConfig,
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
export type { AlarmAction, AlarmsConfig, AlarmSetting } from "./training/alarms.ts";
export type { EventRecord, GainRecord, MetricRecord } from "./training/records.ts";
