// Question: which mistake would make the right weights into the given ones?
//
// Converters store the res part otherwise (lint-reference.ts), put another connection's weights into a place, number the
// streams otherwise, or change the order of a tensor's rows or columns, its scale or its signs. Each is tried in turn.

import type { Weights } from "../connections/conventions/evaluate.ts";
import { compareNumbers, haveSameShapes, isAlike, isAlikeData, isNearData, sizesOf } from "./lint-alike.ts";
import { resLayouts, wrongLayoutOf } from "./lint-reference.ts";
import { type ComparedConnection, streamOrderOf } from "./lint-stream-order.ts";

/** One connection that is not as the other file has it. */
export interface Wrong {
  readonly name: string;
  readonly what: string;
  readonly remedy?: string;
}

/** One explanation serves for all; looking for an order of rows takes a while in large models. */
export const MOST_EXPLAINED = 16;

/** What is wrong with a connection, and which mistake would explain it. */
export function explain(each: ComparedConnection, all: readonly ComparedConnection[], closely: boolean): Wrong {
  const { name, given, right, isEnd } = each;
  const layout = isEnd ? undefined : wrongLayoutOf(given, right);
  if (layout !== undefined) return { name, what: layout, remedy: resLayouts[layout] };
  const twin = all.find(
    (other) => other.name !== name && haveSameShapes(given, other.right) && isAlike(given, other.right),
  );
  if (twin)
    return {
      name,
      what: "another connection's weights",
      remedy: `${name} has the weights of the other file's ${twin.name}: layers or sublayers were exchanged.`,
    };
  const what = "of other weights";
  if (!closely) return { name, what };
  const order = streamOrderOf(each);
  if (order)
    return {
      name,
      what,
      remedy: `Here the streams are in the order ${order.join(", ")}; that would be the same function only if all connections and the end had that order.`,
    };
  const { streams } = sizesOf(right, isEnd);
  const parts = Object.keys(right).filter((part) => !isNearData(given[part]!.data, right[part]!.data));
  const found = parts.map((part) => [part, explainPart(given[part]!, right[part]!, streams)] as const);
  const known = found.filter(([, text]) => text !== undefined);
  if (known.length === 0) return { name, what };
  const rest = found.filter(([, text]) => text === undefined).map(([part]) => part);
  const others = Object.keys(right).filter((part) => !parts.includes(part));
  return {
    name,
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

/**
 * How one tensor came from the right one: by an order of rows or columns, a transposition, a factor or signs.
 *
 * @param n streams, if the tensor is a connection's
 */
export function explainPart(given: Weights, right: Weights, n?: number): string | undefined {
  const bad = [notFinite(given, "here"), notFinite(right, "in the other file")].filter((text) => text !== undefined);
  if (bad.length > 0) return bad.join("; ");
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
    if (isAlikeData(given.data, whole)) return "it is transposed as a whole";
    const byColumns = orderOf(
      width,
      (i) => column(given, i),
      (i) => column(right, i),
    );
    if (byColumns) return `its columns are ${orderText(byColumns, n === undefined ? 0 : width / n)}`;
  }
  const factor = factorOf(Array.from(given.data), Array.from(right.data));
  if (factor !== undefined && isVisible(factor)) return factorText(factor);
  const slices = n === undefined ? [] : slicesOf(rows, n);
  const factors = slices.map(([slice, from, to]) => {
    const cut = ({ data }: Weights): number[] => Array.from(data).slice(from * width, to * width);
    return [slice, factorOf(cut(given), cut(right))] as const;
  });
  const scaled = factors.filter(([, value]) => value !== undefined && isVisible(value));
  // Any three numbers are three multiples of others, which explains nothing.
  const isAny = rows * width === slices.length && scaled.length > 1;
  if (scaled.length > 0 && !isAny && factors.every(([, value]) => value !== undefined))
    return scaled.map(([slice, value]) => `${slice} ${factorText(value!)}`).join(", ");
  const flipped = Array.from(given.data).filter((value, i) => value !== 0 && value === -right.data[i]!).length;
  if (flipped > 0 && isAlikeData(Float64Array.from(given.data, Math.abs), Float64Array.from(right.data, Math.abs)))
    return `${flipped} of ${given.data.length} numbers have the other sign`;
  const [rounding] = given.data.length < FEWEST_ROUNDED ? [] : compareNumbers([[given.data, right.data]]).rounded;
  if (rounding) return rounding.what;
  const changed = Array.from(given.data).filter((value, i) => value !== right.data[i]).length;
  return changed < given.data.length / 4
    ? `${changed} of ${given.data.length} numbers ${changed === 1 ? "was" : "were"} changed`
    : undefined;
}

/** Fewer numbers than this may look rounded by chance. */
const FEWEST_ROUNDED = 16;

/** Which numbers of one side are not finite, and how many. */
function notFinite({ data }: Weights, side: string): string | undefined {
  const values = Array.from(data);
  const bad = values.filter((value) => !Number.isFinite(value)).length;
  if (bad === 0) return undefined;
  const at = values.findIndex((value) => !Number.isFinite(value));
  return `${bad} of ${values.length} numbers ${bad === 1 ? "is" : "are"} not finite ${side} (number ${at} is ${values[at]})`;
}

/** The rows of pre, post and res in φ, the bias or α. */
function slicesOf(rows: number, n: number): readonly (readonly [slice: string, from: number, to: number])[] {
  const ends = rows === n * n + 2 * n ? [n, 2 * n, rows] : rows === 3 ? [1, 2, 3] : [];
  const names = ["pre", "post", "res"];
  return ends.map((end, i) => [names[i]!, ends[i - 1] ?? 0, end] as const);
}

/** Whether a factor is another than one as it is shown. */
const isVisible = (factor: number): boolean => Number(factor.toPrecision(4)) !== 1;

const factorText = (factor: number): string =>
  Number(factor.toPrecision(4)) === -1 ? "has the other sign" : `is scaled by ${Number(factor.toPrecision(4))}`;

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
