// Question: up to which difficulty do trained runs answer generated questions?

import { given } from "../basics/given.ts";
import { tasksText } from "../data/generated/table.ts";
import { planAnswering } from "../planning/here/model-memory.ts";
import { reasoningFigures } from "../report/figures/reasoning.ts";
import { reasoningNotes, reasoningText } from "../report/reasoning-tables.ts";
import { names } from "../runs/names.ts";
import type { ReasoningData } from "../runs/reasoning-data.ts";
import { measureReasoning } from "../study/reasoning.ts";
import type { RunsStudy } from "./study.ts";

export const reasoning: RunsStudy<ReasoningData> = {
  kind: "runs",
  shows: "asks trained runs generated questions by difficulty",
  own: ["tasks", "questions"],
  file: names.reasoning,
  plan: (config, machine) => planAnswering(config, machine),
  async measure({ folder, config, data, runtime, signal, checkpoint, onProgress }, options) {
    const tasks = options.tasks ?? (data.generated && tasksText(data.generated));
    if (tasks === undefined)
      throw new Error(
        `${folder} was not trained on generated tasks, so there is nothing to ask by default. Name tasks: --tasks khop:1-4,recall`,
      );
    return await measureReasoning(runtime, config, checkpoint(), data.tokenizer, {
      tasks,
      ...given({ questions: options.questions }),
      onProgress,
      signal,
    });
  },
  found: (run) => run.reasoning,
  text: reasoningText,
  notes: reasoningNotes,
  figure: (runs) => reasoningFigures(runs)[0],
};
