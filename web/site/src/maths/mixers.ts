// Question: what do many mixing matrices make of the streams, one after the other?
//
// All numbers are the library's: random numbers of data/random.ts, Sinkhorn-Knopp of ops/sinkhorn.ts, the exact
// projection of ops/birkhoff-projection.ts, products and gains of stability/. A free mixer is I + s N and a projected
// one Sinkhorn-Knopp(4 I + s N) with the same normal numbers N: both are the library's own starts, moved by s N.
//
// Shapes: mixer [n²], row-major, row = output stream.

import { residualMaps } from "../../../../src/connections/manifolds/table.ts";
import { normal, streams } from "../../../../src/data/random.ts";
import { input } from "../../../../src/graph/state.ts";
import { birkhoffProjection } from "../../../../src/ops/birkhoff-projection.ts";
import { sinkhorn } from "../../../../src/ops/sinkhorn.ts";
import { evaluate } from "../../../../src/runtime/reference/evaluate.ts";
import { eigenvalueModuli } from "../../../../src/stability/eigenvalues.ts";
import { type Gains, gainsOf, meanProducts } from "../../../../src/stability/gains.ts";
import { singularValues } from "../../../../src/stability/singular-values.ts";

/** What the learned numbers of every layer are. */
export interface Noise {
  readonly seed: number;
  readonly depth: number;
  readonly n: number;
  /** s, the standard deviation of what is added to the start. */
  readonly spread: number;
  /** The share of the variance that all layers have in common, from 0 (nothing) to 1 (all layers alike). */
  readonly alike?: number;
}

/** How a mixer is made from its logits; a number is the iterations of Sinkhorn-Knopp. */
export type Projection = "none" | "exact" | number;

/** s N, [depth, n²]. */
export function noise({ seed, depth, n, spread, alike = 0 }: Noise): Float64Array {
  const size = n * n;
  return Float64Array.from({ length: depth * size }, (_, at) => {
    const own = normal(seed, streams.studies, size + at);
    const common = alike > 0 ? normal(seed, streams.studies, at % size) : 0;
    return spread * (Math.sqrt(1 - alike) * own + Math.sqrt(alike) * common);
  });
}

/** Project logits [count, n²] all at once. */
export function project(logits: Float64Array, n: number, projection: Projection): Float64Array {
  if (projection === "none") return logits;
  const given = input("logits", [logits.length / (n * n), n, n]);
  const h = projection === "exact" ? birkhoffProjection(given) : sinkhorn(given, { iterations: projection });
  return evaluate({ h }, [[given, logits]]).h;
}

/** The mixers of every layer, the first layer first. */
export function mixers(given: Noise, projection: Projection): Float64Array[] {
  const { depth, n } = given;
  const start = (projection === "none" ? residualMaps.unconstrained : residualMaps.sinkhorn).bias(n);
  const logits = noise(given).map((value, at) => value + start[at % (n * n)]!);
  const all = project(logits, n, projection);
  return Array.from({ length: depth }, (_, layer) => all.slice(layer * n * n, (layer + 1) * n * n));
}

/** The products of mixers and what they do to a signal. */
export interface Chain {
  readonly n: number;
  readonly single: readonly Float64Array[];
  /** H_l ⋯ H_1. */
  readonly products: readonly Float64Array[];
  readonly gains: Gains;
  /** Of H_l ⋯ H_1: n values, largest first. */
  readonly spectra: readonly (readonly number[])[];
  /** The moduli of the eigenvalues of the whole product. */
  readonly moduli: readonly number[];
}

/** Multiply the mixers of all layers, the later one on the left. */
export function chain(all: readonly Float64Array[], n: number): Chain {
  // One token whose read and write coefficients do not matter.
  const coefficients = all.map((mixer) => Float64Array.from([...new Float64Array(2 * n), ...mixer]));
  const means = meanProducts(coefficients, n, 1);
  return {
    n,
    single: means.single,
    products: means.forward,
    gains: gainsOf(means, n),
    spectra: means.forward.map((product) => singularValues(product, n)),
    moduli: eigenvalueModuli(means.forward.at(-1)!, n),
  };
}
