// Question: how does a model become a run folder, and how is one read?
//
// The zip holds what `birkhoff train` writes (docs/files.md): config.json, tokenizer.json, the records, and a checkpoint
// with its checksums. `birkhoff inspect`, `sample` and `report` open it; and the page opens such a folder, whoever made
// it. Records that a run of the command line has and the page does not are left out.

import { strFromU8, strToU8, unzip, zip } from "fflate";
import {
  parseTrainingConfig,
  type SavedTensor,
  type Tokenizer,
  type TrainerState,
  type TrainingConfig,
} from "../../../../src/browser.ts";
import { formatTokenizer } from "../../../../src/data/tokenizer-json.ts";
import { parseTokenizer } from "../../../../src/data/tokenizer-json-read.ts";
import type { ModelNews, News } from "./session.ts";
import { decodeTensors, encodeTensors } from "./tensors.ts";

/** A model with all that a run folder says of it. */
export interface RunParts {
  readonly config: TrainingConfig;
  readonly tokenizer: Tokenizer;
  readonly state: TrainerState;
  readonly news: readonly News[];
}

const FORMAT = 1;
const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

/** Numbers that JSON has not are written as the records of a run write them: by their names. */
const line = (record: object): string =>
  `${JSON.stringify(record, (_, value: unknown) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value))}\n`;

/** The files of a run folder for the model at a place of the news. */
async function filesOf(
  { config, tokenizer, state, news }: RunParts,
  index: number,
  kernels: string,
): Promise<Record<string, Uint8Array>> {
  const { step } = state;
  const tensors = (list: readonly SavedTensor[]): Uint8Array<ArrayBuffer> =>
    encodeTensors(list, { step: String(step) });
  const [model, optimizer] = [tensors(state.model), tensors(state.optimizer)];
  const mark = async (bytes: Uint8Array<ArrayBuffer>) => ({ bytes: bytes.length, sha256: await sha256(bytes) });
  const files = { "model.safetensors": await mark(model), "optimizer.safetensors": await mark(optimizer) };
  const described = { format: FORMAT, step, files, state: { seed: config.seed } };
  const checked = { ...described, sha256: await sha256(Uint8Array.from(strToU8(JSON.stringify(described)))) };
  let seconds = 0;
  let [metrics, gains, mixings] = ["", "", ""];
  for (const { step, models } of news) {
    const one = models[index];
    if (!one) continue;
    seconds += one.seconds;
    const { loss, gradientNorm, learningRate, instruments } = one;
    const tokensPerSecond = Math.round((config.batch * config.model.context) / one.seconds);
    metrics += line({ step, loss, gradientNorm, learningRate, tokensPerSecond, seconds: Number(seconds.toFixed(3)) });
    if (!instruments) continue;
    const { mixing, product, ...rest } = instruments;
    if (mixing) mixings += line({ step, ...(rest.sublayers && { sublayers: rest.sublayers }), mixing, product });
    gains += line({ step, ...rest });
  }
  return {
    "config.json": strToU8(json({ config, versions: { browser: navigator.userAgent, kernels } })),
    "tokenizer.json": strToU8(formatTokenizer(tokenizer)),
    "metrics.jsonl": strToU8(metrics),
    "gains.jsonl": strToU8(gains),
    "mixing.jsonl": strToU8(mixings),
    [`checkpoints/step-${step}/model.safetensors`]: model,
    [`checkpoints/step-${step}/optimizer.safetensors`]: optimizer,
    [`checkpoints/step-${step}/state.json`]: strToU8(json(checked)),
  };
}

/** A zip of a run folder for each model, each in a folder of its name. */
export async function zipRuns(runs: readonly RunParts[], kernels: string): Promise<Uint8Array<ArrayBuffer>> {
  const all: Record<string, Uint8Array> = {};
  for (const [index, run] of runs.entries())
    for (const [name, bytes] of Object.entries(await filesOf(run, index, kernels)))
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
 * @throws Error that says what is missing
 */
export async function unzipRun(bytes: Uint8Array): Promise<RunParts> {
  const files = await new Promise<Record<string, Uint8Array>>((resolve, reject) => {
    unzip(bytes, (error, found) =>
      error ? reject(new Error(`This file is no zip: ${error.message}.`)) : resolve(found),
    );
  });
  const description = Object.keys(files).find((name) => /(^|\/)config\.json$/.test(name));
  if (description === undefined) throw new Error("This zip holds no run folder: there is no config.json in it.");
  const folder = description.slice(0, -"config.json".length);
  const text = (name: string): string => {
    const file = files[folder + name];
    if (!file) throw new Error(`The run folder in this zip has no ${name}.`);
    return strFromU8(file);
  };
  const { config } = JSON.parse(text("config.json")) as { config: unknown };
  const steps = Object.keys(files).flatMap((name) => {
    const found = name.startsWith(folder) && /^checkpoints\/step-(\d+)\/state\.json$/.exec(name.slice(folder.length));
    return found ? [Number(found[1])] : [];
  });
  if (steps.length === 0) throw new Error("The run folder in this zip has no checkpoint.");
  const step = Math.max(...steps);
  const tensors = (name: string): SavedTensor[] => {
    const file = files[`${folder}checkpoints/step-${step}/${name}.safetensors`];
    if (!file) throw new Error(`The checkpoint of step ${step} has no ${name}.safetensors.`);
    return decodeTensors(Uint8Array.from(file).buffer);
  };
  const has = (name: string): boolean => files[folder + name] !== undefined;
  const records = (name: string): Record<string, unknown>[] =>
    has(name)
      ? text(name)
          .split("\n")
          .filter((one) => one !== "")
          .map((one) => JSON.parse(one) as Record<string, unknown>)
      : [];
  return {
    config: parseTrainingConfig(config, "config.json"),
    tokenizer: parseTokenizer(text("tokenizer.json")),
    state: { step, model: tensors("model"), optimizer: tensors("optimizer") },
    news: newsOf(records("metrics.jsonl"), records("gains.jsonl"), records("mixing.jsonl"), step),
  };
}

type Records = readonly Record<string, unknown>[];

/** Records as news of one model, up to a step. */
function newsOf(metrics: Records, gains: Records, mixing: Records, last: number): News[] {
  const byStep = (records: Records): Map<number, Record<string, unknown>> =>
    new Map(records.map((record) => [Number(record["step"]), record]));
  const [seen, matrices] = [byStep(gains), byStep(mixing)];
  let before = 0;
  return metrics.flatMap((record): News[] => {
    const step = Number(record["step"]);
    if (!(step <= last)) return [];
    const seconds = Number(record["seconds"]) - before;
    before += seconds;
    const found = seen.get(step);
    const model: ModelNews = {
      loss: Number(record["loss"]),
      gradientNorm: Number(record["gradientNorm"]),
      learningRate: Number(record["learningRate"]),
      seconds,
      ...(found && { instruments: { ...found, ...matrices.get(step) } }),
    };
    return [{ step, seconds, tokens: Number(record["tokensPerSecond"]) * seconds, models: [model] }];
  });
}
