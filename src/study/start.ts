// Question: how does a connection change a model before the first update?
//
// The model is a stack of L sublayers F(x) = tanh(RMSNorm(x) W) on T tokens of C channels, in float64. It is compared
// with the plain residual stack with the same W, also by the gradients of one random linear function of its end:
//
//   difference  max |hidden − hidden of the residual stack| / max |hidden|, hidden = RMSNorm(collapse(state))
//   bare        the same for blocks tanh(x W) without a norm, which see the scale of their input
//   mixing      H_res of the first sublayer, and the product of all L
//   |λ₂|        spectral radius of H_res on the differences between streams (without their mean direction)
//   symmetry    how different the gradients of any two streams are in H_pre and H_post: 0 means that some
//               streams stay equal for ever
//
// `fixed` sets φ = 0, which removes the part of the maps that depends on the token and, with random φ, on chance.
// `started` uses the parameters as they really start.

import { MOST_LAYERS, MOST_TOKENS, MOST_WIDTH } from "../basics/bounds.ts";
import { expectWhole } from "../basics/ranges.ts";
import { showValue } from "../basics/show.ts";
import { expectFields } from "../basics/fields.ts";
import { secondModulus } from "../stability/measure.ts";
import { largestMagnitude, sum as total } from "../basics/numbers.ts";
import { times } from "../stability/gains.ts";
import type { Connection } from "../connections/connection.ts";
import { normal, streams as randomStreams } from "../data/random.ts";
import { add } from "../ops/elementwise.ts";
import { gradients } from "../ops/gradients.ts";
import { createParameters, type Parameter, type ParameterSet } from "../graph/parameters.ts";
import { input } from "../graph/state.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { multiply, tanh } from "../ops/elementwise.ts";
import { streamsOf } from "../ops/manifold-coefficients.ts";
import { matmul } from "../ops/matmul.ts";
import { sum } from "../ops/reductions.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { createReferenceRuntime } from "../runtime/reference/runtime.ts";

/** Means of the entries of an n × n matrix; the mean off the diagonal is NaN for one stream. */
export interface Mixing {
  readonly diagonal: number;
  readonly offDiagonal: number;
}

/** The same value with φ = 0, and with the parameters as they start. */
export interface FixedAndStarted {
  readonly fixed: number;
  readonly started: number;
}

/** How a connection starts, in numbers. */
export interface Start {
  readonly streams: number;
  /** H_res of one sublayer, with φ = 0. */
  readonly mixing: Mixing;
  /** |λ₂| of that H_res; NaN for one stream. */
  readonly second: number;
  /** H_L ⋯ H_1, with φ = 0. */
  readonly product: Mixing;
  /** Σ H_pre and the mean of H_post of the first sublayer, with φ = 0. */
  readonly read: number;
  readonly write: number;
  /** Distance from the plain residual stack, relative to its largest value; 0 up to rounding: equal models. */
  readonly difference: FixedAndStarted;
  readonly bare: FixedAndStarted;
  /** For the two most similar streams: the largest difference of the gradients (of φ's rows and the bias), divided by the largest entry; 0 for one stream. */
  readonly symmetry: FixedAndStarted;
  /** Which parameters have a nonzero gradient at the start. */
  readonly alive: Readonly<Record<"phi" | "alpha" | "res", boolean>>;
}

/** The stack of sublayers that is measured. */
export interface StartOptions {
  /** L. Default 60, as in the 27B model of the mHC paper. */
  readonly depth?: number;
  /** C. Default 32. */
  readonly channels?: number;
  /** T. Default 4. */
  readonly tokens?: number;
}

/**
 * Measure how a connection with coefficients (hc or mhc) starts: a stack of sublayers and its
 * gradients in float64, against the plain residual stack.
 *
 * @throws TypeError for a connection without coefficients, such as the plain residual
 */
