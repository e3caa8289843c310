// Question: which files is a run folder, for a program that has no folders?
//
// A page keeps runs elsewhere, and hands them over as an archive. The files are those of runs/run-folder.ts, by their
// paths in the folder: every command that looks into a run reads them.

import { given } from "../basics/given.ts";
import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { isObject } from "../basics/objects.ts";
import { formatTokenizer } from "../data/tokenizer-json.ts";
import { parseTokenizer } from "../data/tokenizer-json-read.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { reason } from "../files/errors.ts";
import { formatRecord } from "../files/json.ts";
import {
  type CheckpointFiles,
  checkpointNames,
  decodeCheckpoint,
  encodeCheckpoint,
} from "../training/checkpoint-files.ts";
import { parseTrainingConfig, type TrainingConfig, withOlderMeanings } from "../training/config.ts";
import type { GainRecord, MetricRecord } from "../training/records.ts";
import type { TrainerState } from "../training/state.ts";
import { names } from "./names.ts";
import { apart, parseRecord, type RecordFiles, together } from "./record-shapes.ts";

/** A run as its files hold it. */
export interface KeptRun {
  readonly config: TrainingConfig;
  readonly tokenizer: Tokenizer;
  /** Of every step, in order; `metricRecord` makes one. */
  readonly metrics: readonly MetricRecord[];
  /** Of the steps that were measured, in order; `gainRecord` makes one. */
  readonly gains: readonly GainRecord[];
  /** Where the training stands; absent before its first checkpoint. */
  readonly state?: TrainerState | undefined;
  /** What computed it, such as { kernels: runtime.kernels }. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** The files of a run folder by their paths in it, such as "checkpoints/step-10/state.json". */
export type RunFiles = Readonly<Record<string, Uint8Array<ArrayBuffer>>>;

const rules: FieldRules<KeptRun> = {
  config: "group",
  tokenizer: "group",
  metrics: "list",
  gains: "list",
  state: "group",
  versions: "group",
};

/**
 * The files of a run folder, which `birkhoff inspect`, `serve` and `report` read.
 *
 * @throws TypeError for a field that is missing or unknown; Error where there is no SHA-256, as in a page that is not
 *   secure
 */
export async function encodeRun(run: KeptRun): Promise<RunFiles> {
  expectFields("encodeRun", run, rules, "field");
  expectGiven("encodeRun", run, rules, ["config", "tokenizer", "metrics", "gains"]);
  const { config, tokenizer, metrics, gains, state, versions = {} } = run;
  const lines = gains.map(apart);
  const texts = {
    [names.config]: `${JSON.stringify({ config, versions }, undefined, 2)}\n`,
    [names.tokenizer]: formatTokenizer(tokenizer),
    [names.metrics]: metrics.map(formatRecord).join(""),
    [names.gains]: lines.map((line) => formatRecord(line.gains)).join(""),
    [names.mixing]: lines
      .flatMap(({ mixing }) => mixing ?? [])
      .map(formatRecord)
      .join(""),
  };
  const checkpoint = state ? Object.entries(await encodeCheckpoint(state, { seed: config.seed })) : [];
  const encoder = new TextEncoder();
  return Object.fromEntries([
    ...Object.entries(texts).map(([name, text]) => [name, encoder.encode(text)] as const),
    ...checkpoint.map(([name, bytes]) => [`${names.checkpoints}/step-${state?.step}/${name}`, bytes] as const),
  ]);
}

/**
 * A run from the files of its folder, with its newest checkpoint.
 *
 * @throws Error when a file that a run must have is missing, or when one is damaged
 */
export async function decodeRun(files: RunFiles): Promise<KeptRun> {
  const text = (name: string): string | undefined => files[name] && new TextDecoder().decode(files[name]);
  const description = descriptionOf(text(names.config));
  const tokenizer = text(names.tokenizer);
  if (tokenizer === undefined)
    throw new Error(
      `decodeRun: ${names.tokenizer} is missing; a run has its tokenizer there. Give all files of the folder.`,
    );
  const records = <F extends keyof RecordFiles>(file: F): RecordFiles[F][] => {
    // What follows the last line feed was cut off.
    const lines = (text(file) ?? "").split("\n").slice(0, -1);
    return lines.map((line, index) => {
      try {
        return parseRecord(file, line).record as RecordFiles[F];
      } catch (error) {
        throw new Error(`decodeRun: line ${index + 1} of ${file} is damaged: ${reason(error)}`, { cause: error });
      }
    });
  };
  const newest = newestCheckpoint(files);
  return {
    config: parseTrainingConfig(withOlderMeanings(description.config), names.config),
    tokenizer: parseTokenizer(tokenizer, names.tokenizer),
    metrics: records(names.metrics),
    gains: together(records(names.gains), records(names.mixing)),
    versions: isObject(description.versions) ? (description.versions as Record<string, string>) : {},
    ...given({ state: newest && (await decodeCheckpoint(newest)) }),
  };
}

function descriptionOf(text: string | undefined): { readonly config: unknown; readonly versions?: unknown } {
  if (text === undefined)
    throw new Error(
      `decodeRun: ${names.config} is missing; these are no files of a run. Give all files of its folder.`,
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Error(`decodeRun: ${names.config} is not JSON: ${reason(error)}`, { cause: error });
  }
  if (isObject(parsed) && isObject(parsed["config"])) return { config: parsed["config"], versions: parsed["versions"] };
  throw new Error(
    `decodeRun: ${names.config} holds no configuration of a run; it must be { "config": … }. Give the file that the run has.`,
  );
}

function newestCheckpoint(files: RunFiles): CheckpointFiles | undefined {
  const steps = Object.keys(files).flatMap(
    (path) => new RegExp(`^${names.checkpoints}/step-(\\d+)/${checkpointNames.state}$`).exec(path)?.[1] ?? [],
  );
  if (steps.length === 0) return undefined;
  const newest = Math.max(...steps.map(Number));
  const file = (name: string): Uint8Array<ArrayBuffer> => files[`${names.checkpoints}/step-${newest}/${name}`]!;
  return {
    "model.safetensors": file(checkpointNames.model),
    "optimizer.safetensors": file(checkpointNames.optimizer),
    "state.json": file(checkpointNames.state),
  };
}
