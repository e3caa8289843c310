// Question: which model does a file describe, that is to be planned?
//
// Four kinds of JSON files, told apart by a field:
//
//   model_type   Hugging Face's config.json (hugging-face.ts)
//   config       the config.json of a run of this library: its model, and its batch and steps
//   known        a model as the planner has it: { "known": "shapes", … } or { "known": "totals", … } (architecture.ts)
//   otherwise    a model as a run's configuration has it, by itself or as the field `model`; kvHeads and connection may
//                be left out

import path from "node:path";
import { given } from "../../basics/given.ts";
import { isObject, isTooDeep } from "../../basics/objects.ts";
import { learnedMaps } from "../../connections/learned-maps.ts";
import type { MhcConfig } from "../../connections/mhc-options.ts";
import { reason } from "../../files/errors.ts";
import { isFolder } from "../../files/places.ts";
import { readText } from "../../files/read.ts";
import { type ModelConfig, modelSchema } from "../../model/config.ts";
import { sublayerConnections } from "../../model/overrides.ts";
import { problems } from "../../model/problems.ts";
import { parseTrainingConfig, type TrainingConfig, withOlderMeanings } from "../../training/config.ts";
import type { AdamwRule } from "../../training/optimizers/adamw.ts";
import type { ConnectionShape, PlannedModel } from "../architecture.ts";
import { expectPlannedModel } from "../check-model.ts";
import { architectureOf } from "../presets.ts";
import { planHuggingFace, type ReadModel } from "./hugging-face.ts";

/** The JSON of a file that is to hold one object. */
export function readObject(file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readText(file));
  } catch (error) {
    const why = error instanceof SyntaxError ? `it is not JSON (${error.message})` : reason(error);
    throw new Error(`cannot read ${file}: ${why}`, { cause: error });
  }
  if (!isObject(value) || isTooDeep(value))
    throw new Error(`${file} holds no JSON object; it must be one with named fields, such as { "layers": 32, … }.`);
  return value;
}

/**
 * The model that a file describes, or the config.json of a folder.
 *
 * @throws Error that names the file, each wrong field, what it is and what is allowed
 */
export function readPlannedModel(place: string): ReadModel {
  const file = isFolder(place) ? path.join(place, "config.json") : place;
  const value = readObject(file);
  const base = path.basename(file, path.extname(file));
  const name = base === "config" ? path.basename(path.dirname(path.resolve(file))) : base;
  if (value["model_type"] !== undefined) return planHuggingFace(value, name, file);
  if (value["config"] !== undefined) return ofRun(value["config"], file);
  if (value["known"] !== undefined) return ofPlanner({ name, ...value }, file);
  const { model = value, data } = value;
  return model !== value && data !== undefined ? ofRun(value, file) : ofModel(model, name, file);
}

/**
 * The configuration of a run, where a folder or file is one's; undefined for a file that has a model alone.
 *
 * @throws Error that names the file, each wrong field, what it is and what is allowed
 */
export function readRunConfig(place: string): TrainingConfig | undefined {
  const file = isFolder(place) ? path.join(place, "config.json") : place;
  const value = readObject(file);
  if (value["model_type"] !== undefined) return undefined;
  const { config = value } = value;
  const isRun = isObject(config) && config["model"] !== undefined && config["data"] !== undefined;
  return isRun ? parseTrainingConfig(withOlderMeanings(config), file) : undefined;
}

function ofPlanner(value: Readonly<Record<string, unknown>>, file: string): ReadModel {
  const model = value as unknown as PlannedModel;
  expectPlannedModel(file, model);
  return { model, notes: [] };
}

function ofRun(value: unknown, file: string): ReadModel {
  const config = parseTrainingConfig(withOlderMeanings(value), file);
  const { model, batch, accumulate, steps, optimizer } = config;
  const { connection, notes } = streamsOf(model);
  const { learningRate, warmup, weightDecay } = optimizer;
  const { beta1, beta2, epsilon } = optimizer as Partial<AdamwRule>;
  const rates = { learningRate, warmup, weightDecay, ...given({ beta1, beta2, epsilon }) };
  const training = { batch: batch * accumulate, context: model.context, steps, ...rates };
  const planned = { ...architectureOf(config.name, model, connection), training };
  return { model: planned, notes };
}

function ofModel(value: unknown, name: string, file: string): ReadModel {
  const whole = isObject(value) ? { kvHeads: value["heads"], connection: { kind: "mhc" }, ...value } : value;
  const result = modelSchema.safeParse(whole);
  if (!result.success)
    throw new Error(
      `${file} is not valid:\n  ${problems(result.error.issues, whole, modelSchema).join("\n  ")}\nIt must be a model with vocabulary, context, width, layers, heads and hidden, or Hugging Face's config.json with its model_type (docs/planning.md, Your own model).`,
    );
  const { connection, notes } = streamsOf(result.data);
  return { model: architectureOf(name, result.data, connection), notes };
}

/** What the sublayers of a model have, where it is not mHC in all of them. */
function ownText(model: ModelConfig): string {
  const all = sublayerConnections(model);
  const learning = all.filter(
    ({ kind, ...options }) => kind !== "mhc" || !("maps" in options) || options.maps !== "none",
  );
  const kinds = [...new Set(learning.map(({ kind }) => kind))].join(" and ");
  return learning.length === all.length
    ? `the file's own connection is ${kinds}`
    : `in the file ${learning.length} of ${all.length} sublayers have ${kinds || "no connection of their own"}, and the others pass the streams on, without parameters of a connection`;
}

/** Options of mHC that a plan counts, and those that change nothing of what it counts. */
const counted: readonly string[] = ["kind", "streams", "iterations", "maps", "initialisation"];

/** What a plan takes from mHC that differs from sublayer to sublayer in its maps alone. */
function plannedMhc(all: readonly MhcConfig[]): { readonly connection: ConnectionShape; readonly notes: string[] } {
  const { streams, iterations } = all.find(({ maps = "all" }) => learnedMaps(maps).res) ?? all[0]!;
  const maps = all.map((each) => each.maps ?? "all");
  const others = [...new Set(all.flatMap((each) => Object.keys(each)))].filter((name) => !counted.includes(name));
  return {
    connection: { streams, iterations, ...(maps.every((each) => each === "all") ? {} : { maps }) },
    notes:
      others.length === 0
        ? []
        : [
            `A plan counts mHC in the paper's form, with Sinkhorn-Knopp for every token; what the file says of ${others.join(", ")} is not counted.`,
          ],
  };
}

/** The streams that a plan takes from a model: those of its mHC, or the paper's. */
function streamsOf(model: ModelConfig): {
  readonly connection?: ConnectionShape;
  readonly notes: readonly string[];
} {
  const all = sublayerConnections(model);
  const ofMhc = all.filter((each) => each.kind === "mhc");
  const [mhc] = ofMhc;
  const learningRes = ofMhc.filter(({ maps = "all" }) => learnedMaps(maps).res);
  const isAlike =
    ofMhc.length === all.length &&
    ofMhc.every(({ streams }) => streams === mhc?.streams) &&
    learningRes.every(({ iterations }) => iterations === learningRes[0]?.iterations);
  if (isAlike) return plannedMhc(ofMhc);
  const notes = [
    `A plan compares mHC in all sublayers with plain residuals${mhc ? "" : ", with 4 streams and 20 iterations"}; ${ownText(model)}.`,
  ];
  return mhc ? { connection: { streams: mhc.streams, iterations: mhc.iterations }, notes } : { notes };
}