export function measureStart(connection: Connection, options: StartOptions = {}): Start {
  expectFields("measureStart", options, { depth: "number", channels: "number", tokens: "number" });
  if (typeof connection?.sublayer !== "function")
    throw new TypeError(`measureStart: ${showValue(connection)} is no connection. Give what hc() or mhc() returns.`);
  const { depth = 60, channels = 32, tokens = 4 } = options;
  expectWhole("measureStart", "depth", depth, 1, 2 * MOST_LAYERS);
  expectWhole("measureStart", "channels", channels, 1, MOST_WIDTH);
  expectWhole("measureStart", "tokens", tokens, 1, MOST_TOKENS);
  const sizes = { depth, channels, tokens };
  const [fixed, started, bareFixed, bareStarted] = [
    evaluate(connection, sizes, { normed: true, phi: false }),
    evaluate(connection, sizes, { normed: true, phi: true }),
    evaluate(connection, sizes, { normed: false, phi: false }),
    evaluate(connection, sizes, { normed: false, phi: true }),
  ];
  const n = streamsOf(fixed.coefficients[0]!.length);
  const mixers = fixed.coefficients.map((h) => h.subarray(2 * n, 2 * n + n * n));
  const [first] = fixed.coefficients;
  return {
    streams: n,
    mixing: mixingOf(mixers[0]!, n),
    second: n === 1 ? Number.NaN : secondModulus(mixers[0]!, n),
    product: mixingOf(
      mixers.reduce((product, mixer) => times(mixer, product, n)),
      n,
    ),
    read: total(first!.subarray(0, n)),
    write: total(first!.subarray(n, 2 * n)) / n,
    difference: { fixed: fixed.difference, started: started.difference },
    bare: { fixed: bareFixed.difference, started: bareStarted.difference },
    symmetry: { fixed: asymmetry(fixed.gradients, n), started: asymmetry(started.gradients, n) },
    alive: {
      phi: started.gradients.some((one) => isPhi(one) && largestMagnitude(one.data) > 0),
      alpha: started.gradients.some(({ part, data }) => part === "alpha" && largestMagnitude(data) > 0),
      res: resGradient(started.gradients, n) > ALIVE,
    },
  };
}

/** The epsilon of every norm, as in the models: too small to show whether the streams were summed or averaged. */
const EPSILON = 1e-20;

/** If a gradient of H_res's logits is below this share of the bias's largest gradient, it counts as rounding. */
const ALIVE = 1e-9;

interface Gradient extends Pick<Parameter, "part" | "tensor"> {
  readonly data: Float64Array;
}

interface Evaluated {
  readonly difference: number;
  /** The coefficients of the first token, one array [n² + 2n] per sublayer. */
  readonly coefficients: readonly Float64Array[];
  /** The gradients of the connections' parameters. */
  readonly gradients: readonly Gradient[];
}

type Sizes = Required<StartOptions>;

/** φ of mHC, θ of HC. */
const isPhi = ({ part }: Pick<Parameter, "part">): boolean => part === "phi" || part === "theta";

