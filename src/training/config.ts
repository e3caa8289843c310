// Question: what describes a training run?
//
// Plain data, validated once, kept as config.json: with the corpus it repeats the run. Names of fields that older
// versions wrote stay readable; everything past the parser has today's.

import { expectHas } from "../basics/fields.ts";
import { z } from "zod";
import { isObject, isTooDeep } from "../basics/objects.ts";
import { MOST_SEQUENCES, MOST_TOKENS } from "../basics/bounds.ts";
import { count, countFromZero, positiveFloat32, seedNumber } from "../basics/schemas.ts";
import { pathsOf, problems } from "../model/problems.ts";
import { type ModelConfig, modelSchema } from "../model/config.ts";
import { withOlderMeaning } from "../model/mixture.ts";
import { type ComputePrecision, computePrecisions } from "../runtime/precision.ts";
import { type AlarmsConfig, alarmsSchema, mayRollBack } from "./alarms.ts";
import { type OptimizerKind, optimizerKinds, type OptimizerSettings, settingsOf } from "./optimizers/table.ts";

/**
 * step: the mHC paper's, full rate, × 0.316 from 80 % of the steps, × 0.1 from 90 %.
 * cosine: half a cosine down to `final` of the rate.
 */
export type ScheduleConfig =
  | { readonly kind: "step" }
  | { readonly kind: "cosine"; readonly final: number }
  | { readonly kind: "constant" };

/** The rate of each step. */
export interface RateConfig {
  readonly learningRate: number;
  /** Steps over which the rate rises linearly from zero. */
  readonly warmup: number;
  readonly schedule: ScheduleConfig;
}

/** An optimizer, AdamW where no kind is named, with its settings, its schedule and clipping. */
export type OptimizerConfig = RateConfig & OptimizerSettings;

/** The text of a run. */
export interface DataConfig {
  /** `sotu`, a file, a folder, or `-` for standard input; or several files and folders. */
  readonly source: string | readonly string[];
  /** Largest size of the vocabulary that is trained. */
  readonly vocabulary: number;
  /** Chooses the validation documents; the same for all runs that are compared. */
  readonly splitSeed: number;
  /** Of a folder: endings of the files that are read; absent: those of text. */
  readonly extensions?: readonly string[];
  /** Of a folder: whether files that are no UTF-8 text are left out; absent: they are refused. */
  readonly skipUnreadable?: boolean;
  /** Of parquet files the column and of JSON lines the field that holds the text; absent: "text". */
  readonly column?: string;
  /** Of several sources: how often each is read beside the others; absent: as their tokens. */
  readonly weights?: readonly number[];
  /** The tokenizer.json that was given for the text; absent: one was trained on it, or lay beside its files. */
  readonly tokenizer?: string;
  /** Whether every training window is read once before any is read again; absent: windows start anywhere. */
  readonly shuffled?: boolean;
  /** The first share of the training text that is learned from, in (0, 1]; absent: all of it. */
  readonly trainingShare?: number;
  /** Which tokens the loss counts: those of answers, where examples are generated; absent: all. */
  readonly loss?: "answers";
  /** Where the tokens were kept when the run began, and the SHA-256 of the text they were made from. */
  readonly prepared?: { readonly folder: string; readonly text: string } | undefined;
}

/** What a text is called in a sentence. */
export const showSource = (source: DataConfig["source"]): string =>
  typeof source === "string" ? source : source.join(", ");

/** What several processes divide among them. */
export type Sharded = "moments" | "gradients";
export const shardings: readonly Sharded[] = ["moments", "gradients"];

/** As what gradients travel between processes; see `TrainingConfig.reducePrecision`. */
export type ReducePrecision = "float32" | "bfloat16";
export const reducePrecisions: readonly ReducePrecision[] = ["float32", "bfloat16"];

/** Sublayers between stored states, or their number with the least memory; "none" stores everything. */
export type RecomputeConfig = "none" | "auto" | number;

