// Question: if the right weights are known, in which wrong order is a connection stored?
//
// Converters make these mistakes: the res part is transposed (of φ, of the bias, or of both), or the slices are in
// another order. Each mistake is applied to the right weights in turn; the one that leaves no difference was made.

import type { ConnectionWeights, Weights } from "../connections/conventions/evaluate.ts";
import { transposeRes } from "../connections/conventions/convert.ts";
import { streamsOf } from "../ops/manifold-coefficients.ts";
import type { ConventionName } from "../connections/conventions/table.ts";
import { isAlike } from "./lint-alike.ts";

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

/** The wrong layout that makes the right weights into the given ones; undefined if none does. */
export function wrongLayoutOf(given: ConnectionWeights, right: ConnectionWeights): Layout | undefined {
  if (!right.phi) return undefined;
  return (Object.keys(resLayouts) as Layout[]).find((layout) => isAlike(given, misplaced(layout, right)));
}
