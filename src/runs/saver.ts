// Question: how does a trainer's state get into the run's folder, whoever has it?
//
// A trainer that is alone has all of it. Of several ranks each writes its own part; where one of them does not see the
// folder, rank 0 collects all and writes it alone from then on.

import type { TrainingState } from "../training/checkpoint-files.ts";
import type { LeadingTrainer } from "../training/parallel/lead.ts";
import type { RunFolder } from "./run-folder.ts";

/**
 * Saves the step at which the trainer is. Of a state with a value that is not finite nothing is saved, and the name of
 * the tensor returned.
 */
export function createSaver(
  trainer: LeadingTrainer,
  folder: Pick<RunFolder, "folder" | "saveCheckpoint" | "saveShared">,
  onWarning: (message: string) => void = () => undefined,
): (state: TrainingState) => Promise<string | undefined> {
  let { keepOwn } = trainer;
  return async (state) => {
    if (keepOwn) {
      const saved = await folder.saveShared({ step: trainer.step, state }, keepOwn);
      if ("place" in saved) return undefined;
      if ("notFinite" in saved) return saved.notFinite;
      keepOwn = undefined;
      onWarning(
        `${saved.unseen} cannot see ${folder.folder}: rank 0 collects every checkpoint and writes it alone. Give --out a folder that all machines share, and each writes its own part.`,
      );
    }
    const whole = await trainer.view();
    const bad = [...whole.model, ...whole.optimizer].find(({ data }) => !data.every(Number.isFinite));
    if (bad) return bad.name;
    folder.saveCheckpoint({ ...whole, state });
    return undefined;
  };
}
