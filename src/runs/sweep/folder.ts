// Question: what does a sweep leave behind, and how far is it?
//
// FOLDER/sweep.json           the sweep and what its text was, written first; replaced when it gets more values
// FOLDER/<point>/             a run folder a point, and in it, once it ended:
// FOLDER/<point>/result.json  that the run finished or diverged; such a run is not repeated
// FOLDER/results.jsonl        one line a run that ended, and
// FOLDER/summary.json         what they say together, both made anew by each analysis
//
// Everything is written beside and renamed. A point without result.json is not done: it resumes from its
// checkpoint, or begins.

import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { given } from "../../basics/given.ts";
import { isObject } from "../../basics/objects.ts";
import { countFromZero } from "../../basics/schemas.ts";
import { writeFileAtomically } from "../../files/atomic.ts";
import { hasCode, reason } from "../../files/errors.ts";
import { ensureWritableFolder } from "../../files/space.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../training/config.ts";
import { openRunFolder, readMetrics } from "../run-folder.ts";
import {
  analyseSweep,
  CHANCE_NATS,
  countGradientExcursions,
  countLossSpikes,
  gradientRule,
  type GroupSummary,
  spikeRule,
  type SweepResult,
  TOLERANCE_BITS,
} from "./analysis.ts";
import {
  fieldOf,
  parseSweep,
  type SweepDefinition,
  sweepDifferences,
  type SweepPoint,
  sweepPoints,
} from "./definition.ts";
import { formatJson } from "../../files/json.ts";
import { readText } from "../../files/read.ts";

const names = { plan: "sweep.json", result: "result.json", results: "results.jsonl", summary: "summary.json" } as const;

/** The files that a sweep's folder has beside its runs. */
export const sweepFiles: readonly string[] = [names.plan, names.results, names.summary];

/** How a run of a sweep ended, as its result.json says. */
export interface RunOutcome {
  readonly outcome: "finished" | "diverged";
  /** Steps done. */
  readonly step: number;
  readonly message?: string;
}

/** What sweep.json holds. */
export interface SweepPlan {
  readonly sweep: SweepDefinition;
  /** SHA-256 of each text that the runs are trained on, by its description. */
  readonly texts: Readonly<Record<string, string>>;
}

/** What summary.json holds. */
export interface SweepSummary {
  readonly name: string;
  /** Points of the sweep, and how many of them ended. */
  readonly points: number;
  readonly ended: number;
  readonly axes: SweepDefinition["axes"];
  /** The numbers in the definitions of what is counted and measured. */
  readonly definitions: {
    readonly spike: typeof spikeRule;
    readonly gradient: typeof gradientRule;
    readonly chanceNats: number;
    readonly toleranceBits: number;
  };
  readonly groups: readonly GroupSummary[];
}

/** Whether a folder holds a sweep. */
export function isSweepFolder(folder: string): boolean {
  return fs.existsSync(path.join(folder, names.plan));
}

/** The sweep in a folder. */
export function readSweepPlan(folder: string): SweepPlan {
  const file = path.join(folder, names.plan);
  let plan: Partial<SweepPlan>;
  try {
    plan = JSON.parse(readText(file)) as Partial<SweepPlan>;
  } catch (error) {
    throw new Error(`cannot read the sweep ${file}: ${reason(error)}`, { cause: error });
  }
  if (!isObject(plan)) throw new Error(`cannot read the sweep ${file}: it does not hold an object`);
  const texts = isObject(plan.texts) ? plan.texts : {};
  return { sweep: parseSweep(plan.sweep, file), texts };
}

/**
 * Begin a sweep in a folder, or go on with the one that is there.
 *
 * @throws Error with the differences when another sweep is there; more values on the axes are none
 */