/** A training run as plain data; with the text it repeats the run bit by bit. */
export interface TrainingConfig {
  readonly name: string;
  readonly seed: number;
  readonly data: DataConfig;
  readonly model: ModelConfig;
  /** Sequences of a microbatch. */
  readonly batch: number;
  /** Microbatches whose gradients are averaged before an update. */
  readonly accumulate: number;
  /** In how many bits the model computes; absent as "float32". Parameters, moments and files are float32 in any case. */
  readonly precision?: ComputePrecision;
  /** What the backward pass computes again to save memory; absent as "none". Changes no number of a run. */
  readonly recompute?: RecomputeConfig;
  /**
   * Of a training that several processes share: "moments", those of AdamW are divided among them (ZeRO, stage 1), or
   * "gradients", these too (stage 2), which are then sent after each microbatch. Absent: gradients, where a process has
   * one microbatch in a step, for then it costs nothing; else moments.
   */
  readonly sharded?: Sharded;
  /**
   * Of a training that several processes share: as what gradients travel. "bfloat16" halves their messages; they are rounded
   * once before, and added up in float32. Absent as "float32".
   */
  readonly reducePrecision?: ReducePrecision;
  readonly steps: number;
  readonly optimizer: OptimizerConfig;
  /** Steps between evaluations on the validation text; the last step always has one. */
  readonly evaluateEvery: number;
  readonly evaluateBatches: number;
  /** Steps between checkpoints; the last step always has one. */
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
  /** Steps between texts that the model writes into samples.txt; absent: none while it trains. Changes no number of a run. */
  readonly sampleEvery?: number;
  /** Steps between readings of the instruments, gains.jsonl; the last step always has one. */
  readonly gainsEvery: number;
  /** What to do about alarms, where it is not the default; absent in runs that were begun without a wish. */
  readonly alarms?: AlarmsConfig;
  /** The residual run that this one was made from, and the step of the checkpoint; absent for a run from scratch. */
  readonly upcycledFrom?: { readonly run: string; readonly step: number };
  /** The run whose weights this one began with, and the step of the checkpoint; absent for a run from scratch. */
  readonly startedFrom?: { readonly run: string; readonly step: number };
  /** The folder in Hugging Face's form that this run's weights and tokenizer came from; absent for a run of our own. */
  readonly importedFrom?: string;
}

const share = z.number().min(0).max(1);

const rateFields = {
  learningRate: positiveFloat32,
  warmup: countFromZero(),
  schedule: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("step") }),
    z.strictObject({ kind: z.literal("cosine"), final: share.default(0.1) }),
    z.strictObject({ kind: z.literal("constant") }),
  ]),
};

const optimizerOf = (kind: OptimizerKind) => {
  const named = z.literal(kind);
  return z.strictObject({
    kind: kind === "adamw" ? named.optional() : named,
    ...rateFields,
    ...settingsOf(kind),
  });
};

const [adamw, ...others] = optimizerKinds.map(optimizerOf);

