// Question: what is odd about a configuration that can be trained all the same?

import { showMany } from "../basics/show.ts";
import type { TokenSource } from "../data/tokens.ts";
import type { TrainingConfig } from "../training/config.ts";

type OnWarning = ((message: string) => void) | undefined;

/** Warn when the learning rate never reaches what was asked for. */
export function warnOfWarmup({ name, steps, optimizer }: TrainingConfig, onWarning: OnWarning): void {
  const { warmup, learningRate } = optimizer;
  if (warmup <= steps) return;
  const reached = ((learningRate * steps) / warmup).toPrecision(3);
  onWarning?.(
    `${name}: the warm-up of ${showMany(warmup, "step")} is longer than the run of ${showMany(steps, "step")}, so the learning rate ends at ${reached} or less, not at ${learningRate}. Give a shorter --warmup (in a configuration optimizer.warmup), or more steps.`,
  );
}

/** A step that reads so many times the text is hardly meant. */
const MANY_TIMES = 100;

/** Warn when a single step reads the training text over and over. */
export function warnOfStep(
  { name, batch, accumulate, model }: TrainingConfig,
  train: Pick<TokenSource, "length">,
  onWarning: OnWarning,
): void {
  const times = (batch * accumulate * model.context) / train.length;
  if (times <= MANY_TIMES) return;
  onWarning?.(
    `${name}: each step reads ${batch * accumulate} sequences of ${showMany(model.context, "token")}, ${Math.round(times)} times the training text of ${showMany(train.length, "token")}. Fewer teach as much sooner: --accumulate, --batch.`,
  );
}