export function writeSweepPlan(folder: string, plan: SweepPlan): void {
  ensureWritableFolder(folder);
  if (isSweepFolder(folder)) {
    const before = readSweepPlan(folder);
    const lines = sweepDifferences(before.sweep, plan.sweep);
    for (const [source, text] of Object.entries(before.texts)) {
      if (plan.texts[source] !== undefined && plan.texts[source] !== text)
        lines.push(`  the text of ${source} is another one than it was`);
    }
    if (lines.length > 0)
      throw new Error(
        `${folder} holds another sweep:\n${lines.join("\n")}\nMore values on an axis would extend it. Give the changed one another --out, or remove the folder`,
      );
  }
  writeFileAtomically(path.join(folder, names.plan), `${JSON.stringify(plan, undefined, 2)}\n`);
}

const outcomeSchema = z.object({
  outcome: z.enum(["finished", "diverged"]),
  step: countFromZero(),
  message: z.string().exactOptional(),
});

/** How a point ended; undefined when it has not. */
export function readOutcome(folder: string): RunOutcome | undefined {
  const file = path.join(folder, names.result);
  try {
    return outcomeSchema.parse(JSON.parse(readText(file)));
  } catch (error) {
    if (error instanceof z.ZodError)
      throw new Error(`cannot read ${file}: it does not say how the run ended. Remove it to train the run again`, {
        cause: error,
      });
    if (hasCode(error, "ENOENT")) return undefined;
    throw new Error(`cannot read ${file}: ${reason(error)}. Remove it to train the run again`, { cause: error });
  }
}

export function writeOutcome(folder: string, outcome: RunOutcome): void {
  writeFileAtomically(path.join(folder, names.result), `${JSON.stringify(outcome)}\n`);
}

/** The runs of a sweep that ended, in the order of its points. */
export function readResults(folder: string, sweep: SweepDefinition): SweepResult[] {
  return sweepPoints(sweep).flatMap((point) => {
    const run = path.join(folder, point.name);
    const outcome = readOutcome(run);
    return outcome ? [resultOf(run, point, outcome)] : [];
  });
}

function resultOf(run: string, { name, values }: SweepPoint, { outcome, step, message }: RunOutcome): SweepResult {
  const config = parseTrainingConfig(openRunFolder(run).config, path.join(run, "config.json"));
  const metrics = readMetrics(run);
  const last = metrics.at(-1);
  const { validationLoss, bitsPerByte } = outcome === "finished" && last ? last : {};
  return {
    name,
    values,
    group: Object.fromEntries(
      Object.entries(values).filter(([axis]) => !["learningRate", "seed"].includes(fieldOf(axis))),
    ),
    learningRate: config.optimizer.learningRate,
    seed: config.seed,
    diverged: outcome === "diverged" || !learnt(validationLoss, config),
    steps: step,
    ...given({ message, validationLoss, bitsPerByte }),
    lossSpikes: countLossSpikes(metrics.map(({ loss }) => loss)),
    gradientExcursions: countGradientExcursions(metrics.map(({ gradientNorm }) => gradientNorm)),
    largestGradientNorm: metrics.reduce((largest, { gradientNorm }) => Math.max(largest, gradientNorm), 0),
    seconds: last?.seconds ?? 0,
  };
}

/** False for what is not a number, too. */
function learnt(loss: number | undefined, { model }: TrainingConfig): boolean {
  return loss !== undefined && loss < Math.log(model.vocabulary) - CHANCE_NATS;
}

/** Analyse the runs that ended, and write results.jsonl and summary.json. */
export function summariseSweep(
  folder: string,
  sweep: SweepDefinition,
  toleranceBits: number = TOLERANCE_BITS,
): { results: SweepResult[]; summary: SweepSummary } {
  const results = readResults(folder, sweep);
  const summary = {
    name: sweep.name,
    points: sweepPoints(sweep).length,
    ended: results.length,
    axes: sweep.axes,
    definitions: { spike: spikeRule, gradient: gradientRule, chanceNats: CHANCE_NATS, toleranceBits },
    groups: analyseSweep(results, toleranceBits),
  };
  writeFileAtomically(path.join(folder, names.results), results.map((result) => `${formatJson(result)}\n`).join(""));
  writeFileAtomically(path.join(folder, names.summary), `${formatJson(summary, 2)}\n`);
  return { results, summary };
}
