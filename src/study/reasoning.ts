// Question: up to which difficulty does a trained model answer generated questions?
//
// Of each task and difficulty it is asked questions that no model is trained on (data/generated/held-out.ts). An answer is
// right when greedy generation would write it, token for token, and then end the text: that is so exactly when each of its
// tokens is the most likely one after those before it, so answers are scored, not written. The loss is the mean over the
// answers' tokens of − log p, in nats.

import { setImmediate } from "node:timers/promises";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { showMany } from "../basics/show.ts";
import { encodeExample } from "../data/generated/batches.ts";
import { examplesOf } from "../data/generated/examples.ts";
import { type ChosenTask, parseTasks } from "../data/generated/table.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { createParameters } from "../graph/parameters.ts";
import { createLanes } from "../model/lanes.ts";
import { languageModel } from "../model/language-model.ts";
import { type ScoreRequest, scoreContinuations } from "../model/score.ts";
import type { ReasoningData, ReasoningRow } from "../runs/reasoning-data.ts";
import { inPrecision } from "../runtime/precision.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { TrainerState } from "../training/state.ts";
import { restoreTensors } from "../training/restore.ts";

/** What is asked. */
export interface ReasoningOptions {
  /** As `parseTasks` takes them: "khop:1-4,recall". */
  readonly tasks: string;
  /** Questions of each task and difficulty; fewer where there are no more. Default 100. */
  readonly questions?: number;
  /** Called from time to time with the share of the questions that are answered. */
  readonly onProgress?: (share: number) => void;
  /** Aborted, it ends after the question in progress, and gives undefined. */
  readonly signal?: AbortSignal;
}

const optionRules: FieldRules<ReasoningOptions> = {
  tasks: "text",
  questions: "number",
  onProgress: "function",
  signal: "anything",
};

interface Asked {
  readonly row: number;
  readonly request: ScoreRequest;
}

/**
 * Ask a trained model questions of each task and difficulty.
 *
 * @param checkpoint step and parameters, such as `trainer.save()`
 * @returns undefined when the signal was aborted
 * @throws RangeError for tasks that there are not; Error when a question is longer than the model's context
 */
export async function measureReasoning(
  runtime: Runtime,
  config: Pick<TrainingConfig, "model" | "precision">,
  checkpoint: Pick<TrainerState, "step" | "model">,
  tokenizer: Tokenizer,
  options: ReasoningOptions,
): Promise<ReasoningData | undefined> {
  expectFields("measureReasoning", options, optionRules);
  const { tasks, questions = 100, onProgress, signal } = options;
  const levels = parseTasks(tasks).flatMap(levelsOf);
  const asked = levels.flatMap(({ task, difficulty }, row) =>
    examplesOf(task, difficulty, questions).map((example): Asked => {
      const { ids, answerFrom } = encodeExample(tokenizer, example);
      if (ids.length > config.model.context + 1)
        throw new Error(
          `${task}: a question of difficulty ${difficulty} has ${showMany(ids.length, "token")} with its answer, and the model's context is ${config.model.context}. Ask easier ones: ${task}:${difficulty > 1 ? `1-${difficulty - 1}` : "…"}, or other tasks.`,
        );
      return { row, request: { context: ids.slice(0, answerFrom), continuations: [ids.slice(answerFrom)] } };
    }),
  );
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  restoreTensors(runtime, parameters.all, checkpoint.model, "model");
  const lanes = createLanes(inPrecision(runtime, config.precision), model, { pause: setImmediate });
  const totals = levels.map(() => ({ questions: 0, right: 0, nats: 0, tokens: 0 }));
  let done = 0;
  try {
    const results = scoreContinuations(
      lanes,
      asked.map(({ request }) => request),
    );
    for await (const { request, scores } of results) {
      const total = totals[asked[request]!.row]!;
      const [{ logProbability, greedy, tokens }] = scores as [(typeof scores)[number]];
      total.questions++;
      total.right += greedy ? 1 : 0;
      total.nats -= logProbability;
      total.tokens += tokens.length;
      onProgress?.(++done / asked.length);
      if (signal?.aborted) return undefined;
    }
  } finally {
    lanes.release();
    for (const { tensor } of parameters.all) runtime.forget(tensor);
  }
  const rows = levels.map((level, index): ReasoningRow => {
    const { questions: count, right, nats, tokens } = totals[index]!;
    return { ...level, questions: count, right, loss: nats / tokens };
  });
  return { step: checkpoint.step, rows };
}

const levelsOf = ({ name, from, to }: ChosenTask): { task: string; difficulty: number }[] =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ task: name, difficulty: from + index }));
