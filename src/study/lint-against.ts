// Question: do the connections of two files compute the same function, and if not, which mistake would explain it?
//
// The other file's weights are converted to this file's convention first. What a row of φ and its α compute depends on
// their product alone, α_k φ, so scales and signs that moved from one to the other are no difference; and the streams of
// a model may be numbered in another order, if all its connections agree on it. Numbers that 16 bits cannot hold and
// that lie within their rounding are called so. All else is an error, with the mistake that would explain it: another
// layout (lint-reference.ts), rows or columns in another order, a factor, a sign, another sublayer's weights.

import { conversion, conversionDifference } from "../connections/conventions/convert.ts";
import {
  type ConnectionWeights,
  type Probe,
  streamsOfBias,
  type Weights,
} from "../connections/conventions/evaluate.ts";
import { isMhcConvention } from "../connections/conventions/table.ts";
import { type LintCheck, type LintConnection, misfit, most, small, some } from "./lint-check.ts";
import { type ReferenceConnection, relativeTo, resLayouts } from "./lint-reference.ts";

const name = "against the other file";
const expected = "the weights that the other file has after conversion, connection by connection";

/** One connection that is not as the other file has it. */
interface Wrong {
  readonly name: string;
  readonly what: string;
  readonly remedy?: string;
  readonly difference?: number;
}

interface Compared {
  readonly name: string;
  readonly given: ConnectionWeights;
  readonly right: ConnectionWeights;
}

/** Another file that should compute the same: every connection of both must have its like in the other. */
export function checkAgainst(
  connections: readonly LintConnection[],
  reference: ReadonlyMap<string, ReferenceConnection>,
  probe: (streams: number, channels: number) => Probe,
  iterations: number,
): LintCheck {
  const plain = (each: string): string => each.replace(/^(?:module\.|model\.|decoder\.|transformer\.)+(?=\D)/, "");
  const others = new Map([...reference].map(([each, connection]) => [plain(each), connection]));
  const names = new Set(connections.map((each) => plain(each.name)));
  const isSublayer = (each: string): boolean => !each.endsWith("ending");
  const wrong: Wrong[] = [
    ...[...others.keys()]
      .filter((each) => !names.has(each) && isSublayer(each))
      .map((each) => ({ name: each, what: "missing in this file" })),
    ...[...names]
      .filter((each) => !others.has(each) && isSublayer(each))
      .map((each) => ({ name: each, what: "missing in the other file" })),
  ];
  const compared: Compared[] = [];
  const convention = connections.find((each) => isSublayer(each.name))?.convention;
  const otherConvention = [...reference].find(([each]) => isSublayer(each))?.[1].convention;
  for (const connection of connections) {
    const other = others.get(plain(connection.name));
    if (other === undefined) continue;
    try {
      const { sublayer, ending } = conversion(other.convention, connection.convention);
      const sizes = sizesOf(other.weights);
      const right = isSublayer(connection.name) ? sublayer(other.weights, sizes) : ending(other.weights, sizes);
      const problem = isSublayer(connection.name) ? misfit(connection) : undefined;
      if (right === undefined)
        wrong.push({ name: connection.name, what: "an end that the other file has no weights for" });
      else if (problem !== undefined || !haveSameShapes(connection.weights, right))
        wrong.push({
          name: connection.name,
          what: `of other sizes (${shapes(connection.weights)} here, ${shapes(right)} there)`,
        });
      else compared.push({ name: connection.name, given: connection.weights, right });
    } catch (error) {
      wrong.push({ name: connection.name, what: `not to be compared (${(error as Error).message})` });
    }
  }
  // An end that only one of the files has is the other's mean, or a difference.
  for (const each of new Set([...names, ...others.keys()])) {
    const here = names.has(each);
    if (isSublayer(each) || (here && others.has(each)) || !convention || !otherConvention) continue;
    const [has, lacks] = here ? [convention, otherConvention] : [otherConvention, convention];
    const weights = here ? connections.find((one) => plain(one.name) === each)!.weights : others.get(each)!.weights;
    if (isMean(weights, has === lacks || isMhcConvention(lacks))) continue;
    wrong.push({ name: each, what: here ? "missing in the other file" : "missing in this file" });
  }
  if (compared.length === 0 && wrong.length === 0)
    return { name, verdict: "error", measured: "the files have no connection of the same name", expected, where: [] };

  const different = compared.filter(({ given, right }) => !isSameFunction(given, right));
  const order = different.length > 0 ? streamOrder(compared) : undefined;
  const rounded = different.filter(({ given, right }) => roundedTo(given, right) !== undefined);
  const apart = order ? [] : different.filter((each) => !rounded.includes(each));
  const largest = most(compared.map(({ given, right }) => largestDifference(given, right).difference));
  if (apart.length === 0 && wrong.length === 0) {
    const said = `${compared.length} connections`;
    if (order)
      return {
        name,
        verdict: "note",
        measured: `${said} compute the same: only the streams are numbered in another order (${order.join(", ")})`,
        expected,
        where: [],
      };
    if (rounded.length > 0) {
      const kind = roundedTo(rounded[0]!.given, rounded[0]!.right)!;
      return {
        name,
        verdict: "warning",
        measured: `${rounded.length} of ${compared.length} connections agree up to rounding to ${kind}, such as ${rounded[0]!.name}: largest difference of a weight ${small(largest)}`,
        expected,
        where: rounded.map((each) => each.name),
        remedy: "Keep the connections in float32; what was rounded does not come back.",
      };
    }
    const moved = compared.some(({ given, right }) => largestDifference(given, right).difference > 0);
    return {
      name,
      verdict: "good",
      measured: `${said} agree, largest difference of a weight ${small(largest)}${moved ? "; what they compute is the same" : ""}`,
      expected,
      where: [],
    };
  }
  const explained = apart.map((each, i) => explain(each, compared, i < MOST_EXPLAINED));
  const all = [...explained, ...wrong];
  // One connection with other weights must not hide what is wrong with the rest.
  const first = explained.find(({ remedy }) => remedy !== undefined) ?? all[0]!;
  const alike = all.filter(({ what }) => what === first.what);
  const source = connections.find((each) => each.name === first.name);
  const pair = compared.find((each) => each.name === first.name);
  return {
    name,
    verdict: "error",
    measured:
      `${alike.length} of ${new Set([...names, ...others.keys()]).size} connections are ${first.what}, such as ${first.name}` +
      (pair ? `: ${placeText(pair)}${functionText(source, pair, probe, iterations)}` : "") +
      (all.length > alike.length
        ? `; ${all.length - alike.length} more differ otherwise: ${some(all.filter((each) => !alike.includes(each)).map((each) => `${each.name} (${each.what})`))}`
        : ""),
    expected,
    where: all.map((each) => each.name),
    remedy:
      first.remedy ??
      "The files compute different functions. No order, scale or sign that is known here explains it: they are of different training steps, or one of them was changed.",
  };
}