const trainingSchema: z.ZodType<TrainingConfig> = z
  .strictObject({
    name: z.string().min(1),
    seed: seedNumber.default(1),
    data: z.strictObject({
      source: z.union([z.string().min(1), z.array(z.string().min(1)).min(2)]),
      vocabulary: count(MOST_TOKENS),
      splitSeed: seedNumber.default(0),
      extensions: z.array(z.string().min(1)).exactOptional(),
      skipUnreadable: z.boolean().exactOptional(),
      column: z.string().min(1).exactOptional(),
      weights: z.array(z.number().positive()).exactOptional(),
      tokenizer: z.string().min(1).exactOptional(),
      shuffled: z.boolean().exactOptional(),
      trainingShare: z.number().gt(0).max(1).exactOptional(),
      loss: z.literal("answers").exactOptional(),
      prepared: z.strictObject({ folder: z.string(), text: z.string() }).optional(),
    }),
    model: modelSchema,
    batch: count(MOST_SEQUENCES),
    accumulate: count(MOST_SEQUENCES).default(1),
    precision: z.enum(computePrecisions).exactOptional(),
    recompute: z.union([z.enum(["none", "auto"]), count()]).exactOptional(),
    sharded: z.enum(shardings).exactOptional(),
    reducePrecision: z.enum(reducePrecisions).exactOptional(),
    steps: count(),
    optimizer: z.discriminatedUnion("kind", [adamw!, ...others]) as unknown as z.ZodType<OptimizerConfig>,
    evaluateEvery: count(),
    evaluateBatches: count().default(8),
    checkpointEvery: count(),
    keepCheckpoints: count().default(2),
    sampleEvery: count().exactOptional(),
    gainsEvery: count().default(10),
    alarms: alarmsSchema.exactOptional(),
    upcycledFrom: z.strictObject({ run: z.string().min(1), step: countFromZero() }).exactOptional(),
    startedFrom: z.strictObject({ run: z.string().min(1), step: countFromZero() }).exactOptional(),
    importedFrom: z.string().min(1).exactOptional(),
  })
  .refine(({ alarms, keepCheckpoints }) => keepCheckpoints > 1 || !mayRollBack(alarms), {
    path: ["keepCheckpoints"],
    error: "an alarm that rolls back needs at least 2: the newest checkpoint may hold what went wrong",
  })
  .superRefine(({ batch, accumulate }, context) => {
    // A number that is too large by itself is told of already.
    if (Math.max(batch, accumulate) <= MOST_SEQUENCES && batch * accumulate > MOST_SEQUENCES)
      context.addIssue({
        code: "custom",
        path: ["accumulate"],
        message: `${accumulate} batches of ${batch} are ${batch * accumulate} sequences a step; it must be at most ${MOST_SEQUENCES}: take fewer batches (--accumulate) or smaller ones (--batch)`,
      });
  });

/** The path of every field of a configuration, such as "optimizer.clip"; of connections those of all kinds. */
export function configPaths(): string[] {
  return pathsOf(trainingSchema);
}

/** Groups of fields as older versions named them → as they are named today. */
const renamedGroups: ReadonlyMap<string, string> = new Map([["optimiser", "optimizer"]]);

/** The path of a field by today's names: "optimiser.clip" and "optimizer.clip" are "optimizer.clip". */
export function currentPath(path: string): string {
  const [group = "", ...rest] = path.split(".");
  return [renamedGroups.get(group) ?? group, ...rest].join(".");
}

/** A configuration of any version with today's names; what is none is left as it is. */
export function withCurrentNames(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    // A group that is there under both names stays, and the parser refuses the older one.
    Object.entries(value).map(([name, field]) => [
      Object.hasOwn(value, currentPath(name)) ? name : currentPath(name),
      field,
    ]),
  );
}

/** A configuration as a run stored it, with what fields that it lacks meant then; what is none is left as it is. */
export function withOlderMeanings(value: unknown): unknown {
  if (!isObject(value) || !isObject(value["model"]) || value["model"]["feedForward"] === undefined) return value;
  return { ...value, model: { ...value["model"], feedForward: withOlderMeaning(value["model"]["feedForward"]) } };
}

/**
 * Check a configuration and fill in its defaults.
 *
 * @param value plain data, such as a parsed config.json
 * @param source what to call it in messages
 * @throws Error that lists each wrong field, what it was and what is allowed
 */
export function parseTrainingConfig(value: unknown, source = "the configuration"): TrainingConfig {
  if (isTooDeep(value)) throw new Error(`${source} is not valid:\n  it is nested too deeply`);
  if (isObject(value) && value["kind"] === "net")
    throw new Error(
      `${source} is of a network of one's own, which only the program that trained it can build; birkhoff report, serve and inspect show it`,
    );
  const current = withCurrentNames(value);
  const result = trainingSchema.safeParse(current);
  if (result.success) return result.data;
  throw new Error(`${source} is not valid:\n  ${problems(result.error.issues, current, trainingSchema).join("\n  ")}`);
}

/** Throw a TypeError unless it has what every training's configuration has. */
export function expectTrainingConfig(operation: string, config: unknown): void {
  expectHas(operation, "config", config, ["model", "batch", "optimizer"], "Give what parseTrainingConfig returned.");
}
