// Question: what can be chosen before training, and how does a link carry it?
//
// A choice is a few words of plain data. A link holds it in its query: ?models=residual,hc:4,mhc:4:sinkhorn&text=sotu&…
// What is seldom chosen of mHC follows by name: mhc:4:cayley:maps=post:at=attention.

import type { ConnectionConfig, TrainingConfig } from "../../../../src/browser.ts";
import { isMixed, parseConnection, parseTrainingConfig } from "../../../../src/browser.ts";
import { learnedMaps, type LearnedMapsName } from "../../../../src/connections/learned-maps.ts";
import { residualMapNames } from "../../../../src/connections/manifolds/table.ts";
import type { ConnectionKind } from "../../../../src/connections/table.ts";
import { sublayerConnections } from "../../../../src/model/overrides.ts";
import { connectionAt } from "../../../../src/model/places.ts";
import { kinds } from "./kinds.ts";
import { type Text, texts } from "./texts.ts";

/** The sets that mHC's mixing matrices can come from. */
export const maps: readonly string[] = residualMapNames;

export interface ModelChoice {
  readonly kind: ConnectionKind;
  /** Or fractions; 1 where there is nothing to count. */
  readonly streams: number;
  readonly map: string;
  /** Of mHC: which of the three maps are learned. Absent: all. */
  readonly maps?: LearnedMapsName;
  /** Of mHC: which sublayers have it, the others being residual. Absent: all. */
  readonly at?: PlaceName;
  /** Of mHC: whether only half of the streams are mixed and written by a sublayer, each token choosing some. */
  readonly half?: true;
}

/** What the maps that are learned do. */
export const learned: Readonly<Partial<Record<LearnedMapsName, string>>> = {
  all: "read, mix and write",
  res: "mix only",
  "pre-post": "read and write only",
  post: "write only",
};

/** Sublayers, of so many layers. */
export const places = {
  attention: { name: "attention", at: () => "attention" },
  feedForward: { name: "feed-forward", at: () => "feedForward" },
  first: { name: "the first half", at: (layers: number) => `0-${(layers >> 1) - 1}` },
  second: { name: "the second half", at: (layers: number) => `${layers >> 1}-last` },
} as const;
export type PlaceName = keyof typeof places;

/** Sizes that train in a tab; `deep` has the most layers, which is where gains show. */
export const sizes = {
  quick: { name: "quick: 4 layers, width 64", layers: 4, width: 64, heads: 4, context: 64, batch: 8 },
  deep: { name: "deep: 12 layers, width 48", layers: 12, width: 48, heads: 4, context: 48, batch: 6 },
  larger: { name: "larger: 6 layers, width 128", layers: 6, width: 128, heads: 4, context: 96, batch: 8 },
} as const;
export type Size = keyof typeof sizes;

export interface Choice {
  readonly models: readonly ModelChoice[];
  readonly text: Text;
  readonly size: Size;
  readonly seed: number;
  readonly learningRate: number;
}

export const firstChoice: Choice = {
  models: [
    { kind: "residual", streams: 1, map: "sinkhorn" },
    { kind: "hc", streams: 4, map: "sinkhorn" },
    { kind: "mhc", streams: 4, map: "sinkhorn" },
  ],
  text: "sotu",
  size: "quick",
  seed: 1,
  learningRate: 0.003,
};

/** At most so many models train side by side. */
export const MOST_MODELS = 3;
/** Tokens of the vocabulary that is made of the text. */
export const VOCABULARY = 512;
/** Steps between readings of the gains. */
export const GAINS_EVERY = 10;
/** Far more than anyone waits for in a tab. */
const STEPS = 1_000_000;

/** Whether the mixing matrices are learned, and so come from a set. */
export const mixes = ({ maps = "all" }: Pick<ModelChoice, "maps">): boolean => learnedMaps(maps).res;

/** A model in a word: mhc:4:cayley. */
export function wordOf({ kind, streams, map, maps, at, half }: ModelChoice): string {
  if (kind === "mhc")
    return [`mhc:${streams}:${map}`, maps && `maps=${maps}`, at && `at=${at}`, half && "half"]
      .filter(Boolean)
      .join(":");
  return kinds[kind].counted ? `${kind}:${streams}` : kind;
}

/** A model as a title: mHC, n = 4. */
export function titleOf({ kind, streams, map, maps = "all", at, half }: ModelChoice): string {
  const { name, counted } = kinds[kind];
  if (!counted) return name;
  const count = `${name}, ${counted.symbol} = ${streams}`;
  if (kind !== "mhc") return count;
  const more = [
    map === "sinkhorn" || !mixes({ maps }) ? undefined : map,
    maps === "all" ? undefined : (learned[maps] ?? maps),
    half && "half mixed",
    at && places[at].name,
  ];
  return [count, ...more].filter((part) => part !== undefined).join(", ");
}

/** A connection's configuration as the library reads it; throws where it does not allow the choice. */
export function connectionOf({ kind, streams, map, maps, half }: ModelChoice): ConnectionConfig {
  const { counted } = kinds[kind];
  return parseConnection({
    kind,
    ...(counted && { [counted.option]: streams }),
    // Where they are not learned the matrices are of no set.
    ...(kind === "mhc" && mixes({ ...(maps && { maps }) }) && { residualMap: map }),
    ...(maps && { maps }),
    ...(half && { active: streams >> 1 }),
  });
}

/** Whether the library allows a choice. */
export function isAllowed(model: ModelChoice): boolean {
  try {
    connectionOf(model);
    return true;
  } catch {
    return false;
  }
}

