// Question: what does --json print while a command works?
//
// One JSON object a line, as things happen; `event` says which. Of `train` and `compare`:
//
//   start   what is trained and where             step    the record of a step, as in metrics.jsonl
//   note    an alarm, a run that ends alone       run     how a run of a comparison ended
//   result  the last line: how it ended
//
// Of `sweep`: start, step (now and then), end (of a run), then a run line for each result, and the result: the summary.

import { formatJson } from "../files/json.ts";
import type { Run } from "../runs/run.ts";
import type { MetricRecord } from "../training/records.ts";

type EventName = "start" | "restart" | "step" | "note" | "end" | "run" | "result";

/** Says an event. */
export type Tell = (event: EventName, content: object) => void;

/** One line on standard output; numbers that are not finite are null. */
export const tellJson: Tell = (event, content) => void process.stdout.write(`${formatJson({ event, ...content })}\n`);

/** What is trained and where. */
export const startOf = (runs: readonly Run[], folder: string): object => ({
  folder,
  runs: runs.map(({ config, trainer, folder: { folder: place } }) => ({
    name: config.name,
    folder: place,
    step: trainer.step,
    steps: config.steps,
    parameters: trainer.parameterCount,
  })),
});

/** Tells the steps of runs, each record once. */
export function stepTeller(tell: Tell): (run: Run, secondsLeft: number | undefined) => void {
  const told = new WeakMap<Run, MetricRecord>();
  return (run, secondsLeft) => {
    const record = run.metrics.at(-1);
    if (!record || told.get(run) === record) return;
    told.set(run, record);
    tell("step", { run: run.config.name, ...record, secondsLeft });
  };
}