const sizesOf = (weights: ConnectionWeights): { readonly streams: number; readonly channels: number } => {
  const rows = weights["bias"]?.shape[0] ?? 0;
  const n = streamsOfBias({ shape: [rows], data: [] });
  const streams = Number.isInteger(n) ? n : rows;
  const { phi, theta } = weights;
  return { streams, channels: phi ? (phi.shape[1] ?? 0) / streams : (theta?.shape[1] ?? 1) };
};

const shapes = (weights: ConnectionWeights): string =>
  Object.entries(weights)
    .map(([part, { shape }]) => `${part} [${shape.join(", ")}]`)
    .join(", ");

const haveSameShapes = (a: ConnectionWeights, b: ConnectionWeights): boolean =>
  Object.keys(b).every(
    (part) => a[part]?.shape.join() === b[part]!.shape.join() && a[part].data.length === b[part]!.data.length,
  ) && Object.keys(a).every((part) => part in b);

/** An end with φ = 0 and equal weights reads the mean. */
const isMean = ({ phi, bias }: ConnectionWeights, allowed: boolean): boolean => {
  const n = bias?.data.length ?? 0;
  const share = Math.min(1 / n, 1 - 2 ** -24);
  return (
    allowed &&
    Array.from(phi?.data ?? []).every((value) => value === 0) &&
    Array.from(bias?.data ?? [NaN]).every((value) => Math.abs(value - Math.log(share / (1 - share))) < 1e-4)
  );
};

/** What decides the coefficients: every row of φ times its α, and the bias. θ's rows share α's in another way and stay. */
function effective(weights: ConnectionWeights): ConnectionWeights {
  const { phi, alpha, bias } = weights;
  if (!phi || !alpha || !bias) return weights;
  const rows = phi.shape[0]!;
  const width = phi.data.length / rows;
  const n = alpha.data.length === 1 ? rows : streamsOfBias(bias);
  const data = Float64Array.from(phi.data, (value, at) => {
    const row = Math.floor(at / width);
    return value * alpha.data[alpha.data.length === 1 ? 0 : row < n ? 0 : row < 2 * n ? 1 : 2]!;
  });
  return { product: { shape: phi.shape, data }, bias };
}

