// Question: which weights in one convention compute what given weights compute in another?
//
// Two facts decide. The first is the layout. Where Sinkhorn-Knopp's matrix is applied transposed, the res rows
// of φ and the res part of b are indexed [source, output], elsewhere [output, source]; changing from one to the
// other transposes them and moves nothing else. The second is whether the rows or the columns of H_res, as it
// mixes the streams, are normalised last. If both conventions do the same, the two functions differ by their
// epsilons. If not, both converge to the same matrix as iterations grow (row and column scalings of exp(L) have
// one limit), and they differ by what 20 iterations leave undone: nothing for small logits, percents for large.
//
// A conversion that no weights can express is refused with the reason.

import { expectName } from "../../basics/fields.ts";
import type { StreamsEnd } from "./convention.ts";
import {
  type ConnectionWeights,
  evaluateConnection,
  evaluateEnding,
  type Probe,
  streamsOfBias,
  type Weights,
} from "./evaluate.ts";
import {
  type ConventionName,
  conventions,
  type HcConventionName,
  hcConventions,
  type MhcConventionName,
  mhcConventions,
  conventionNames,
} from "./table.ts";

/** Thrown for weights that the other convention cannot express. */
export class ConversionError extends Error {
  override name = "ConversionError";
}

/** A size that the weights alone may not show. */
export interface ConversionSizes {
  /** Channels C; needed where the conversion makes new tensors. */
  readonly channels: number;
}

/** How weights are converted, and how well the two conventions then agree. */
export interface Conversion {
  /** same: nothing differs. epsilons: the functions differ by epsilons. limit: they meet as iterations grow. */
  readonly agreement: "same" | "epsilons" | "limit";
  /** Sentences that say what happens to the weights and how the functions differ. */
  readonly notes: readonly string[];
  /** A sublayer's weights: phi, alpha, bias (mHC) or theta, alpha, bias (HC). */
  sublayer(weights: ConnectionWeights, sizes?: ConversionSizes): ConnectionWeights;
  /** The weights of the end; undefined where the end has none. */
  ending(
    weights: ConnectionWeights | undefined,
    sizes: ConversionSizes & { readonly streams: number },
  ): ConnectionWeights | undefined;
}

/**
 * How to convert weights from one convention to another.
 *
 * @throws ConversionError with the reason when one cannot express the other
 */
export function conversion(from: ConventionName, to: ConventionName): Conversion {
  expectName("conversion", "from", from, conventionNames);
  expectName("conversion", "to", to, conventionNames);
  const [a, b] = [conventions[from].family, conventions[to].family];
  if (from === to) return identical;
  if (a !== b) {
    throw new ConversionError(
      `${from} cannot be written as ${to}: HC normalises every stream by itself and leaves H_res unbounded, mHC normalises ` +
        "all streams of a token together and makes H_res doubly stochastic, so no weights give the same coefficients.",
    );
  }
  return a === "mhc"
    ? betweenMhc(from as MhcConventionName, to as MhcConventionName)
    : betweenHc(from as HcConventionName, to as HcConventionName);
}

const identical: Conversion = {
  agreement: "same",
  notes: [],
  sublayer: (weights) => weights,
  ending: (weights) => weights,
};

/** Whether the rows or the columns of H_res, as it mixes the streams, are normalised last. */
export function lastLines(name: MhcConventionName): "rows" | "columns" {
  const { last, transposed } = mhcConventions[name].form.res;
  return (last === "rows") !== transposed ? "rows" : "columns";
}

