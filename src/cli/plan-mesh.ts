// Question: how does plan --mesh show what each rank of a training takes?
//
// The programs of every rank are compiled for a runtime that is only planned, so the bytes are those that a run records
// (`rankMemory` of metrics.jsonl), once it has evaluated and read its instruments.

import type { Command } from "commander";
import { showBytes } from "../basics/show.ts";
import { drawTable } from "../basics/table.ts";
import { trainingStep } from "../planning/compiled-step.ts";
import { readRunConfig } from "../planning/here/model-file.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { openRuntime } from "../runtime/open.ts";
import { predictRanks, type RankMemory } from "../training/parallel/memory.ts";
import { type MeshSize, showMesh } from "../training/parallel/mesh.ts";
import type { StageConfig } from "../training/parallel/pipeline/stage.ts";
import { type ScheduleName, schedules } from "../training/parallel/schedules/table.ts";
import { planSpread } from "../training/parallel/spread.ts";
import { expectUnused } from "./options.ts";
import { plannedOf, type PlannedChoice } from "./planned-of.ts";
import { say } from "./warn.ts";

export interface PlanMeshOptions extends PlannedChoice {
  readonly mesh: Partial<MeshSize>;
  readonly pipelineSchedule: ScheduleName;
  readonly pipelineChunks: number;
  readonly threads: number;
  readonly microBatch?: number;
  readonly accumulate?: number;
  readonly json?: boolean;
}

/** What is of GPUs, or of the planner's formulas. */
const ofGpus = [
  "gpus",
  "hardware",
  "pipeline",
  "expert",
  "tensor",
  "contextParallel",
  "zero",
  "sharded",
  "batch",
  "streams",
  "iterations",
  "precision",
  "tokens",
  "price",
  "mfu",
  "computeEfficiency",
  "overlap",
  "bandwidthEfficiency",
  "compile",
  "svg",
];

/** Print the memory of every rank of a mesh. */
export async function planMesh(options: PlanMeshOptions, command: Command): Promise<void> {
  expectUnused(command, ofGpus, "with --mesh, which plans the processes of `birkhoff launch`");
  const { mesh, pipelineSchedule: schedule, pipelineChunks: chunks, threads } = options;
  const run = options.model === undefined ? undefined : readRunConfig(options.model);
  if (run) expectUnused(command, ["microBatch", "accumulate", "context"], "with a run, which has its own");
  const { data = 1, pipeline = 1, expert = 1 } = mesh;
  if (pipeline === 1)
    expectUnused(command, ["pipelineSchedule", "pipelineChunks"], "without --mesh pipeline=N of at least 2 stages");
  if (schedule !== "interleaved") expectUnused(command, ["pipelineChunks"], "without --pipeline-schedule interleaved");
  const config = run ?? stepOf(options, data * expert);
  const runtime = await openRuntime({ runtime: "wasm", threads });
  try {
    const { machine } = runtime;
    if (!machine) throw new Error("plan --mesh: this runtime has no plan; use the processor's.");
    const plan = planSpread(config, machine, data * pipeline * expert, { mesh, schedule, chunks });
    const ranks = predictRanks(config, machine, plan);
    const text = options.json
      ? JSON.stringify({ mesh: plan.mesh, ...(pipeline > 1 ? { schedule } : {}), threads, ranks })
      : prose(describeRanks(ranks, plan.mesh, { schedule, threads }, widthOf(process.stdout)), process.stdout);
    process.stdout.write(`${text}\n`);
  } finally {
    runtime.close();
  }
}

function stepOf({ microBatch = 1, accumulate = 1, ...choice }: PlanMeshOptions, rows: number): StageConfig {
  const { model, notes } = plannedOf(choice);
  for (const note of notes) say(note);
  return { ...trainingStep(model, microBatch), accumulate: rows * accumulate };
}

function describeRanks(
  ranks: readonly RankMemory[],
  mesh: MeshSize,
  { schedule, threads }: { readonly schedule: ScheduleName; readonly threads: number },
  width: number | undefined,
): string {
  const exact = (bytes: number): string => bytes.toLocaleString("en");
  const most = ranks.reduce((a, b) => (b.runtimeBytes > a.runtimeBytes ? b : a));
  const order = mesh.pipeline > 1 ? `, by ${schedules[schedule].title}` : "";
  const table = drawTable(
    [
      ["rank", "stage", "replica", "part", "parameters", "optimizer", "in all, bytes"],
      ...ranks.map(({ rank, stage, replica, part, parameterBytes, momentBytes, runtimeBytes }) => [
        String(rank),
        String(stage),
        String(replica),
        String(part),
        showBytes(parameterBytes),
        showBytes(momentBytes),
        exact(runtimeBytes),
      ]),
    ],
    { width },
  );
  return `${showMesh(mesh)}${order}: rank ${most.rank} needs most, ${showBytes(most.runtimeBytes)} (${exact(most.runtimeBytes)} bytes) with ${threads === 1 ? "1 thread" : `${threads} threads`}.

${table}

In all: parameters, the optimizer's states, gradients, what passes keep of micro-batches, and the largest program, evaluation and instruments included. Outside it are Node itself, and the texts that rank 0 writes.`;
}
