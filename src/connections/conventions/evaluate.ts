// Question: what does one connection compute from stored weights, in float64?
//
// For measuring how far two conventions are apart, and for looking into a checkpoint: plain arrays in,
// plain arrays out, no graph. Streams x [T, n, C], a block's result y [T, C].

import { type CoefficientForm, groupOf, streamsOf, tokenCoefficients } from "../../ops/manifold-coefficients.ts";
import type { MhcConvention } from "./convention.ts";
import { type ConventionName, hcConventions, mhcConventions } from "./table.ts";

/** A stored tensor; values are row-major. */
export interface Weights {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** The tensors of one connection or one learned end, by what they are: phi or theta, alpha, bias. */
export type ConnectionWeights = Readonly<Record<string, Weights>>;

/** Streams of some tokens, and what a block returned for each. */
export interface Probe {
  readonly tokens: number;
  readonly streams: number;
  readonly channels: number;
  /** [T, n, C] */
  readonly x: Float64Array;
  /** [T, C] */
  readonly y: Float64Array;
}

/** What one sublayer's connection makes of a probe. */
export interface Evaluated {
  /** [T, n² + 2n], pre | post | res, res as it mixes the streams: row = output stream. */
  readonly coefficients: Float64Array;
  /** What the block reads with this sublayer's own coefficients, [T, C]. */
  readonly read: Float64Array;
  /** The streams after the sublayer, [T, n, C]. */
  readonly next: Float64Array;
}

/** How many streams a connection is for, told from its bias. */
export function streamsOfBias({ shape }: Weights): number {
  return streamsOf(shape[0]!);
}

/**
 * What one sublayer's connection computes from stored weights, in float64 and without a graph.
 *
 * @param weights in the convention's own layout
 * @param iterations of Sinkhorn-Knopp; for mHC only
 */
export function evaluateConnection(
  convention: ConventionName,
  weights: ConnectionWeights,
  probe: Probe,
  iterations = 20,
): Evaluated {
  const coefficients =
    convention in mhcConventions
      ? mhcValues(mhcConventions[convention as keyof typeof mhcConventions], weights, probe, iterations)
      : hcValues(hcConventions[convention as keyof typeof hcConventions], weights, probe);
  return { coefficients, ...move(coefficients, probe) };
}

/** Weights [T, n] with which a learned end reads the streams. */
export function evaluateEnding(
  convention: keyof typeof mhcConventions,
  { phi, alpha, bias }: ConnectionWeights,
  { tokens, streams: n, channels, x }: Probe,
): Float64Array {
  const { norm, form } = mhcConventions[convention];
  const weights = new Float64Array(tokens * n);
  for (let t = 0; t < tokens; t++) {
    const p = project(phi!, x.subarray(t * n * channels, (t + 1) * n * channels), norm);
    for (let j = 0; j < n; j++) {
      weights[t * n + j] = 1 / (1 + Math.exp(-(alpha!.data[0]! * p[j]! + bias!.data[j]!))) + form.readEpsilon;
    }
  }
  return weights;
}

/** Logits [T, n² + 2n] of a sublayer in one of mHC's conventions. */
export function logitsOf(
  { norm }: Pick<MhcConvention, "norm">,
  { phi, alpha, bias }: ConnectionWeights,
  { tokens, streams: n, channels, x }: Probe,
): Float64Array {
  const M = n * n + 2 * n,
    K = n * channels;
  const logits = new Float64Array(tokens * M);
  for (let t = 0; t < tokens; t++) {
    const p = project(phi!, x.subarray(t * K, (t + 1) * K), norm);
    for (let m = 0; m < M; m++) logits[t * M + m] = alpha!.data[groupOf(m, n)]! * p[m]! + bias!.data[m]!;
  }
  return logits;
}

/** Coefficients of a bias alone: what a token sees whose streams say nothing. */
export function staticCoefficients(form: CoefficientForm, bias: ArrayLike<number>, iterations = 20): Float64Array {
  return tokenCoefficients(Float64Array.from(bias), streamsOf(bias.length), iterations, form);
}

function mhcValues(
  convention: MhcConvention,
  weights: ConnectionWeights,
  probe: Probe,
  iterations: number,
): Float64Array {
  const M = probe.streams * (probe.streams + 2);
  const logits = logitsOf(convention, weights, probe);
  for (let at = 0; at < logits.length; at += M) {
    logits.set(tokenCoefficients(logits.slice(at, at + M), probe.streams, iterations, convention.form), at);
  }
  return logits;
}

/** s (row · φᵀ) of one token. */
function project(phi: Weights, row: Float64Array, { epsilon, added }: MhcConvention["norm"]): Float64Array {
  const K = row.length;
  let squares = 0;
  for (const value of row) squares += value * value;
  const s = added === "root" ? 1 / (Math.sqrt(squares / K) + epsilon) : 1 / Math.sqrt(squares / K + epsilon);
  const p = new Float64Array(phi.shape[0]!);
  for (let m = 0; m < p.length; m++) {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += row[k]! * phi.data[m * K + k]!;
    p[m] = s * sum;
  }
  return p;
}

function hcValues(
  { dynamic, tanh }: { readonly dynamic: boolean; readonly tanh: boolean },
  { theta, alpha, bias }: ConnectionWeights,
  { tokens, streams: n, channels: C, x }: Probe,
): Float64Array {
  const M = n * n + 2 * n;
  const h = new Float64Array(tokens * M);
  for (let t = 0; t < tokens; t++) {
    for (let j = 0; j < n; j++) {
      const at = (t * n + j) * C;
      const p = dynamic
        ? project(theta!, x.subarray(at, at + C), { epsilon: 1e-20, added: "mean square" })
        : new Float64Array(n + 2);
      for (let k = 0; k < n + 2; k++) {
        const m = k * n + j;
        const bent = tanh ? Math.tanh(p[k]!) : p[k]!;
        h[t * M + m] = (dynamic ? alpha!.data[groupOf(m, n)]! * bent : 0) + bias!.data[m]!;
      }
    }
  }
  return h;
}

function move(
  h: Float64Array,
  { tokens, streams: n, channels: C, x, y }: Probe,
): { read: Float64Array; next: Float64Array } {
  const M = n * n + 2 * n;
  const read = new Float64Array(tokens * C),
    next = new Float64Array(tokens * n * C);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < C; c++) {
        read[t * C + c]! += h[t * M + i]! * x[(t * n + i) * C + c]!;
        let sum = h[t * M + n + i]! * y[t * C + c]!;
        for (let j = 0; j < n; j++) sum += h[t * M + 2 * n + i * n + j]! * x[(t * n + j) * C + c]!;
        next[(t * n + i) * C + c] = sum;
      }
    }
  }
  return { read, next };
}
