// Question: what does one connection compute from stored weights, in float64?
//
// This measures how far two conventions differ, and helps to look into a checkpoint: plain arrays in, plain
// arrays out. It builds the same graph as a model, and the reference runtime evaluates it. Streams x
// [T, n, C], a block's result y [T, C].

import { MOST_ITERATIONS } from "../../basics/bounds.ts";
import { expectWhole } from "../../basics/ranges.ts";
import { expectName } from "../../basics/fields.ts";
import { input } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { hyperCoefficients } from "../../ops/hyper-coefficients.ts";
import { streamsOf } from "../../ops/manifold-coefficients.ts";
import { broadcast } from "../../ops/reductions.ts";
import { slice } from "../../ops/slice.ts";
import { streamRead } from "../../ops/stream-read.ts";
import { streamWrite } from "../../ops/stream-write.ts";
import { evaluate } from "../../runtime/reference/evaluate.ts";
import type { Decided } from "../streams.ts";
import { conventionCoefficients, endingCoefficients } from "./coefficients.ts";
import {
  type ConventionName,
  hcConventions,
  isMhcConvention,
  type MhcConventionName,
  mhcConventions,
  conventionNames,
} from "./table.ts";

/** A stored tensor; values are row-major. */
export interface Weights {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** The tensors of one connection or one learned end, by role: phi or theta, alpha, bias. */
export type ConnectionWeights = Readonly<Record<string, Weights>>;

/** The streams of some tokens, and what a block returned for each. */
export interface Probe {
  readonly tokens: number;
  readonly streams: number;
  readonly channels: number;
  /** [T, n, C] */
  readonly x: Float64Array;
  /** [T, C] */
  readonly y: Float64Array;
}

/** What one sublayer's connection decides for the tokens of a probe. */
export interface EvaluatedCoefficients {
  /** [T, n² + 2n], pre | post | res, res as it mixes the streams: row = output stream. */
  readonly coefficients: Float64Array;
  /** [T, n²], the logits of H_res in their stored order; HC has none. */
  readonly logits?: Float64Array;
}

/** What one sublayer's connection computes from a probe. */
export interface Evaluated extends EvaluatedCoefficients {
  /** What the block reads with this sublayer's own coefficients, [T, C]. */
  readonly read: Float64Array;
  /** The streams after the sublayer, [T, n, C]. */
  readonly next: Float64Array;
}

/** The number of streams of a connection, derived from the length of its bias. */
export function streamsOfBias({ shape: [M = NaN] }: Weights): number {
  return streamsOf(M);
}

/**
 * What one sublayer's connection computes from stored weights, in float64.
 *
 * @param weights in the convention's own layout
 * @param iterations of Sinkhorn-Knopp; only mHC uses it
 */
export function evaluateConnection(
  convention: ConventionName,
  weights: ConnectionWeights,
  probe: Probe,
  iterations = 20,
): Evaluated {
  expectName("evaluateConnection", "convention", convention, conventionNames);
  const { x_TNC, decided, inputs } = sublayerOf(convention, weights, probe, iterations);
  const y_TC = input("y", [probe.tokens, probe.channels]);
  const { coefficients } = decided;
  const moved = { read: streamRead(x_TNC, coefficients), next: streamWrite(x_TNC, coefficients, y_TC) };
  return evaluate({ ...decided, ...moved }, [...inputs, [y_TC, probe.y]]);
}

/** The coefficients alone; the probe's `y` does not matter. */
export function evaluateCoefficients(
  convention: ConventionName,
  weights: ConnectionWeights,
  probe: Omit<Probe, "y">,
  iterations = 20,
): EvaluatedCoefficients {
  const { decided, inputs } = sublayerOf(convention, weights, probe, iterations);
  return evaluate(decided, inputs);
}

/** Weights [T, n] with which a learned end reads the streams. */
export function evaluateEnding(
  convention: MhcConventionName,
  weights: ConnectionWeights,
  probe: Omit<Probe, "y">,
): Float64Array {
  const { x_TNC, stored, inputs } = inputsOf(weights, probe);
  const coefficients = endingCoefficients(x_TNC, parametersOf(stored), mhcConventions[convention]);
  return evaluate({ read: slice(coefficients, 1, 0, probe.streams) }, inputs).read;
}

function sublayerOf(
  convention: ConventionName,
  weights: ConnectionWeights,
  probe: Omit<Probe, "y">,
  iterations: number,
): ReturnType<typeof inputsOf> & { readonly decided: Pick<Decided, "coefficients" | "logits"> } {
  expectWhole("evaluateConnection", "iterations", iterations, 1, MOST_ITERATIONS);
  const given = inputsOf(weights, probe);
  const { x_TNC, stored } = given;
  if (isMhcConvention(convention)) {
    const decided = conventionCoefficients(x_TNC, parametersOf(stored), mhcConventions[convention], iterations);
    return { ...given, decided };
  }
  const { dynamic, tanh } = hcConventions[convention];
  const bias = stored("bias");
  const coefficients = dynamic
    ? hyperCoefficients(x_TNC, stored("theta"), stored("alpha"), bias, { tanh })
    : broadcast(bias, [probe.tokens, ...bias.shape]);
  return { ...given, decided: { coefficients } };
}

interface Inputs {
  readonly x_TNC: Tensor;
  /** A stored tensor by its name. */
  stored(name: string): Tensor;
  readonly inputs: readonly (readonly [Tensor, ArrayLike<number>])[];
}

function inputsOf(weights: ConnectionWeights, { tokens, streams, channels, x }: Omit<Probe, "y">): Inputs {
  const x_TNC = input("x", [tokens, streams, channels]);
  const tensors = new Map(Object.entries(weights).map(([name, { shape }]) => [name, input(name, shape)]));
  const stored = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (tensor) return tensor;
    throw new RangeError(`evaluate: these weights have no ${name}, only ${[...tensors.keys()].join(", ")}.`);
  };
  const values = Object.entries(weights).map(([name, { data }]) => [stored(name), data] as const);
  return { x_TNC, stored, inputs: [[x_TNC, x], ...values] };
}

function parametersOf(stored: Inputs["stored"]): Readonly<Record<"phi" | "alpha" | "bias", Tensor>> {
  return { phi: stored("phi"), alpha: stored("alpha"), bias: stored("bias") };
}
