// Question: are the streams of two connections the same, but numbered in another order?
//
// With stream order[i] in the place of stream i, pre and post change the order of their rows, res that of its rows and
// columns, and φ that of its blocks of C columns. All n! orders are tried, up to n = 6.

import type { ConnectionWeights, Weights } from "../connections/conventions/evaluate.ts";
import { isNear, isNearData, isSameFunction, SAME, sizesOf } from "./lint-alike.ts";

/** A connection as it is, and as the other file has it. */
export interface ComparedConnection {
  readonly name: string;
  readonly isEnd: boolean;
  readonly given: ConnectionWeights;
  readonly right: ConnectionWeights;
}

const MOST_STREAMS = 6;

/** The order of streams in which all connections compute the same; undefined if there is none. */
export function sharedStreamOrder(compared: readonly ComparedConnection[]): readonly number[] | undefined {
  const [first] = compared;
  if (!first) return undefined;
  const { streams: n } = sizesOf(first.right, first.isEnd);
  if (!compared.every(({ right, isEnd }) => right["phi"] && sizesOf(right, isEnd).streams === n)) return undefined;
  return ordersOf(n).find(
    (order) =>
      compared.every((each) => hasBias(each, order)) &&
      compared.every(({ given, right, isEnd }) => isSameFunction(given, renumbered(right, order, isEnd))),
  );
}

/** The other order of streams that makes one connection agree; undefined if there is none. */
export function streamOrderOf(each: ComparedConnection): readonly number[] | undefined {
  const { given, right, isEnd } = each;
  if (!right["phi"]) return undefined;
  return ordersOf(sizesOf(right, isEnd).streams).find(
    (order) =>
      order.some((i, at) => i !== at) && hasBias(each, order) && isNear(given, renumbered(right, order, isEnd), SAME),
  );
}

const ordersOf = (n: number): number[][] => (n < 2 || n > MOST_STREAMS ? [] : orders(n));

function orders(n: number): number[][] {
  if (n === 1) return [[0]];
  return orders(n - 1).flatMap((rest) =>
    Array.from({ length: n }, (_, at) => [...rest.slice(0, at), n - 1, ...rest.slice(at)]),
  );
}

/** Whether the bias alone agrees with an order of the streams. */
const hasBias = ({ given, right, isEnd }: ComparedConnection, order: readonly number[]): boolean =>
  isNearData(given["bias"]!.data, picked(right["bias"]!, rowsOf(order, isEnd), [0]).data, SAME);

/** The rows of φ when stream order[i] is in the place of stream i. */
function rowsOf(order: readonly number[], isEnd: boolean): readonly number[] {
  const n = order.length;
  return isEnd
    ? order
    : [...order, ...order.map((i) => n + i), ...order.flatMap((i) => order.map((j) => 2 * n + i * n + j))];
}

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
