// Question: how does plan --scale show a training on more and more GPUs?

import { type Command, InvalidArgumentError } from "commander";
import { showBytes, showPercent, withPrefix } from "../basics/show.ts";
import { drawTable } from "../basics/table.ts";
import { DEFAULT_NETWORK } from "../planning/communication.ts";
import type { Hardware } from "../planning/hardware.ts";
import { type LayerAssumptions, paper27b } from "../planning/pipeline/paper-times.ts";
import { planScale, type ScaledTraining } from "../planning/pipeline/scale.ts";
import { trainedBatch } from "../planning/presets.ts";
import { DEFAULT_UTILISATION } from "../planning/time.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { schedules } from "../training/parallel/schedules/table.ts";
import { expectUnused } from "./options.ts";
import { plannedOf, type PlannedChoice } from "./planned-of.ts";
import { say } from "./warn.ts";

export interface PlanScaleOptions extends PlannedChoice {
  readonly scale: readonly number[];
  readonly batch?: number;
  readonly mfu?: number;
  readonly json?: boolean;
}

/** What is chosen for each number of GPUs, or is not part of the simulation. */
const notOfScale = [
  "gpus",
  "pipeline",
  "expert",
  "tensor",
  "contextParallel",
  "zero",
  "sharded",
  "microBatch",
  "accumulate",
  "streams",
  "iterations",
  "precision",
  "tokens",
  "price",
  "computeEfficiency",
  "overlap",
  "bandwidthEfficiency",
  "compile",
  "svg",
];

/** Numbers of GPUs, such as 256,512. */
export function gpuCounts(text: string): number[] {
  const counts = text.split(",").map(Number);
  if (counts.length <= MOST_COUNTS && counts.every((each) => Number.isInteger(each) && each >= 1 && each <= MOST_GPUS))
    return counts;
  throw new InvalidArgumentError(
    `It must be at most ${MOST_COUNTS} whole numbers from 1 to ${MOST_GPUS} with commas, such as 256,512.`,
  );
}

const MOST_COUNTS = 16;
const MOST_GPUS = 2 ** 20;

/** Simulate a training on each number of GPUs, and print what is best on each. */
export function planScaling(options: PlanScaleOptions, hardware: Hardware, command: Command): void {
  expectUnused(command, notOfScale, "with --scale, which chooses the shape for each number of GPUs");
  const { scale, mfu = DEFAULT_UTILISATION } = options;
  const { model, notes } = plannedOf(options);
  if (model.known !== "shapes" || model.feedForward.kind !== "experts")
    throw new RangeError(
      `--scale: ${model.name} is given; the simulation has the layers of a mixture of experts whose shapes are known. Take --preset paper-27b.`,
    );
  const batch = options.batch ?? trainedBatch(model);
  if (batch === undefined) throw new RangeError(`--scale: the batch of ${model.name} is not known; give --batch.`);
  const assumptions: LayerAssumptions = {
    ...paper27b,
    model,
    streams: model.connection.streams,
    compute: mfu * hardware.peak.bf16,
    memory: hardware.bandwidth,
    network: hardware.network ?? DEFAULT_NETWORK,
  };
  for (const note of notes) say(note);
  const found = planScale(assumptions, scale, { hardware, batch });
  const rows = found.map((each, index) => ({ gpus: scale[index]!, ...(each ? { found: each } : {}) }));
  const shown = options.json
    ? JSON.stringify({ model: model.name, hardware, batch, assumptions: { ...assumptions, model: model.name }, rows })
    : prose(describe(model.name, hardware, { batch, mfu, assumptions }, rows), process.stdout);
  process.stdout.write(`${shown}\n`);
}

function describe(
  name: string,
  hardware: Hardware,
  { batch, mfu, assumptions }: { readonly batch: number; readonly mfu: number; readonly assumptions: LayerAssumptions },
  rows: readonly { readonly gpus: number; readonly found?: ScaledTraining }[],
): string {
  const head = [
    "GPUs",
    "copies × stages",
    "schedule",
    "micro-batches",
    "memory",
    "idle",
    "step, s",
    "mHC adds",
    "tokens/s",
    "efficiency",
    "days",
  ];
  const cells = rows.map(({ gpus, found }) => {
    if (!found) return [gpus.toLocaleString("en"), "none fits", ...head.slice(2).map(() => "")];
    const { layout, schedule, microBatches, memoryBytes, residual, mhc, tokensPerSecond, efficiency, days } = found;
    return [
      gpus.toLocaleString("en"),
      `${layout.data} × ${layout.pipeline}`,
      schedules[schedule].title,
      String(microBatches),
      showBytes(memoryBytes),
      showPercent(mhc.idle),
      mhc.seconds.toFixed(2),
      showPercent(mhc.seconds / residual.seconds - 1),
      withPrefix(tokensPerSecond).trim(),
      showPercent(efficiency),
      days === undefined ? "" : days.toFixed(2),
    ];
  });
  const none = rows.every((row) => row.found)
    ? ""
    : ` None fits: a shape needs a batch that its copies share equally, and at most ${showBytes(hardware.memoryBytes)} on each GPU.`;
  const rate = (value: number): string => `${(value / 1e9).toLocaleString("en")} GB/s`;
  return `${name} with mHC (n = ${assumptions.streams}) on ${hardware.name}, a batch of ${batch.toLocaleString("en")} sequences: by simulation, the fastest shape that fits for each number of GPUs.

${drawTable([head, ...cells], { width: widthOf(process.stdout) })}

Idle is the share of the pipeline's time in which a GPU does not compute; efficiency is tokens a second and GPU over those of the first row that has a shape.${none} Assumed, and nothing of it measured on hardware: matrix products reach ${showPercent(mfu)} of the peak (--mfu), mHC's kernels all of ${rate(assumptions.memory)}, a GPU's network ${rate(assumptions.network)}; where each comes from is in docs/planning.md, On more and more GPUs.`;
}
