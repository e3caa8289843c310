// Question: how does train --timeline show what its pipeline did?

import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { showPercent } from "../basics/show.ts";
import { comparePipeline } from "../planning/pipeline/measured.ts";
import { reason } from "../files/errors.ts";
import { isFolder } from "../files/places.ts";
import { timelineHtml } from "../report/timeline-html.ts";
import type { Run } from "../runs/run.ts";
import type { PipelinePlan } from "../training/parallel/pipeline/stage.ts";
import type { PipelinedTrainer } from "../training/parallel/pipeline/trainer.ts";
import { schedules } from "../training/parallel/schedules/table.ts";

/** Make the folder of a timeline before anything is trained; throws an Error where it cannot be written there. */
export function prepareTimeline(file: string): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
  } catch (error) {
    throw new Error(`--timeline ${file}: its folder cannot be made (${reason(error)}). Name another.`, {
      cause: error,
    });
  }
  if (isFolder(file)) throw new Error(`--timeline ${file}: that is a folder; name a file in it, such as step.html.`);
}

/**
 * Draw the last step of a run beside its simulation.
 *
 * @returns a sentence about both
 */
export function drawTimeline(file: string, { trainer, config }: Run, plan: PipelinePlan): string {
  const { microBatches, timeline } = trainer as PipelinedTrainer;
  const records = timeline();
  if (records.length === 0) return `${file} is not drawn: no step was done.`;
  const { measured, simulated } = comparePipeline(records, plan, microBatches);
  const name = schedules[plan.schedule].title;
  const titles = [`${name}, step ${trainer.step} as it ran`, `${name}, simulated with the mean times of its passes`];
  const runs = [measured, simulated];
  const digits = (time: number): string => time.toFixed(1);
  const page = timelineHtml(
    {
      title: `${config.name}: ${plan.mesh.pipeline} stages, ${microBatches} micro-batches`,
      notes: [
        "The first timeline was measured: each stage's own clock, from a barrier of all ranks at the beginning of the step to its last pass; the exchange of gradients and the update follow. The second simulates the same order with the mean time of each piece's passes and the shortest message.",
        "A message lasts from when it is begun until its receiver sees it, which looks between the parts of its programs.",
      ],
      tables: [
        {
          caption: "Step",
          head: ["", "time, ms", "bubble", "exposed communication", "held micro-batches"],
          rows: runs.map(({ report }, index) => [
            titles[index]!,
            digits(report.makespan),
            showPercent(report.bubble),
            showPercent(report.exposed),
            digits(report.peakMemory),
          ]),
        },
        {
          caption: "Stages",
          head: ["stage", "busy, ms", "bubble", "bubble, simulated"],
          rows: measured.report.stages.map(({ stage, busy, bubble }, index) => [
            String(stage),
            digits(busy),
            showPercent(bubble),
            showPercent(simulated.report.stages[index]!.bubble),
          ]),
        },
      ],
      pictures: runs.map((run, index) => ({ title: titles[index]!, run })),
    },
    { unit: "ms" },
  );
  writeFileSync(file, page);
  return `bubble of step ${trainer.step}: ${showPercent(measured.report.bubble)}; simulated: ${showPercent(simulated.report.bubble)}; drawn: ${file}`;
}