function evaluate(connection: Connection, sizes: Sizes, how: { normed: boolean; phi: boolean }): Evaluated {
  const { depth, channels, tokens } = sizes;
  const parameters = createParameters();
  const x_TC = input("x", [tokens, channels]);
  const cotangent_TC = input("cotangent", [tokens, channels]);
  const one_C = parameters.create("one", [channels], { constant: 1 }, "norm");
  const norm = (from_TC: Tensor): Tensor => rmsNorm(from_TC, one_C, EPSILON);
  const blocks = Array.from({ length: depth }, (_, index) => {
    const weight_CC = parameters.create(
      `weight.${index}`,
      [channels, channels],
      { normal: channels ** -0.5 },
      "weight",
    );
    return (from_TC: Tensor): Tensor => tanh(matmul(how.normed ? norm(from_TC) : from_TC, weight_CC));
  });

  let plain_TC = x_TC;
  let state = connection.expand(x_TC);
  const coefficients: Tensor[] = [];
  for (const [index, block] of blocks.entries()) {
    plain_TC = add(plain_TC, block(plain_TC));
    const sublayerParameters: ParameterSet = parameters.under(`connection.${index}`);
    const result = connection.sublayer(sublayerParameters, { channels, index }).apply(state, block);
    if (!result.coefficients) {
      throw new TypeError(`measureStart: ${connection.name} has no coefficients to measure; give hc() or mhc().`);
    }
    state = result.state;
    coefficients.push(result.coefficients);
  }
  const hidden_TC = norm(connection.collapse(state));
  const learned = parameters.all.filter(({ role }) => role === "connection");
  const parameterGradients = gradients(
    sum(multiply(hidden_TC, cotangent_TC)),
    learned.map(({ tensor }) => tensor),
  );

  const runtime = createReferenceRuntime();
  const program = runtime.compile({
    outputs: { hidden: hidden_TC, plain: norm(plain_TC), coefficients, gradients: parameterGradients },
  });
  for (const [index, tensor] of [x_TC, cotangent_TC].entries()) {
    runtime.write(tensor, normals(sizeOf(tensor.shape), index, 1));
  }
  for (const [index, parameter] of parameters.all.entries()) {
    runtime.write(parameter.tensor, valuesOf(parameter, index + 2, how.phi));
  }
  program.run();
  const [hidden, plain] = [Float64Array.from(program.readNow("hidden")), Float64Array.from(program.readNow("plain"))];
  const readCoefficients = program.readNow("coefficients");
  const readGradients = program.readNow("gradients");
  return {
    difference: largestMagnitude(hidden.map((value, i) => value - plain[i]!)) / largestMagnitude(plain),
    coefficients: coefficients.map(({ shape }, at) =>
      Float64Array.from(readCoefficients[at]!).subarray(0, shape.at(-1)),
    ),
    gradients: learned.map(({ part, tensor }, at) => ({ part, tensor, data: Float64Array.from(readGradients[at]!) })),
  };
}

function valuesOf(parameter: Parameter, seed: number, phi: boolean): ArrayLike<number> {
  const { tensor, initial } = parameter;
  const size = sizeOf(tensor.shape);
  if ("values" in initial) return initial.values;
  if (isPhi(parameter) && !phi) return new Float64Array(size);
  return "constant" in initial ? new Float64Array(size).fill(initial.constant) : normals(size, seed, initial.normal);
}

function normals(size: number, seed: number, deviation: number): Float64Array {
  return Float64Array.from({ length: size }, (_, i) => deviation * normal(seed, randomStreams.initial, i));
}

/**
 * For the two most similar streams, the largest difference in any sublayer. Where all streams are equal, the
 * gradients of H_pre are rounding errors for blocks that do not see the scale of their input. Differences are
 * therefore divided by the largest entry of H_pre's and H_post's gradients together.
 */
function asymmetry(measured: readonly Gradient[], n: number): number {
  const apart = new Float64Array(n * n);
  for (const { part, tensor, data } of measured) {
    if (part !== "phi" && part !== "bias") continue;
    // bias [n² + 2n], φ [n² + 2n, nC]: rows pre (n) | post (n) | res.
    const [, width = 1] = tensor.shape;
    const rows = data.subarray(0, 2 * n * width);
    const scale = largestMagnitude(rows);
    if (scale === 0) continue;
    for (let pair = 0; pair < n * n; pair++) {
      const [j, k] = [Math.floor(pair / n), pair % n];
      for (const [a, b] of [
        [j, k],
        [n + j, n + k],
      ] as const) {
        for (let c = 0; c < width; c++) {
          apart[pair] = Math.max(apart[pair]!, Math.abs(rows[a * width + c]! - rows[b * width + c]!) / scale);
        }
      }
    }
  }
  return n === 1 ? 0 : Math.min(...apart.filter((_, pair) => Math.floor(pair / n) < pair % n));
}

function resGradient(measured: readonly Gradient[], n: number): number {
  const biases = measured.filter(({ part }) => part === "bias");
  return (
    Math.max(...biases.map(({ data }) => largestMagnitude(data.subarray(2 * n)))) /
    Math.max(...biases.map(({ data }) => largestMagnitude(data)))
  );
}

function mixingOf(matrix: ArrayLike<number>, n: number): Mixing {
  const trace = total(Array.from({ length: n }, (_, i) => matrix[i * (n + 1)]!));
  return { diagonal: trace / n, offDiagonal: (total(matrix) - trace) / (n * (n - 1)) };
}
