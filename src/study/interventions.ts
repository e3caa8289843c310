// Question: which changes of a trained model show how much a part of it contributes?
//
// An intervention changes the maps that some sublayers use and leaves every weight as it is. All except the number
// of Sinkhorn-Knopp iterations are affine in a token's coefficients h = pre | post | res, a row of M = n² + 2n:
//
//   h' = h A + s        A [M, M], s [M];  A = I and s = 0 change nothing
//
//   identity      res = I
//   mean          res = its mean over tokens
//   uniform       res = J/n, all streams become their mean
//   freeze        pre, post and res = their means over tokens: the connection becomes static
//   drop:a        pre_a = post_a = 0, row a and column a of res = 0: stream a is not read, not carried on and
//                 not written to; it is empty until a later sublayer mixes others into it
//   swap:a-b      pre P and res P, where P exchanges a and b: the sublayer finds each of the two streams in the
//                 other's place. The coefficients are still computed from the streams in their original order.
//   iterations:T  Sinkhorn-Knopp ends after T iterations
//
// Sublayers are counted from 0; attention and feed-forward count separately. Early and late are the first and the
// second half of those that mix streams; if their number is odd, the middle one is late.

/** Kinds that need no number. */
const plainKinds = ["identity", "mean", "uniform", "freeze"] as const;

/** A change of the maps of a sublayer; the head of study/interventions.ts describes each. */
export type Intervention =
  | { readonly kind: (typeof plainKinds)[number] }
  | { readonly kind: "drop"; readonly stream: number }
  | { readonly kind: "swap"; readonly streams: readonly [number, number] }
  | { readonly kind: "iterations"; readonly iterations: number };

/** Interventions that are an affine map of the coefficients. */
export type MapIntervention = Exclude<Intervention, { kind: "iterations" }>;

const FORMS = "identity, mean, uniform, freeze, drop:STREAM, swap:STREAM-STREAM and iterations:NUMBER";

/**
 * An intervention from its name: "identity", "mean", "uniform", "freeze", "drop:2", "swap:0-1", "iterations:5".
 * Streams are counted from 0.
 *
 * @throws RangeError for another text
 */