function betweenMhc(from: MhcConventionName, to: MhcConventionName): Conversion {
  const [a, b] = [mhcConventions[from], mhcConventions[to]];
  if (a.reads !== b.reads) {
    const reads = { own: "its own coefficients", previous: "those that the previous sublayer computed" };
    throw new ConversionError(
      `${from} cannot be written as ${to}: in ${from} a sublayer reads with ${reads[a.reads]}, in ${to} with ${reads[b.reads]}. ` +
        "Coefficients depend on the streams they are computed from, so no weights make up for that.",
    );
  }
  if (a.form.writeScale !== b.form.writeScale) {
    throw new ConversionError(
      `${from} cannot be written as ${to}: one writes with ${a.form.writeScale}σ, the other with ${b.form.writeScale}σ.`,
    );
  }
  const transposes = a.form.res.transposed !== b.form.res.transposed;
  const agreement = lastLines(from) === lastLines(to) ? "epsilons" : "limit";
  const notes = [
    transposes
      ? "The res rows of φ and the res part of the bias are transposed: one applies the matrix as it is, the other transposed."
      : "The weights stay as they are.",
    agreement === "epsilons"
      ? "The functions differ by their epsilons."
      : `In ${from} the ${lastLines(from)} of H_res are normalised last, in ${to} the ${lastLines(to)}: the functions differ by what the iterations leave undone.`,
  ];
  return {
    agreement,
    notes,
    sublayer(weights) {
      expectOnly(weights, mhcTensors);
      const { phi, alpha, bias } = tensors(weights, mhcTensors);
      return transposes ? { phi: transposeRes(phi), alpha, bias: transposeRes(bias) } : { phi, alpha, bias };
    },
    ending: (weights, sizes) => convertEnding(weights, sizes, from, to),
  };
}

const mhcTensors = ["phi", "alpha", "bias"] as const;

function expectOnly(weights: ConnectionWeights, names: readonly string[]): void {
  const other = Object.keys(weights).find((name) => !names.includes(name));
  if (other === undefined) return;
  throw new ConversionError(
    `An mHC connection has only phi, alpha and bias, but this one has "${other}": if it is HC's, name an HC convention.`,
  );
}

/** Picks these tensors of a connection; throws when one is missing. */
function tensors<K extends string>(weights: ConnectionWeights, names: readonly K[]): Readonly<Record<K, Weights>> {
  const missing = names.find((name) => !(name in weights));
  if (missing === undefined) return weights;
  throw new ConversionError(`${missing} is needed, but these weights have only ${Object.keys(weights).join(", ")}.`);
}

/** Reorders the res rows of [pre | post | res] for the transposed matrix. It is its own inverse. */
export function transposeRes({ shape, data }: Weights): Weights {
  const [rows = 1] = shape;
  const width = data.length / rows,
    n = streamsOfBias({ shape, data });
  if (!Number.isInteger(n)) {
    throw new ConversionError(`The weights have ${rows} rows; they must have n² + 2n, pre | post | res.`);
  }
  const moved = new Float32Array(data.length);
  for (let m = 0; m < rows; m++) {
    const [i, j] = [Math.floor((m - 2 * n) / n), (m - 2 * n) % n];
    const source = m < 2 * n ? m : 2 * n + j * n + i;
    for (let k = 0; k < width; k++) moved[m * width + k] = data[source * width + k]!;
  }
  return { shape, data: moved };
}

/**
 * A mean is a learned end with φ = 0 and equal weights, so these two convert both ways.
 * Any other learned end needs a convention with a learned end.
 */
function convertEnding(
  weights: ConnectionWeights | undefined,
  { streams: n, channels }: ConversionSizes & { readonly streams: number },
  from: MhcConventionName,
  to: MhcConventionName,
): ConnectionWeights | undefined {
  const ends: readonly StreamsEnd[] = mhcConventions[to].ends;
  const meanBias = (name: MhcConventionName): number => {
    const share = Math.min(1 / n, 1 - 2 ** -24) - mhcConventions[name].form.readEpsilon;
    return Math.fround(Math.log(share / (1 - share)));
  };
  if (weights === undefined) {
    if (ends[0] !== "learned") return undefined;
    return {
      phi: { shape: [n, n * channels], data: new Float32Array(n * n * channels) },
      alpha: { shape: [1], data: Float32Array.of(0.01) },
      bias: { shape: [n], data: new Float32Array(n).fill(meanBias(to)) },
    };
  }
  const { phi, bias } = tensors(weights, ["phi", "bias"]);
  // α only scales what φ projects, which is zero here.
  const isMean =
    Array.from(phi.data).every((value) => value === 0) &&
    Array.from(bias.data).every((value) => value === meanBias(from));
  if (isMean && ends.includes("mean")) return undefined;
  if (ends.includes("learned")) return weights;
  throw new ConversionError(
    `The learned end of ${from} cannot be written in ${to}, whose streams end by ${ends.join(" or ")}: its weights depend on ` +
      'the token. Convert to "paper", which leaves the end open and keeps it.',
  );
}