/** Rounding of float32 arithmetic, relative to the largest number. */
const FLOAT32 = 2 ** -21;

const isSameFunction = (a: ConnectionWeights, b: ConnectionWeights): boolean =>
  isNear(effective(a), effective(b), FLOAT32);

/** Whether all numbers agree, relative to the largest of their tensor; nothing agrees with NaN. */
const isNear = (a: ConnectionWeights, b: ConnectionWeights, tolerance: number): boolean =>
  smallestFirst(b).every((part) => isNearData(a[part]!.data, b[part]!.data, tolerance));

/** A bias of some numbers rules most things out before a φ of millions is looked at. */
const smallestFirst = (weights: ConnectionWeights): string[] =>
  Object.keys(weights).sort((a, b) => weights[a]!.data.length - weights[b]!.data.length);

function isNearData(a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number): boolean {
  if (a.length !== b.length) return false;
  let top = 0;
  for (let i = 0; i < b.length; i++) top = Math.max(top, Math.abs(b[i]!));
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i] && !(Math.abs(a[i]! - b[i]!) <= tolerance * top)) return false;
  return true;
}

interface Place {
  readonly part: string;
  readonly at: number;
  readonly difference: number;
}

function largestDifference(a: ConnectionWeights, b: ConnectionWeights): Place {
  let worst: Place = { part: "", at: 0, difference: 0 };
  for (const [part, { data }] of Object.entries(b)) {
    for (let at = 0; at < data.length; at++) {
      const difference = Math.abs(a[part]!.data[at]! - data[at]!);
      if (Number.isNaN(difference)) return { part, at, difference: NaN };
      if (difference > worst.difference) worst = { part, at, difference };
    }
  }
  return worst;
}

function placeText({ given, right }: Compared): string {
  const { part, at, difference } = largestDifference(given, right);
  if (part === "") return "no weight differs";
  return `largest difference ${small(difference)} as they are (number ${at} of ${part}: ${given[part]!.data[at]} here, ${right[part]!.data[at]} there)`;
}

function functionText(
  source: LintConnection | undefined,
  { given, right, name: each }: Compared,
  probe: (streams: number, channels: number) => Probe,
  iterations: number,
): string {
  if (!source || each.endsWith("ending")) return "";
  const { streams, channels } = sizesOf(given);
  const { convention } = source;
  const sides = [given, right].map((weights) => ({ convention, weights }));
  try {
    const { coefficients } = conversionDifference(sides[0]!, sides[1]!, probe(streams, channels), iterations);
    return `, and ${small(coefficients)} of a coefficient on random streams`;
  } catch {
    return "";
  }
}

const halves = [
  { kind: "bfloat16", holds: (value: number) => (bitsOf(value) & 0xffff) === 0, relative: 2 ** -7, absolute: 1e-38 },
  { kind: "float16", holds: isHalf, relative: 2 ** -10, absolute: 2 ** -24 },
] as const;
/** Whether 11 bits of a number's fraction are enough, and its exponent lies within a half's. */
function isHalf(value: number): boolean {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1)));
  return Math.abs(value) <= 65504 && Number.isInteger(value / 2 ** (exponent - 10));
}
const word = new Uint32Array(1);
const asFloat = new Float32Array(word.buffer);
function bitsOf(value: number): number {
  asFloat[0] = value;
  return word[0]!;
}

/** The 16-bit type to whose numbers one side was rounded; undefined where the sides differ by more or otherwise. */
function roundedTo(given: ConnectionWeights, right: ConnectionWeights): string | undefined {
  return halves.find(({ holds, relative, absolute }) =>
    Object.keys(right).every((part) => {
      const [a, b] = [given[part]!.data, right[part]!.data];
      const near = Array.from(b).every(
        (value, i) => Math.abs(a[i]! - value) <= relative * Math.max(Math.abs(value), Math.abs(a[i]!)) + absolute,
      );
      return near && ([a, b].some((side) => Array.from(side).every(holds)) || isNearData(a, b, 0));
    }),
  )?.kind;
}

/** The order of streams that makes all connections agree; undefined if there is none. */
function streamOrder(compared: readonly Compared[]): readonly number[] | undefined {
  const n = sizesOf(compared[0]!.right).streams;
  if (n < 2 || n > 6) return undefined;
  return orders(n).find(
    (order) =>
      compared.every(({ given, right, name: each }) => hasBias(given, right, order, each.endsWith("ending"))) &&
      compared.every(
        ({ given, right, name: each }) =>
          sizesOf(right).streams === n &&
          right["phi"] &&
          isSameFunction(given, renumbered(right, order, each.endsWith("ending"))),
      ),
  );
}