export function parseIntervention(text: string): Intervention {
  const plain = plainKinds.find((kind) => kind === text);
  if (plain) return { kind: plain };
  const [, kind, first, second] = /^(drop|swap|iterations):(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const [a, b] = [Number(first), Number(second)];
  if (kind === "drop" && second === undefined) return { kind, stream: a };
  if (kind === "swap" && second !== undefined && a !== b) return { kind, streams: [a, b] };
  if (kind === "iterations" && second === undefined && a >= 1) return { kind, iterations: a };
  throw new RangeError(
    `"${text}" is not an intervention. Give one of ${FORMS}, such as drop:2, swap:0-1 (two different streams, counted from 0) or iterations:5 (at least 1).`,
  );
}

/** The name of an intervention, as `parseIntervention` takes it. */
export function interventionName(intervention: Intervention): string {
  if (intervention.kind === "drop") return `drop:${intervention.stream}`;
  if (intervention.kind === "swap") return `swap:${intervention.streams.join("-")}`;
  if (intervention.kind === "iterations") return `iterations:${intervention.iterations}`;
  return intervention.kind;
}

/** h' = h A + s of one sublayer's coefficients. */
export interface CoefficientMap {
  /** A [M, M], row-major. */
  readonly matrix: Float32Array;
  /** s [M]. */
  readonly shift: Float32Array;
}

/** One of the M coefficients: pre_column, post_row or res_(row, column). */
interface Place {
  readonly map: "pre" | "post" | "res";
  readonly row: number;
  readonly column: number;
  readonly index: number;
}

function placesOf(n: number): Place[] {
  const streams = Array.from({ length: n }, (_, stream) => stream);
  const none = -1;
  return [
    ...streams.map((column) => ({ map: "pre" as const, row: none, column })),
    ...streams.map((row) => ({ map: "post" as const, row, column: none })),
    ...streams.flatMap((row) => streams.map((column) => ({ map: "res" as const, row, column }))),
  ].map((place, index) => ({ ...place, index }));
}

/** What takes the place of a coefficient: a number, or the coefficient at another place. */
type Source = number | { readonly from: number };

type Rule<I> = (place: Place, intervention: I, context: { n: number; mean: ArrayLike<number> }) => Source;
type Rules = { readonly [K in MapIntervention["kind"]]: Rule<Extract<MapIntervention, { kind: K }>> };

const asItIs = ({ index }: Place): Source => ({ from: index });
const mixing =
  (value: (place: Place, n: number, mean: ArrayLike<number>) => number): Rule<unknown> =>
  (place, _, { n, mean }) =>
    place.map === "res" ? value(place, n, mean) : asItIs(place);

const rules: Rules = {
  identity: mixing(({ row, column }) => (row === column ? 1 : 0)),
  mean: mixing(({ index }, _, mean) => mean[index]!),
  uniform: mixing((_, n) => 1 / n),
  freeze: ({ index }, _, { mean }) => mean[index]!,
  drop: (place, { stream }) => (place.row === stream || place.column === stream ? 0 : asItIs(place)),
  swap({ index, column }, { streams: [a, b] }) {
    const other = column === a ? b : column === b ? a : column;
    return { from: index + other - column };
  },
};

/**
 * The effect of an intervention on the coefficients of a sublayer.
 *
 * @param intervention undefined for none
 * @param n streams of the sublayer
 * @param mean the coefficients' means over tokens, [n² + 2n]; "mean" and "freeze" use them
 * @throws RangeError for a stream that the sublayer does not have
 */
export function coefficientMap(
  intervention: MapIntervention | undefined,
  n: number,
  mean: ArrayLike<number>,
): CoefficientMap {
  if (intervention && Math.max(...streamsOf(intervention)) >= n) {
    throw new RangeError(`${interventionName(intervention)}: the sublayer has streams 0 to ${n - 1}.`);
  }
  const M = n * n + 2 * n;
  const [matrix, shift] = [new Float32Array(M * M), new Float32Array(M)];
  const rule: Rule<MapIntervention> = intervention ? (rules[intervention.kind] as Rule<unknown>) : asItIs;
  for (const place of placesOf(n)) {
    const source = rule(place, intervention!, { n, mean });
    if (typeof source === "number") shift[place.index] = source;
    else matrix[source.from * M + place.index] = 1;
  }
  return { matrix, shift };
}

/** The streams that an intervention names. */
function streamsOf(intervention: Intervention): readonly number[] {
  if (intervention.kind === "drop") return [intervention.stream];
  return intervention.kind === "swap" ? intervention.streams : [];
}

/** What interventions must know about a sublayer that mixes streams. */
export interface MixedSublayer {
  /** n. */
  readonly streams: number;
  /** The iterations of Sinkhorn-Knopp; absent where H_res comes from another map. */
  readonly iterations?: number;
}

/** The sublayers of a network in order of depth; undefined where no streams are mixed. */
export type MixedSublayers = readonly (MixedSublayer | undefined)[];

/** Sublayers that are changed together. */
export interface SublayerSet {
  /** The set as requested: "all", "early", "late", "3" or "0-5,8". */
  readonly name: string;
  /** Positions in the network from 0, ascending. */
  readonly sublayers: readonly number[];
}

const SET_FORMS = 'all, early, late, each, or a list such as "0-5,8,10-last"';

/**
 * The sublayers that a text means: "all" that mix streams, their "early" or "late" half, "each" separately, or a
 * list of numbers and ranges, "0-5,8,10-last". A range means those in it that mix streams.
 *
 * @throws RangeError when one does not exist or does not mix streams, or the text has another form
 */
export function sublayerSets(text: string, network: MixedSublayers): SublayerSet[] {
  const mixing = network.flatMap((sublayer, index) => (sublayer ? [index] : []));
  const half = mixing.length >> 1;
  const named: Readonly<Record<string, readonly number[]>> = {
    all: mixing,
    early: mixing.slice(0, half),
    late: mixing.slice(half),
  };
  if (text === "each") return mixing.map((index) => ({ name: String(index), sublayers: [index] }));
  const positions = Object.hasOwn(named, text) ? named[text]! : listed(text, mixing, network.length);
  return [{ name: text, sublayers: [...new Set(positions)].sort((a, b) => a - b) }];
}

function listed(text: string, mixing: readonly number[], depth: number): number[] {
  return text.split(",").flatMap((part) => {
    const match = /^\s*(\d+|last)(?:-(\d+|last))?\s*$/.exec(part);
    if (!match) throw new RangeError(`sublayers "${text}": "${part}" is not a sublayer or a range. Give ${SET_FORMS}.`);
    const [from, to] = [match[1]!, match[2] ?? match[1]!].map((end) => (end === "last" ? depth - 1 : Number(end))) as [
      number,
      number,
    ];
    if (from > to || to >= depth) {
      throw new RangeError(
        `sublayers "${text}": "${part}" must lie within 0 to ${depth - 1} (the model has ${depth} sublayers; attention and feed-forward count separately); a range must not end before it starts.`,
      );
    }
    const meant = mixing.filter((index) => index >= from && index <= to);
    if (meant.length > 0) return meant;
    throw new RangeError(`sublayers "${text}": no streams are mixed in ${part}, only in ${ranges(mixing)}.`);
  });
}

/** Positions as a list of ranges: 0-5,8. */
export function ranges(positions: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const position of positions) {
    const last = parts.at(-1);
    if (last && position === last[1] + 1) last[1] = position;
    else parts.push([position, position]);
  }
  return parts.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(",");
}

