// Question: how much does a connection read and write, for one token and sublayer, forward?
//
// Table 2 of the mHC paper (arXiv 2512.24880) and what fusion makes of it, without the block F itself. An
// amount is so many times C, and so many single values on top (coefficients, which do not grow with C).
//
//   residual      one sum: reads x and F's result, writes x'
//   hc            Table 2: coefficients, read, write and sum each a pass of its own
//   unfused       mHC operation by operation: HC's passes, RMSNorm of all nC entries as a pass of its own,
//                 and every half iteration of Sinkhorn-Knopp with its sums through memory
//   fused         the paper's kernels: norm and projection in one scan; H_res x + H_postᵀ y in one kernel
//   seam-reread   a write and the next coefficients in one kernel, the streams read again for the next read:
//                 (3n+2)C, the fused kernel that came with V4.1 (arXiv 2609.19969)
//   seam          the same with the token's streams kept on the chip between the two: (2n+2)C
//   single-pass   V4.1: the read's coefficients come from the sublayer before, so nothing is read twice and
//                 nothing need be kept: (2n+2)C
//
// In Eq. 20 and Table 3 the paper counts what is stored, not what is moved; see memory.ts.

import { MOST_ITERATIONS, MOST_STREAMS } from "../basics/bounds.ts";
import { entryOf } from "../basics/objects.ts";
import { expectWhole } from "../basics/ranges.ts";
import { coefficientCount } from "./architecture.ts";

/** So many values a token, in multiples of C and single ones. */
export interface Amount {
  /** Times C. */
  readonly channels: number;
  /** Values on top. */
  readonly values: number;
}

/** One pass over memory: what it reads and writes. */
export interface Pass {
  readonly name: string;
  readonly read: Amount;
  readonly write: Amount;
}

export const schemes = ["residual", "hc", "unfused", "fused", "seam-reread", "seam", "single-pass"] as const;
/** A form of the connection, from plain residuals to single-pass mHC. */
export type Scheme = (typeof schemes)[number];

function pass(name: string, read: readonly [number, number], write: readonly [number, number]): Pass {
  const amount = ([channels, values]: readonly [number, number]): Amount => ({ channels, values });
  return { name, read: amount(read), write: amount(write) };
}

type Passes = (n: number, iterations: number) => readonly Pass[];

/** What follows the coefficients in Table 2. */
function applied(n: number): Pass[] {
  return [
    pass("H_pre x", [n, n], [1, 0]),
    pass("H_post y", [1, n], [n, 0]),
    pass("H_res x", [n, n * n], [n, 0]),
    pass("sum", [2 * n, 0], [n, 0]),
  ];
}

const table: Readonly<Record<Scheme, Passes>> = {
  residual: () => [pass("sum", [2, 0], [1, 0])],
  hc: (n) => [pass("coefficients", [n, 0], [0, coefficientCount(n)]), ...applied(n)],
  unfused: (n, iterations) => [
    pass("norm", [n, 0], [n, 0]),
    pass("projection", [n, 0], [0, coefficientCount(n)]),
    pass("affine, sigmoids", [0, coefficientCount(n)], [0, coefficientCount(n)]),
    // Each of the two normalisations of an iteration: sums (n² in, n out), then division (n² + n in, n² out).
    pass("Sinkhorn", [0, n * n + 2 * iterations * (2 * n * n + n)], [0, n * n + 2 * iterations * (n * n + n)]),
    ...applied(n),
  ],
  fused: (n) => [
    pass("norm and projection", [n, 0], [0, coefficientCount(n) + 1]),
    pass("affine, sigmoids", [0, coefficientCount(n) + 1], [0, coefficientCount(n)]),
    pass("Sinkhorn", [0, n * n], [0, n * n]),
    pass("H_pre x", [n, n], [1, 0]),
    pass("H_res x + H_post y", [n + 1, n * n + n], [n, 0]),
  ],
  "seam-reread": (n) => [
    pass("write, next coefficients", [n + 1, n * n + n], [n, coefficientCount(n)]),
    pass("next read", [n, n], [1, 0]),
  ],
  seam: (n) => [pass("write, next coefficients and read", [n + 1, n * n + n], [n + 1, n * n + n])],
  "single-pass": (n) => [
    pass("write, read with the earlier coefficients", [n + 1, coefficientCount(n)], [n + 1, coefficientCount(n)]),
  ],
};

/**
 * Backward, the paper's kernels read the gradients of their results and what they read forward, and add their
 * part to the gradient of the streams; for one token and sublayer.
 */
export function fusedBackward(n: number): Readonly<Record<"write" | "read" | "projection", Pass>> {
  return {
    write: pass("H_res x + H_post y", [2 * n + 1, n * n + n], [n + 1, n * n + n]),
    read: pass("H_pre x", [2 * n + 1, n], [n, n]),
    projection: pass("norm and projection", [2 * n, 2 * coefficientCount(n) + 1], [n, 0]),
  };
}

/** The passes of a scheme over memory, for one token and sublayer. */
export function trafficOf(scheme: Scheme, streams: number, iterations = 20): readonly Pass[] {
  expectWhole("trafficOf", "streams", streams, 1, MOST_STREAMS);
  expectWhole("trafficOf", "iterations", iterations, 1, MOST_ITERATIONS);
  return entryOf(table, scheme, "trafficOf: the scheme")(streams, iterations);
}

/** All that a list of passes reads and writes. */
export function totalTraffic(passes: readonly Pass[]): { readonly read: Amount; readonly write: Amount } {
  const sum = (of: "read" | "write"): Amount => ({
    channels: passes.reduce((total, pass) => total + pass[of].channels, 0),
    values: passes.reduce((total, pass) => total + pass[of].values, 0),
  });
  return { read: sum("read"), write: sum("write") };
}

/** An amount as the paper writes it: "21C + 24". */
export function showAmount({ channels, values }: Amount): string {
  if (channels === 0) return String(values);
  const times = `${channels === 1 ? "" : channels}C`;
  return values === 0 ? times : `${times} + ${values}`;
}
