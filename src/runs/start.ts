// Question: from what does a run in a folder start, or go on?
//
// From its newest sound checkpoint; without one from the weights of another run, or from first values.

import path from "node:path";
import { given } from "../basics/given.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { readTokenizer, writeTokenizer } from "../data/tokenizer-file.ts";
import { formatTokenizer } from "../data/tokenizer-json.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { reason } from "../files/errors.ts";
import { sha256 } from "../files/hash.ts";
import { isMixed } from "../model/overrides.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { Trainer } from "../training/trainer.ts";
import { loadCheckpoint } from "./checkpoint.ts";
import { startingWeights } from "./fork.ts";
import type { RunOrigin } from "./identity.ts";
import type { RunFolder } from "./run-folder.ts";

/** Of the data and the programs that decide a run's bits. */
export function originOf({ kernels, kernelCode }: Runtime, { tokenizer, train, validation }: PreparedFiles): RunOrigin {
  return {
    train: train.checksum,
    validation: validation.checksum,
    tokenizer: sha256(formatTokenizer(tokenizer)),
    // What follows the build's name is a matter of speed.
    kernels: kernels.split(" ")[0]!,
    ...given({ kernelCode }),
  };
}

/** Tell where a resumed run stands when that is not where it was left: at its beginning, or at its end. */
export function noteStart(
  { folder, resumeFrom }: RunFolder,
  { steps }: TrainingConfig,
  onNote: ((message: string) => void) | undefined,
): void {
  if (!resumeFrom) onNote?.(`${folder} has no checkpoint yet: it begins anew at step 1.`);
  else if (resumeFrom.step >= steps)
    onNote?.(
      `${folder} is finished: ${steps === 1 ? "its one step is" : `all of its ${steps} steps are`} done. To train on: birkhoff train --resume ${folder} --steps ${2 * steps}`,
    );
}

/** Restore the newest checkpoint, or write what a new run needs. */
export async function startFrom(
  trainer: Trainer,
  { folder, resumeFrom }: RunFolder,
  { upcycledFrom, importedFrom, startedFrom, model }: TrainingConfig,
  { tokenizer }: PreparedFiles,
  {
    resumes,
    onWarning = (message) => process.emitWarning(message),
  }: { readonly resumes: boolean; readonly onWarning?: ((message: string) => void) | undefined },
): Promise<void> {
  const file = path.join(folder, "tokenizer.json");
  if (resumeFrom) {
    trainer.restore(loadCheckpoint(resumeFrom.folder));
    restoreTokenizer(file, tokenizer, onWarning);
    return;
  }
  if (resumes && upcycledFrom) {
    const { run } = upcycledFrom;
    const to = isMixed(model.connection) ? "mhc" : model.connection.kind;
    throw new Error(
      `${folder} was to start from ${run} but has no checkpoint; make it again: birkhoff convert ${run} ${folder} --from residual --to ${to} --overwrite`,
    );
  }
  if (resumes && importedFrom !== undefined) {
    throw new Error(
      `${folder} was to start from ${importedFrom} but has no checkpoint; make it again: birkhoff import ${importedFrom} ${folder} --overwrite`,
    );
  }
  if (startedFrom) trainer.restore({ ...(await trainer.save()), model: startingWeights(startedFrom) });
  writeTokenizer(file, tokenizer);
}

/** Puts the tokenizer of the prepared data, whose checksum holds, in the place of one that is missing or another. */
function restoreTokenizer(file: string, tokenizer: Tokenizer, onWarning: (message: string) => void): void {
  const whole = formatTokenizer(tokenizer);
  let problem = "it is not the one that made the run's tokens";
  try {
    if (formatTokenizer(readTokenizer(file)) === whole) return;
  } catch (error) {
    problem = reason(error);
  }
  writeTokenizer(file, tokenizer);
  onWarning(`${file} is written again from the prepared data, for ${problem}`);
}