/** One line of a table of interventions: the change, and the sublayers it applies to. */
export interface PlannedIntervention {
  readonly intervention: Intervention;
  readonly set: SublayerSet;
}

/** The interventions to try by default. */
function defaultInterventions(network: MixedSublayers): Intervention[] {
  const n = Math.max(...network.map((sublayer) => sublayer?.streams ?? 0));
  const streams = Array.from({ length: n }, (_, stream) => stream);
  const pairs = n < 2 ? [] : n === 2 ? [0] : streams;
  const trained = network.flatMap((sublayer) => sublayer?.iterations ?? []);
  const iterations = new Set(trained.length > 0 ? [1, 2, 5, 10, 20, 50, 100, ...trained] : []);
  return [
    ...plainKinds.map((kind) => ({ kind })),
    ...(n < 2 ? [] : streams.map((stream): Intervention => ({ kind: "drop", stream }))),
    ...pairs.map((a): Intervention => ({ kind: "swap", streams: [a, (a + 1) % n] })),
    ...[...iterations].sort((a, b) => a - b).map((count): Intervention => ({ kind: "iterations", iterations: count })),
  ];
}

/** The default sublayers of an intervention; a swap uses the middle one of the sublayers that have both streams. */
function defaultSets(intervention: Intervention, network: MixedSublayers): SublayerSet[] {
  if (intervention.kind === "swap") {
    const having = network.flatMap((sublayer, index) => (sublayer && fits(intervention, sublayer) ? [index] : []));
    const middle = having[having.length >> 1];
    return middle === undefined ? sublayerSets("all", network) : sublayerSets(String(middle), network);
  }
  const texts = plainKinds.some((plain) => plain === intervention.kind) ? ["all", "early", "late", "each"] : ["all"];
  return texts.flatMap((text) => sublayerSets(text, network)).filter(({ sublayers }) => sublayers.length > 0);
}

/** Whether a sublayer has what an intervention changes. */
function fits(intervention: Intervention, sublayer: MixedSublayer): boolean {
  if (intervention.kind === "iterations") return sublayer.iterations !== undefined;
  return Math.max(...streamsOf(intervention), 0) < sublayer.streams;
}

/**
 * All pairs of an intervention and its sublayers. From a set, an intervention uses the sublayers that it can change.
 *
 * @param interventions default: all of them, each stream dropped, neighbours swapped, 1 to 100 iterations
 * @param sublayers texts as `sublayerSets` takes them. Default: all, early, late and each; all where streams
 *   are dropped or iterations changed, the middle one where streams are swapped
 * @throws RangeError for wrong texts, and when no chosen sublayer has what an intervention changes
 */
export function planInterventions(
  network: MixedSublayers,
  interventions: readonly Intervention[] = defaultInterventions(network),
  sublayers?: readonly string[],
): PlannedIntervention[] {
  const asked = sublayers?.flatMap((text) => sublayerSets(text, network));
  return interventions.flatMap((intervention) =>
    (asked ?? defaultSets(intervention, network)).map(({ name, sublayers: meant }) => {
      const fitting = meant.filter((index) => fits(intervention, network[index]!));
      if (fitting.length > 0) return { intervention, set: { name, sublayers: fitting } };
      const streams = Math.max(...meant.map((index) => network[index]!.streams));
      throw new RangeError(
        `${interventionName(intervention)} changes nothing in sublayers ${name}: ${intervention.kind === "iterations" ? "their H_res does not come from Sinkhorn-Knopp" : `they have streams 0 to ${streams - 1}`}.`,
      );
    }),
  );
}

/** A published change of perplexity, for comparison. */
export interface PublishedIntervention {
  readonly kind: Intervention["kind"];
  readonly sublayers: "early" | "late";
  /** Relative: 0.41 means 41 % more. */
  readonly perplexity: number;
}

/** DeepSeek-V4-Flash on C4, as arXiv 2609.05309 reports it; its early and late layers are its own. */
export const publishedInterventions: {
  readonly model: string;
  readonly text: string;
  readonly source: string;
  readonly rows: readonly PublishedIntervention[];
} = {
  model: "DeepSeek-V4-Flash",
  text: "C4",
  source: "arXiv 2609.05309",
  rows: [
    { kind: "identity", sublayers: "early", perplexity: 0.41 },
    { kind: "identity", sublayers: "late", perplexity: 0.019 },
    { kind: "mean", sublayers: "early", perplexity: 0.002 },
  ],
};
