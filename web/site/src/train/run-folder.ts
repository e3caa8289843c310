// Question: how does a model become a run folder, and how is one read?
//
// The zip holds what `birkhoff train` writes (docs/files.md), made by the library: `birkhoff inspect`, `sample` and
// `report` open it; and the page opens such a folder, whoever made it. Records that a run of the command line has and the
// page does not are left out.

import { unzip, zip } from "fflate";
import {
  decodeRun,
  encodeRun,
  type GainRecord,
  type KeptRun,
  type MetricRecord,
  type RunFiles,
  type Tokenizer,
  type TrainerState,
  type TrainingConfig,
} from "../../../../src/browser.ts";
import type { News } from "./session.ts";

/** A model with all that a run folder says of it. */
export interface RunParts {
  readonly config: TrainingConfig;
  readonly tokenizer: Tokenizer;
  readonly state: TrainerState;
  readonly news: readonly News[];
}

/** What a run folder holds of the model at a place of the news. */
function keptRun({ config, tokenizer, state, news }: RunParts, index: number, kernels: string): KeptRun {
  const metrics: MetricRecord[] = [];
  const gains: GainRecord[] = [];
  for (const { step, models } of news) {
    const one = models[index];
    if (!one) continue;
    const { loss, gradientNorm, learningRate, instruments } = one;
    const tokensPerSecond = (config.batch * config.accumulate * config.model.context) / one.seconds;
    const seconds = (metrics.at(-1)?.seconds ?? 0) + one.seconds;
    metrics.push({ step, loss, gradientNorm, learningRate, tokensPerSecond, seconds });
    if (instruments) gains.push({ step, ...instruments });
  }
  return { config, tokenizer, state, metrics, gains, versions: { browser: navigator.userAgent, kernels } };
}

/** A zip of a run folder for each model, each in a folder of its name. */
export async function zipRuns(runs: readonly RunParts[], kernels: string): Promise<Uint8Array<ArrayBuffer>> {
  const all: Record<string, Uint8Array> = {};
  for (const [index, run] of runs.entries())
    for (const [name, bytes] of Object.entries(await encodeRun(keptRun(run, index, kernels))))
      all[`${folderOf(runs, index)}/${name}`] = bytes;
  return new Promise((resolve, reject) => {
    // Weights hardly get smaller; the texts do.
    zip(all, { level: 1 }, (error, bytes) => (error ? reject(error) : resolve(Uint8Array.from(bytes))));
  });
}

/** Two models of one name get a number. */
function folderOf(runs: readonly RunParts[], index: number): string {
  const { name } = runs[index]!.config;
  const before = runs.slice(0, index).filter(({ config }) => config.name === name).length;
  return before === 0 ? name : `${name}-${before + 1}`;
}

/**
 * The run of a zip: the one that it holds, or the first.
 *
 * @throws Error that says what is missing, or what is damaged
 */
export async function unzipRun(bytes: Uint8Array): Promise<RunParts> {
  const files = await new Promise<Record<string, Uint8Array>>((resolve, reject) => {
    unzip(bytes, (error, found) =>
      error ? reject(new Error(`This file is no zip: ${error.message}. Open a zip of a run folder.`)) : resolve(found),
    );
  });
  const description = Object.keys(files).find((name) => /(^|\/)config\.json$/.test(name));
  if (description === undefined)
    throw new Error("This zip holds no run folder: there is no config.json in it. Zip a folder of birkhoff train.");
  const folder = description.slice(0, -"config.json".length);
  const own = Object.entries(files).filter(([name]) => name.startsWith(folder));
  const run: RunFiles = Object.fromEntries(
    own.map(([name, file]) => [name.slice(folder.length), Uint8Array.from(file)]),
  );
  const { config, tokenizer, state, metrics, gains } = await decodeRun(run);
  if (!state)
    throw new Error(
      "The run folder in this zip has no checkpoint, with which the page goes on. Zip it with checkpoints/.",
    );
  return { config, tokenizer, state, news: newsOf(metrics, gains, state.step) };
}

/** Records as news of one model, up to a step. */
function newsOf(metrics: readonly MetricRecord[], gains: readonly GainRecord[], last: number): News[] {
  const measured = new Map(gains.map(({ step, ...instruments }) => [step, instruments]));
  let before = 0;
  return metrics.flatMap((record): News[] => {
    const { step, loss, gradientNorm, learningRate, tokensPerSecond } = record;
    if (step > last) return [];
    const seconds = record.seconds - before;
    before += seconds;
    const instruments = measured.get(step);
    const model = { loss, gradientNorm, learningRate, seconds, ...(instruments && { instruments }) };
    return [{ step, seconds, tokens: tokensPerSecond * seconds, models: [model] }];
  });
}
