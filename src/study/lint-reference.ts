// Question: if the right weights are known, in which wrong order is a connection stored?
//
// Converters make these mistakes: the res part is transposed (of φ, of the bias, or of both), or the slices are in
// another order. Each mistake is applied to the right weights in turn; the one that leaves no difference was made.

import { largestMagnitude } from "../basics/numbers.ts";
import type { ConnectionWeights, Weights } from "../connections/conventions/evaluate.ts";
import { transposeRes } from "../connections/conventions/convert.ts";
import { streamsOf } from "../ops/manifold-coefficients.ts";
import type { ConventionName } from "../connections/conventions/table.ts";

/** A connection of the file that is assumed to be right. */
export interface ReferenceConnection {
  readonly convention: ConventionName;
  readonly weights: ConnectionWeights;
}

/** What is wrong with a layout, and how to fix it. */
export const resLayouts = {
  "transposed in φ and bias":
    "The res rows of φ and the res part of the bias are those of the transposed map: transpose both.",
  "transposed in φ only": "Only the res rows of φ are those of the transposed map, the bias is right: transpose φ's.",
  "transposed in the bias only":
    "Only the res part of the bias is that of the transposed map, φ is right: transpose the bias's.",
  "sliced pre | res | post": "The slices are pre | res | post: move the res rows to the end.",
  "sliced post | pre | res": "pre and post are exchanged: exchange their rows in φ and in the bias.",
  "sliced post | res | pre": "The slices are post | res | pre: put them in the order pre | post | res.",
  "sliced res | pre | post": "The slices are res | pre | post: move the res rows to the end.",
  "sliced res | post | pre": "The slices are res | post | pre: put them in the order pre | post | res.",
} as const;

export type Layout = keyof typeof resLayouts;

/** Makes the mistake: turns right weights into those of a wrong layout. */
export function misplaced(layout: Layout, weights: ConnectionWeights): ConnectionWeights {
  const change = (part: "phi" | "bias"): Weights => {
    const right = weights[part]!;
    if (layout.startsWith("sliced")) return sliced(right, layout.slice("sliced ".length).split(" | "));
    const both = layout === "transposed in φ and bias";
    const only = part === "phi" ? "transposed in φ only" : "transposed in the bias only";
    return both || layout === only ? transposeRes(right) : right;
  };
  return { ...weights, phi: change("phi"), bias: change("bias") };
}

function sliced({ shape, data }: Weights, order: readonly string[]): Weights {
  const rows = shape[0]!,
    width = data.length / rows,
    n = streamsOf(rows);
  const slices: Record<string, readonly [from: number, count: number]> = {
    pre: [0, n],
    post: [n, n],
    res: [2 * n, n * n],
  };
  const values = Array.from(data);
  const moved = order.flatMap((name) => {
    const [from, count] = slices[name]!;
    return values.slice(from * width, (from + count) * width);
  });
  return { shape, data: Float32Array.from(moved) };
}

/** Weights closer than this are equal up to rounding to 16 bits. */
const SAME = 2 ** -7;

export interface Match {
  readonly layout: Layout | "as expected" | "different";
  /** Largest difference of a weight from that layout, relative to the largest weight. */
  readonly difference: number;
  /** The same difference from the right layout. */
  readonly expectedDifference: number;
}

/** The layout whose weights differ least from the given ones; the right layout if several do. */
export function relativeTo(given: ConnectionWeights, right: ConnectionWeights): Match {
  const expectedDifference = difference(given, right);
  const wrong = right.phi ? (Object.keys(resLayouts) as Layout[]) : [];
  const tried: Omit<Match, "expectedDifference">[] = [
    { layout: "as expected", difference: expectedDifference },
    ...wrong.map((layout) => ({ layout, difference: difference(given, misplaced(layout, right)) })),
  ];
  const best = tried.reduce((a, b) => (b.difference < a.difference ? b : a));
  const layout = best.difference <= SAME ? best.layout : "different";
  return { layout, difference: best.difference, expectedDifference };
}

function difference(a: ConnectionWeights, b: ConnectionWeights): number {
  return Object.keys(b).reduce((most, part) => {
    const [x, y] = [a[part], b[part]];
    if (!x || !y || x.data.length !== y.data.length) return Infinity;
    const largest = Math.max(1e-30, largestMagnitude(y.data));
    return Math.max(
      most,
      Array.from(y.data).reduce((top, value, i) => Math.max(top, Math.abs(value - x.data[i]!)), 0) / largest,
    );
  }, 0);
}