/** Whether the bias alone agrees with an order of the streams. */
const hasBias = (
  given: ConnectionWeights,
  right: ConnectionWeights,
  order: readonly number[],
  isEnd: boolean,
): boolean => isNearData(given["bias"]!.data, picked(right["bias"]!, rowsOf(order, isEnd), [0]).data, SAME);

function orders(n: number): number[][] {
  if (n === 1) return [[0]];
  return orders(n - 1).flatMap((rest) =>
    Array.from({ length: n }, (_, at) => [...rest.slice(0, at), n - 1, ...rest.slice(at)]),
  );
}

/** The rows of φ when stream order[i] is in the place of stream i. */
function rowsOf(order: readonly number[], isEnd: boolean): readonly number[] {
  const n = order.length;
  return isEnd
    ? order
    : [...order, ...order.map((i) => n + i), ...order.flatMap((i) => order.map((j) => 2 * n + i * n + j))];
}

/** The same connection with stream order[i] in the place of stream i. */
function renumbered(weights: ConnectionWeights, order: readonly number[], isEnd: boolean): ConnectionWeights {
  const n = order.length;
  const rows = rowsOf(order, isEnd);
  const { phi, bias } = weights;
  const C = phi!.shape[1]! / n;
  const columns = order.flatMap((j) => Array.from({ length: C }, (_, c) => j * C + c));
  return { ...weights, phi: picked(phi!, rows, columns), bias: picked(bias!, rows, [0]) };
}

const picked = ({ shape, data }: Weights, rows: readonly number[], columns: readonly number[]): Weights => {
  const width = data.length / shape[0]!;
  return {
    shape,
    data: Float32Array.from(rows.flatMap((row) => columns.map((column) => data[row * width + column]!))),
  };
};

/** Weights closer than this are equal but for rounding to 16 bits. */
const SAME = 2 ** -7;

/** One explanation serves for all; looking for an order of rows takes a while in large models. */
const MOST_EXPLAINED = 16;

/** Which mistake would make the right weights into the given ones. */
function explain({ name: each, given, right }: Compared, all: readonly Compared[], closely: boolean): Wrong {
  const { layout } = each.endsWith("ending") ? { layout: "different" as const } : relativeTo(given, right);
  if (layout !== "different" && layout !== "as expected")
    return { name: each, what: layout, remedy: resLayouts[layout] };
  const twin = all.find(
    (other) => other.name !== each && haveSameShapes(given, other.right) && isNear(given, other.right, FLOAT32),
  );
  if (twin)
    return {
      name: each,
      what: `another connection's weights`,
      remedy: `${each} has the weights of the other file's ${twin.name}: layers or sublayers were exchanged.`,
    };
  if (!closely) return { name: each, what: "of other weights" };
  const n = sizesOf(right).streams;
  const stream =
    n > 1 && n <= 6 && right["phi"]
      ? orders(n).find(
          (order) =>
            hasBias(given, right, order, each.endsWith("ending")) &&
            isNear(given, renumbered(right, order, each.endsWith("ending")), SAME),
        )
      : undefined;
  if (stream) {
    const text = `the streams are in the order ${stream.join(", ")}`;
    return {
      name: each,
      what: "of other weights",
      remedy: `Here ${text}; that would be the same function only if all connections and the end had that order.`,
    };
  }
  const parts = Object.keys(right).filter((part) => !isNearData(given[part]!.data, right[part]!.data, FLOAT32));
  const found = parts.map((part) => [part, explainPart(given[part]!, right[part]!, n)] as const);
  const known = found.filter(([, text]) => text !== undefined);
  const what = "of other weights";
  if (known.length === 0) return { name: each, what };
  const rest = found.filter(([, text]) => text === undefined).map(([part]) => part);
  const others = Object.keys(right).filter((part) => !parts.includes(part));
  return {
    name: each,
    what,
    remedy: `This would explain it: ${known.map(([part, text]) => `${part}: ${text}`).join("; ")}.${
      rest.length > 0
        ? ` Nothing explains ${rest.join(", ")}.`
        : others.length > 0
          ? ` ${others.join(" and ")} agree.`
          : ""
    }`,
  };
}

