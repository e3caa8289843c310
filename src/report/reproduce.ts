// Question: which command trains a run again?
//
// The command names only the options of `birkhoff train` that differ from its defaults. Fields without an option follow
// as --set. test/cli/report.test.ts checks that the command makes the same configuration again.

import { shellWord } from "../basics/show.ts";
import { iterates } from "../connections/mhc-options.ts";
import { connectionOptions, defaultConnection } from "../connections/table.ts";
import { presets } from "../model/config.ts";
import { isMixed } from "../model/overrides.ts";
import type { TrainingConfig } from "../training/config.ts";
import { optimizerEntry, paperSettings, usualSettings } from "../training/optimizers/table.ts";

/** The defaults of `birkhoff train`. */
const defaults = {
  data: "sotu",
  preset: "nano",
  vocabulary: 1024,
  steps: 700,
  batch: 16,
  accumulate: 1,
  schedule: "step",
  seed: 1,
  splitSeed: 0,
} as const;

/** A shell command that makes the same configuration; the user supplies the text and the number of threads. */
export function reproduceCommand(config: TrainingConfig): string {
  const { data, model, optimizer, steps } = config;
  const [preset, size] = nearestPreset(model);
  const { schedule } = optimizer;
  const connection = isMixed(model.connection) ? undefined : connectionChoice(model.connection);
  const { kind = "adamw" } = optimizer;
  const settings: Readonly<Record<string, unknown>> = { ...optimizer };
  const usual = { ...usualSettings(kind), ...(size.feedForward ? paperSettings(kind) : {}) };
  const options: readonly (readonly [option: string, value: string | number, usual: string | number | undefined])[] = [
    ["--extensions", data.extensions?.join() ?? "", ""],
    ["--column", data.column ?? "", ""],
    ["--weights", data.weights?.join() ?? "", ""],
    ["--tokenizer", data.tokenizer ?? "", ""],
    ["--preset", preset, defaults.preset],
    ["--connection", connection ?? "mhc", "mhc"],
    ["--vocabulary", data.vocabulary, defaults.vocabulary],
    ["--steps", steps, defaults.steps],
    ["--batch", config.batch, defaults.batch],
    ["--accumulate", config.accumulate, defaults.accumulate],
    ["--context", model.context, size.context],
    ["--precision", config.precision ?? "float32", "float32"],
    ...(config.recompute === undefined || config.recompute === "none"
      ? []
      : [["--recompute", config.recompute, undefined] as const]),
    ...(config.sharded === undefined ? [] : [["--sharded", config.sharded, undefined] as const]),
    ["--reduce-precision", config.reducePrecision ?? "float32", "float32"],
    ["--optimizer", kind, "adamw"],
    ["--learning-rate", optimizer.learningRate, optimizerEntry(kind).usual.learningRate],
    ["--warmup", optimizer.warmup, Math.ceil(steps / 20)],
    ["--schedule", schedule.kind, defaults.schedule],
    ["--seed", config.seed, defaults.seed],
    ["--split-seed", data.splitSeed, defaults.splitSeed],
    ["--training-share", data.trainingShare ?? 1, 1],
    ["--evaluate-every", config.evaluateEvery, Math.ceil(steps / 10)],
    ["--checkpoint-every", config.checkpointEvery, Math.ceil(steps / 5)],
  ];
  const sizes = ["width", "layers", "heads", "kvHeads", "hidden", "attention", "feedForward"] as const;
  const sets: readonly (readonly [path: string, value: unknown, usual: unknown])[] = [
    ...sizes.map((field) => [`model.${field}`, model[field], size[field]] as const),
    ["model.ropeTheta", model.ropeTheta, 10_000],
    ["model.normEpsilon", model.normEpsilon, 1e-20],
    ["model.valueResidual", model.valueResidual, undefined],
    ["model.headMixing", model.headMixing, undefined],
    ["model.keyValues", model.keyValues, undefined],
    ...(connection === undefined ? [["model.connection", model.connection, undefined] as const] : []),
    ...Object.entries(usual).map(([name, value]) => [`optimizer.${name}`, settings[name], value] as const),
    ...(schedule.kind === "cosine" ? [["optimizer.schedule.final", schedule.final, 0.1] as const] : []),
    ["evaluateBatches", config.evaluateBatches, 8],
    ["keepCheckpoints", config.keepCheckpoints, 2],
    ["gainsEvery", config.gainsEvery, 10],
    ["alarms", config.alarms, undefined],
  ];
  const sources = typeof data.source === "string" ? [data.source] : data.source;
  const words = [
    ...(data.source === defaults.data ? [] : [`--data ${sources.map((source) => shellWord(source)).join(" ")}`]),
    ...options
      .filter(([, value, usual]) => value !== usual)
      .map(([option, value]) => `${option} ${shellWord(`${value}`)}`),
    ...(data.skipUnreadable ? ["--skip-unreadable"] : []),
    ...sets
      .filter(([, value, usual]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(usual))
      .map(([path, value]) => `--set ${shellWord(`${path}=${JSON.stringify(value)}`)}`),
  ];
  return ["birkhoff train", ...words].join(" ");
}

/** The preset that differs in the fewest fields. */
function nearestPreset(model: TrainingConfig["model"]): [string, (typeof presets)[keyof typeof presets]] {
  const differing = (size: object): number =>
    Object.entries(size).filter(
      ([field, value]) => JSON.stringify(model[field as keyof typeof model]) !== JSON.stringify(value),
    ).length +
    // A field that the preset has but the model lacks cannot be removed again.
    (["attention", "feedForward"] as const).filter((field) => field in size && model[field] === undefined).length * 100;
  return Object.entries(presets).reduce((a, b) => (differing(b[1]) < differing(a[1]) ? b : a));
}

/** kind:option=value, for the options that differ from the defaults of the kind and of the command. */
export function connectionChoice(
  connection: Exclude<TrainingConfig["model"]["connection"], { default: unknown }>,
): string {
  const usual = new Map<string, unknown>(Object.entries(defaultConnection(connection.kind)));
  const shared = new Map<string, unknown>([
    ["streams", 4],
    ["iterations", 20],
  ]);
  const own = new Map<string, unknown>(Object.entries(connection));
  const options = connectionOptions(connection.kind).filter((name) => {
    // The command line refuses them beside a map that has none.
    if (name === "iterations" && connection.kind === "mhc" && !iterates(connection)) return false;
    const value = own.get(name);
    return value !== undefined && value !== (shared.get(name) ?? usual.get(name));
  });
  return [connection.kind, ...options.map((name) => `${name}=${String(own.get(name))}`)].join(":");
}