/** The same with what it does not allow left out. */
export function allowed({ maps, at, half, ...model }: ModelChoice): ModelChoice {
  if (model.kind !== "mhc") return model;
  const more: Partial<ModelChoice>[] = [maps && maps !== "all" ? { maps } : {}, half ? { half } : {}, at ? { at } : {}];
  return more.reduce<ModelChoice>(
    (kept, each) => (isAllowed({ ...kept, ...each }) ? { ...kept, ...each } : kept),
    model,
  );
}

/** Whether a model of this size can have so many streams or fractions; fractions are equal parts of the width. */
export const fits = ({ kind }: ModelChoice, count: number, size: Size): boolean =>
  kinds[kind].counted?.option !== "fractions" || sizes[size].width % count === 0;

/** The model, or with four parts, which every width has. */
export const fitted = (model: ModelChoice, size: Size): ModelChoice =>
  fits(model, model.streams, size) ? model : { ...model, streams: 4 };

/** The training of one model of a choice. */
function configOf(choice: Choice, model: ModelChoice, vocabulary: number): TrainingConfig {
  const { layers, width, heads, context, batch } = sizes[choice.size];
  return parseTrainingConfig({
    name: wordOf(model).replaceAll(":", "-"),
    seed: choice.seed,
    data: { source: texts[choice.text].source, vocabulary: VOCABULARY },
    model: {
      vocabulary,
      context,
      width,
      layers,
      heads,
      kvHeads: heads,
      // Two and two thirds of the width, as usual for SwiGLU, in whole eights.
      hidden: 8 * Math.round((8 * width) / 24),
      connection: { ...connectionOf(model), ...(model.at && { at: places[model.at].at(layers) }) },
    },
    batch,
    steps: STEPS,
    optimizer: { learningRate: choice.learningRate, warmup: 20, schedule: { kind: "constant" } },
    evaluateEvery: STEPS,
    checkpointEvery: STEPS,
    gainsEvery: GAINS_EVERY,
  });
}

/** The trainings of all models of a choice. */
export const configsOf = (choice: Choice, vocabulary: number): TrainingConfig[] =>
  choice.models.map((model) => configOf(choice, model, vocabulary));

/** What a training is of, as a choice says it; of connections that differ by layer in no way to choose, that of most. */
export function modelOf({ model }: TrainingConfig): ModelChoice {
  const at = placeOf(model);
  const connection = !isMixed(model.connection)
    ? model.connection
    : at
      ? model.connection.overrides[0]!.connection
      : model.connection.default;
  const {
    streams,
    fractions,
    residualMap = "sinkhorn",
    maps,
    active,
  } = connection as {
    readonly streams?: number;
    readonly fractions?: number;
    readonly residualMap?: string;
    readonly maps?: LearnedMapsName;
    readonly active?: number;
  };
  return {
    kind: connection.kind,
    streams: streams ?? fractions ?? 1,
    map: residualMap,
    ...(maps && maps !== "all" ? { maps } : {}),
    ...(active !== undefined && active === (streams ?? 0) >> 1 ? { half: true as const } : {}),
    ...(at ? { at } : {}),
  };
}

/** The place whose sublayers have the first override's connection, all others the default. */
function placeOf(model: TrainingConfig["model"]): PlaceName | undefined {
  const { connection, layers } = model;
  if (!isMixed(connection) || connection.overrides[0]?.connection.kind !== "mhc") return undefined;
  const own = JSON.stringify(sublayerConnections(model));
  return (Object.keys(places) as PlaceName[]).find((name) => {
    const { overrides } = connectionAt(connection.overrides[0]!.connection, places[name].at(layers));
    return JSON.stringify(sublayerConnections({ layers, connection: { ...connection, overrides } })) === own;
  });
}

/** The query of a link that carries a choice. */
export function queryOf({ models, text, size, seed, learningRate }: Choice): string {
  return new URLSearchParams({
    models: models.map(wordOf).join(","),
    text,
    size,
    seed: String(seed),
    rate: String(learningRate),
  }).toString();
}

/** The choice that a link carries; what it lacks, or has in a way that cannot be used, is as at first. */
export function choiceOf(query: string): Choice {
  const given = new URLSearchParams(query);
  const models = (given.get("models") ?? "").split(",").flatMap((word): ModelChoice[] => {
    const [name = "", streams = "4", map = "sinkhorn", ...more] = word.split(":");
    if (!Object.hasOwn(kinds, name)) return [];
    const kind = name as ConnectionKind;
    const named = new Map(more.map((part) => part.split("=") as [string, string | undefined]));
    const [learns = "all", at = ""] = [named.get("maps"), named.get("at")];
    const model = allowed({
      kind,
      streams: kinds[kind].counted ? Number(streams) : 1,
      map,
      ...(Object.hasOwn(learned, learns) ? { maps: learns as LearnedMapsName } : {}),
      ...(Object.hasOwn(places, at) ? { at: at as PlaceName } : {}),
      ...(named.has("half") ? { half: true } : {}),
    });
    return isAllowed(model) ? [model] : [];
  });
  const seed = Number(given.get("seed") ?? NaN);
  const rate = Number(given.get("rate") ?? NaN);
  const named = given.get("size") ?? "";
  const size = Object.hasOwn(sizes, named) ? (named as Size) : firstChoice.size;
  const text = given.get("text") ?? "";
  return {
    models: models.length > 0 ? models.slice(0, MOST_MODELS).map((model) => fitted(model, size)) : firstChoice.models,
    text: Object.hasOwn(texts, text) ? (text as Text) : firstChoice.text,
    size,
    seed: Number.isSafeInteger(seed) && seed >= 0 ? seed : firstChoice.seed,
    // A rate is a float32 where it is used: what is zero there is none.
    learningRate: Math.fround(rate) > 0 && rate < 1 ? rate : firstChoice.learningRate,
  };
}