/** How one tensor came from the right one: by an order of rows or columns, a transposition, a factor or signs. */
function explainPart(given: Weights, right: Weights, n: number): string | undefined {
  const bad = Array.from(given.data).filter((value) => !Number.isFinite(value)).length;
  if (bad > 0) return `${bad} numbers are not finite`;
  if (Array.from(given.data).every((value) => value === 0)) return "all numbers are zero";
  const rows = right.shape[0] ?? 1;
  const width = right.data.length / rows;
  const line = ({ data }: Weights, row: number): number[] =>
    Array.from({ length: width }, (_, c) => data[row * width + c]!);
  const column = ({ data }: Weights, c: number): number[] =>
    Array.from({ length: rows }, (_, row) => data[row * width + c]!);
  const whole = Float32Array.from(
    { length: right.data.length },
    (_, at) => right.data[(at % rows) * width + Math.floor(at / rows)]!,
  );
  const byRows =
    rows > 1
      ? orderOf(
          rows,
          (i) => line(given, i),
          (i) => line(right, i),
        )
      : undefined;
  if (byRows) return `its ${width > 1 ? "rows" : "numbers"} are ${orderText(byRows)}`;
  if (width > 1) {
    if (isNearData(given.data, whole, SAME)) return "it is transposed as a whole";
    const byColumns = orderOf(
      width,
      (i) => column(given, i),
      (i) => column(right, i),
    );
    if (byColumns) return `its columns are ${orderText(byColumns, width / n)}`;
  }
  const factor = factorOf(Array.from(given.data), Array.from(right.data));
  if (factor !== undefined) return factorText(factor);
  const slices: (readonly [string, number, number])[] =
    rows === n * n + 2 * n
      ? [
          ["pre", 0, n],
          ["post", n, 2 * n],
          ["res", 2 * n, rows],
        ]
      : rows === 3
        ? [
            ["pre", 0, 1],
            ["post", 1, 2],
            ["res", 2, 3],
          ]
        : [];
  const factors = slices.map(([slice, from, to]) => {
    const cut = ({ data }: Weights): number[] => Array.from(data).slice(from * width, to * width);
    return [slice, factorOf(cut(given), cut(right))] as const;
  });
  if (factors.length > 0 && factors.every(([, value]) => value !== undefined))
    return factors
      .filter(([, value]) => Math.abs(value! - 1) > SAME)
      .map(([slice, value]) => `${slice} ${factorText(value!)}`)
      .join(", ");
  const flipped = Array.from(given.data).filter((value, i) => value !== 0 && value === -right.data[i]!).length;
  if (flipped > 0 && isNearData(Float64Array.from(given.data, Math.abs), Float64Array.from(right.data, Math.abs), SAME))
    return `${flipped} of ${given.data.length} numbers have the other sign`;
  const changed = Array.from(given.data).filter((value, i) => value !== right.data[i]).length;
  return changed < given.data.length / 4 ? `${changed} of ${given.data.length} numbers were changed` : undefined;
}

const factorText = (factor: number): string =>
  Math.abs(factor + 1) < SAME ? "has the other sign" : `is scaled by ${Number(factor.toPrecision(4))}`;

/** The factor between two lists; undefined where none is. */
function factorOf(given: readonly number[], right: readonly number[]): number | undefined {
  const [cross, square] = right.reduce(([a, b], value, i) => [a + value * given[i]!, b + value * value], [0, 0] as [
    number,
    number,
  ]);
  const factor = cross / square;
  if (!Number.isFinite(factor) || factor === 0) return undefined;
  return isNearData(
    given,
    right.map((value) => factor * value),
    FLOAT32 * 8,
  )
    ? factor
    : undefined;
}

/** For each line of the given tensor, the right one's line that it is; undefined unless each is used once. */
function orderOf(count: number, given: (i: number) => number[], right: (i: number) => number[]): number[] | undefined {
  const key = (values: readonly number[]): string => values.map((value) => Math.fround(value)).join();
  const places = new Map<string, number[]>();
  for (let i = 0; i < count; i++) {
    const text = key(right(i));
    places.set(text, [...(places.get(text) ?? []), i]);
  }
  const order: number[] = [];
  for (let i = 0; i < count; i++) {
    const place = places.get(key(given(i)))?.shift();
    if (place === undefined) return undefined;
    order.push(place);
  }
  return order.every((place, i) => place === i) ? undefined : order;
}

function orderText(order: readonly number[], block = 0): string {
  const size = order.length;
  const by = (size - order[0]!) % size;
  if (order.every((place, i) => place === (i - by + size) % size)) return `rolled by ${by > size / 2 ? by - size : by}`;
  if (order.every((place, i) => place === size - 1 - i)) return "in the opposite order";
  if (Number.isInteger(block) && block > 1 && order.every((place, i) => place % block === i % block))
    return `those of the streams ${order
      .filter((_, i) => i % block === 0)
      .map((place) => Math.floor(place / block))
      .join(", ")}`;
  return `in another order (${order.slice(0, 12).join(", ")}${size > 12 ? ", …" : ""})`;
}
