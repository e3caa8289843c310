// birkhoff merge: write a checkpoint of several processes as one process writes it.

import { Command } from "commander";
import { showPlain } from "../basics/show.ts";
import { lockFolder } from "../files/lock.ts";
import { type CheckpointPlace, expectRoom, latestCheckpoint, listCheckpoints, weightsOf } from "../runs/checkpoint.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { mergeCheckpoint } from "../runs/shared-checkpoint.ts";
import { tellJson } from "./events.ts";
import { wholeNumber } from "./options.ts";
import { say, warn } from "./warn.ts";

interface MergeOptions {
  readonly step?: number;
  readonly json?: boolean;
}

export const mergeCommand: Command = new Command("merge")
  .description("Write a checkpoint of several processes as one process writes it: one file of weights, one of moments.")
  .argument("<run>", "the run folder")
  .option("--step <n>", "the checkpoint of this step (default: the newest)", wholeNumber(0, Number.MAX_SAFE_INTEGER))
  .option("--json", "print what was done as JSON")
  .addHelpText(
    "after",
    `
Training goes on from either form, with any number of processes, and every command reads both. Other programs that
know no shards want one file.

Examples:
  birkhoff merge runs/two
  birkhoff merge runs/two --step 1000`,
  )
  .action((run: string, { step, json }: MergeOptions) => {
    openRunFolder(run);
    const unlock = lockFolder(run);
    try {
      const place = placeOf(run, step);
      expectRoom(run, { keepCheckpoints: 0, checkpointBytes: 3 * weightBytes(place) });
      const merged = mergeCheckpoint(run, place);
      if (json) tellJson("result", { folder: place.folder, step: place.step, merged });
      else if (merged) process.stdout.write(`Merged: ${showPlain(place.folder)}/model.safetensors\n`);
      else say(`${place.folder} is of one process already; nothing is to be done.`);
    } finally {
      unlock();
    }
  });

function placeOf(run: string, step: number | undefined): CheckpointPlace {
  const all = listCheckpoints(run);
  const place = step === undefined ? latestCheckpoint(run, warn) : all.find((each) => each.step === step);
  if (place) return place;
  const steps = all.map((each) => each.step).join(", ");
  throw new Error(
    all.length === 0
      ? `${run} has no checkpoint yet; train it first: birkhoff train --resume ${run}`
      : `${run} has no ${step === undefined ? "sound checkpoint" : `checkpoint of step ${step}`}; there are those of the steps ${steps}. Give one of them as --step.`,
  );
}

const weightBytes = ({ folder }: CheckpointPlace): number =>
  weightsOf(folder).reduce((sum, { shape }) => sum + 4 * shape.reduce((product, size) => product * size, 1), 0);