function betweenHc(from: HcConventionName, to: HcConventionName): Conversion {
  const [a, b] = [hcConventions[from], hcConventions[to]];
  const isZero = (tensor: Weights | undefined): boolean =>
    tensor === undefined || Array.from(tensor.data).every((value) => value === 0);
  const still = ({ theta, alpha }: ConnectionWeights): boolean => isZero(theta) || isZero(alpha);
  return {
    agreement: "same",
    notes: [
      "The forms of HC agree only where the part that depends on the token is zero; the bias then decides alone.",
    ],
    sublayer(weights, sizes) {
      if (!still(weights)) {
        throw new ConversionError(
          b.dynamic
            ? `${from} cannot be written as ${to}: ${a.tanh ? "tanh bends its projections" : "its projections are not bent"}, and θ is not zero.`
            : `${from} cannot be written as ${to}: its coefficients depend on the token (neither θ nor α is zero), those of ${to} do not.`,
        );
      }
      const { bias } = tensors(weights, ["bias"]);
      if (!b.dynamic) return { bias };
      if (weights.theta !== undefined) return weights;
      if (sizes === undefined)
        throw new ConversionError(
          `${to} needs θ [n + 2, C], so the number of channels C is needed: give it in sizes.channels.`,
        );
      const n = streamsOfBias(bias);
      return {
        theta: { shape: [n + 2, sizes.channels], data: new Float32Array((n + 2) * sizes.channels) },
        alpha: { shape: [3], data: new Float32Array(3).fill(0.01) },
        bias,
      };
    },
    ending: (weights) => weights,
  };
}

/** The largest differences between two forms of one connection on a probe. */
export interface ConversionDifference {
  readonly coefficients: number;
  /** Of what the block reads and of the streams after the sublayer. */
  readonly output: number;
}

/**
 * Evaluate both forms of a connection in float64 on the same streams and compare.
 *
 * @param iterations of Sinkhorn-Knopp; only mHC uses it
 * @returns the largest absolute differences
 */
export function conversionDifference(
  before: { readonly convention: ConventionName; readonly weights: ConnectionWeights },
  after: { readonly convention: ConventionName; readonly weights: ConnectionWeights },
  probe: Probe,
  iterations = 20,
): ConversionDifference {
  const a = evaluateConnection(before.convention, before.weights, probe, iterations);
  const b = evaluateConnection(after.convention, after.weights, probe, iterations);
  return {
    coefficients: largestDifference(a.coefficients, b.coefficients),
    output: Math.max(largestDifference(a.read, b.read), largestDifference(a.next, b.next)),
  };
}

/** The largest difference between the weights with which two learned ends read a probe. */
export function endingDifference(
  before: { readonly convention: MhcConventionName; readonly weights: ConnectionWeights | undefined },
  after: { readonly convention: MhcConventionName; readonly weights: ConnectionWeights | undefined },
  probe: Probe,
): number {
  const read = ({ convention, weights }: typeof before): Float64Array =>
    weights === undefined
      ? new Float64Array(probe.tokens * probe.streams).fill(1 / probe.streams)
      : evaluateEnding(convention, weights, probe);
  return largestDifference(read(before), read(after));
}

/** The larger of two numbers; NaN where either is NaN. */
function largestDifference(a: Float64Array, b: Float64Array): number {
  return a.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (b[index] ?? NaN))), 0);
}
