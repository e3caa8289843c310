// Question: are the streams of two connections the same, but numbered in another order?
//
// With stream order[i] in the place of stream i, pre and post change the order of their rows, res that of its rows and
// columns, and φ that of its blocks of C columns. All n! orders are tried, up to n = 6.

import type { ConnectionWeights, Weights } from "../connections/conventions/evaluate.ts";
import { isAlike, isAlikeData, sizesOf } from "./lint-alike.ts";

/** A connection as it is, and as the other file has it. */
export interface ComparedConnection {
  readonly name: string;
  readonly isEnd: boolean;
  readonly given: ConnectionWeights;
  readonly right: ConnectionWeights;
}

const MOST_STREAMS = 6;

/** The other order of streams in which all connections are alike; undefined if there is none. */
export function sharedStreamOrder(compared: readonly ComparedConnection[]): readonly number[] | undefined {
  const [first] = compared;
  if (!first) return undefined;
  const { streams: n } = sizesOf(first.right, first.isEnd);
  if (!compared.every(({ right, isEnd }) => right["phi"] && sizesOf(right, isEnd).streams === n)) return undefined;
  return otherOrders(n).find(
    (order) =>
      compared.every((each) => hasBias(each, order)) &&
      compared.every(({ given, right, isEnd }) => isAlike(given, renumbered(right, order, isEnd))),
  );
}

/** The other order of streams that makes one connection agree; undefined if there is none. */
export function streamOrderOf(each: ComparedConnection): readonly number[] | undefined {
  const { given, right, isEnd } = each;
  if (!right["phi"]) return undefined;
  return otherOrders(sizesOf(right, isEnd).streams).find(
    (order) => hasBias(each, order) && isAlike(given, renumbered(right, order, isEnd)),
  );
}

/** All orders but the one from first to last. */
const otherOrders = (n: number): number[][] =>
  n < 2 || n > MOST_STREAMS ? [] : orders(n).filter((order) => order.some((i, at) => i !== at));

function orders(n: number): number[][] {
  if (n === 1) return [[0]];
  return orders(n - 1).flatMap((rest) =>
    Array.from({ length: n }, (_, at) => [...rest.slice(0, at), n - 1, ...rest.slice(at)]),
  );
}

/** Whether the bias alone agrees with an order of the streams. */
const hasBias = ({ given, right, isEnd }: ComparedConnection, order: readonly number[]): boolean =>
  isAlikeData(given["bias"]!.data, picked(right["bias"]!, rowsOf(order, isEnd), [0]).data);

/** The rows of φ when stream order[i] is in the place of stream i. */
function rowsOf(order: readonly number[], isEnd: boolean): readonly number[] {
  const n = order.length;
  return isEnd
    ? order
    : [...order, ...order.map((i) => n + i), ...order.flatMap((i) => order.map((j) => 2 * n + i * n + j))];
}

/** The weights with stream order[i] in the place of stream i. */
export function renumbered(weights: ConnectionWeights, order: readonly number[], isEnd: boolean): ConnectionWeights {
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
