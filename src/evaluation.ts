// birkhoff/evaluation: benchmarks, with the prompts and rules of lm-evaluation-harness.

// Evaluation: ask a trained model the questions of a benchmark, and judge what it answers.
export {
  type Family,
  type FamilyName,
  type ChoiceExample,
  type ChoiceTask,
  type ShotSampler,
  type Task,
  type TaskExamples,
  type TaskGroup,
  type WritingExample,
  type WritingTask,
} from "./evaluation/task.ts";
export { families, findTasks, taskNames } from "./evaluation/tasks/table.ts";
export { type DataFile, type DataFolder, openDataFolder, readDataFolder } from "./evaluation/data-folder.ts";
export type { Filter } from "./evaluation/filters.ts";
export { planTask, type Prompt, type PromptOptions, type TaskPlan } from "./evaluation/prompts.ts";
export { type Answer, type Answered, type Answerer } from "./evaluation/answers.ts";
export { type EvaluatedRun, openRunModel } from "./evaluation/run-model.ts";
export {
  type AnswerStore,
  evaluate,
  type EvaluateOptions,
  type EvaluationReport,
  type EvaluationProgress,
  rememberAnswers,
} from "./evaluation/evaluate.ts";
export { type AnswerLog, openAnswers } from "./evaluation/answer-log.ts";
export type { EvaluationResults, ResultEntry } from "./evaluation/results.ts";
export type { Sample, ExampleVerdict } from "./evaluation/samples.ts";
export { difference, type Difference } from "./evaluation/differences.ts";
export { type ResultsHead, writeResults } from "./evaluation/write-results.ts";

// Scoring: how likely a text is to a model.
export { createLanes, type LaneOptions, type Lanes } from "./model/lanes.ts";
export type { Errand, Reading, WishedScores } from "./model/reading.ts";
export type { LaneRow, Wish } from "./model/tick.ts";
export { type ContinuationScore, scoreContinuations, type ScoreRequest } from "./model/score.ts";
