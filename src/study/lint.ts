// Question: is something wrong with the connections of a checkpoint, and how can one tell?
//
// Weights carry little evidence. Sinkhorn-Knopp makes any logits doubly stochastic, so a residual map that was
// transposed by mistake is as stochastic as the right one. These checks are possible:
//
//   shapes      bias [n² + 2n] fixes n; φ, α and the learned end follow
//   finite      no NaN, no infinity
//   precision   values stored in 16 bits are rounded before exp
//   slices      trained residual maps lean towards the identity: the place of the large entries of the bias
//               shows where the res part begins
//   stochastic  the static map and those of random tokens: the lines normalised last must sum to one, the
//               others nearly; the iterations leave the rest undone
//   saturated   the gradient of a softmax entry H is at most H (1 − H): where it vanishes for every entry, logits
//               are stuck; likewise reads and writes that are off for every stream
//   alpha       zero switches the token-dependent part off; a negative sign is the same function with −φ
//   transposed  (a) recorded maps: which lines sum to one exactly. (b) another checkpoint that should be the
//               same function: the weights tell exactly. (c) φ alone: row (i ← j) learns from <g_i, x_j> x⃗, in
//               which stream j meets itself, so trained rows have more energy over their source stream than
//               over their target; a statistic over all sublayers, which may stay undecided
//
// Every check reports what it measured, also when nothing is wrong.

import { showMany } from "../basics/show.ts";
import { MOST_ITERATIONS } from "../basics/bounds.ts";
import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";
import { streamsOfBias } from "../connections/conventions/evaluate.ts";
import {
  isMhc,
  type LintCheck,
  type LintConnection,
  type LintInput,
  type MhcLint,
  misfit,
  most,
  shapeText,
  small,
  some,
} from "./lint-check.ts";
import { checkAgainst } from "./lint-against.ts";
import { checkRecorded, checkSources } from "./lint-orientation.ts";
import { checkOnTokens } from "./lint-tokens.ts";

const inputRules: FieldRules<LintInput> = {
  sublayers: "list",
  endings: "list",
  maps: "list",
  reference: "group",
  asStored: "group",
  iterations: "number",
  probe: "function",
};

/**
 * Check connections for mistakes: shapes, values that are not finite, 16-bit storage, slices in another order,
 * maps that are not doubly stochastic or are saturated, scales that are zero or negative, maps that are
 * transposed. The checks are returned in this order; those that do not apply are left out.
 */
export function lintConnections(input: LintInput): LintCheck[] {
  expectFields("lintConnections", input, inputRules);
  expectGiven("lintConnections", input, inputRules, ["sublayers", "probe"]);
  if (input.iterations !== undefined)
    expectWhole("lintConnections", "iterations", input.iterations, 1, MOST_ITERATIONS);
  const shapes = checkShapes(input);
  const finite = checkFinite(input);
  const unsound = new Set([...shapes.where, ...finite.where]);
  const sublayers = input.sublayers.filter(({ name }) => !unsound.has(name));
  const ofMhc = sublayers.filter(isMhc);
  const compared = [...input.sublayers, ...(input.endings ?? [])].filter(({ name }) => !input.asStored?.has(name));
  // A single stream has nothing to mix.
  const mixing = ofMhc.filter(({ weights }) => streamsOfBias(weights.bias!) > 1);
  const iterations = input.iterations ?? 20;
  return [
    shapes,
    finite,
    checkPrecision(input),
    ...(mixing.length === 0 ? [] : [checkSlices(mixing), ...checkOnTokens(mixing, input.probe, iterations)]),
    ...(ofMhc.length === 0 ? [] : [checkAlpha(ofMhc)]),
    ...(mixing.length === 0 ? [] : [checkSources(mixing)]),
    ...(input.maps ?? []).map(checkRecorded),
    ...(input.reference && compared.length + input.reference.size > 0
      ? [checkAgainst(compared, input.reference, input.probe, iterations)]
      : []),
  ];
}

function misfitOfEnd({ weights: { phi, alpha, bias } }: LintConnection): string | undefined {
  if (!phi || !alpha || !bias) return "phi, alpha and bias are needed";
  const n = bias.shape[0]!;
  return phi.shape[0] === n && phi.shape[1]! % n === 0 && alpha.shape.join() === "1"
    ? undefined
    : `phi must be [${n}, ${n}·C], alpha [1]`;
}

function checkShapes({ sublayers, endings = [] }: LintInput): LintCheck {
  const expected = "bias [n² + 2n], alpha [3], phi [n² + 2n, nC]; of the end bias [n], alpha [1], phi [n, nC]";
  const wrong = [
    ...sublayers.map((connection) => [connection, misfit(connection)] as const),
    ...endings.map((connection) => [connection, misfitOfEnd(connection)] as const),
  ].filter(([, problem]) => problem !== undefined);
  if (wrong.length === 0) {
    const sizes = new Set(sublayers.map(({ weights }) => streamsOfBias(weights.bias!)));
    return {
      name: "shapes",
      verdict: "good",
      measured: `${showMany(sublayers.length, "sublayer")}${sizes.size > 0 ? ` of ${[...sizes].join(", ")} streams` : ""}${endings.length > 0 ? " and a learned end" : ""}`,
      expected,
      where: [],
    };
  }
  const [first, problem] = wrong[0]!;
  return {
    name: "shapes",
    verdict: "error",
    measured: `${first.name} has ${shapeText(first.weights)}: ${problem}${wrong.length > 1 ? `; ${wrong.length} connections in all` : ""}`,
    expected,
    where: wrong.map(([{ name }]) => name),
    remedy:
      "Look for a transposed φ (Liger stores it [nC, rows]), a missing slice, tensors of another connection, or a residual map that is not Sinkhorn's (then lint the run folder, whose configuration says so).",
  };
}

function checkFinite({ sublayers, endings = [] }: LintInput): LintCheck {
  const bad = [...sublayers, ...endings].flatMap(({ name, weights }) =>
    Object.entries(weights).flatMap(([part, { data }]) => {
      const at = Array.from(data).findIndex((value) => !Number.isFinite(value));
      return at < 0
        ? []
        : [{ name, part, at, value: data[at]!, count: Array.from(data).filter((v) => !Number.isFinite(v)).length }];
    }),
  );
  const expected = "every value finite";
  if (bad.length === 0)
    return { name: "finite", verdict: "good", measured: "no NaN, no infinity", expected, where: [] };
  const { name, part, at, value, count } = bad[0]!;
  return {
    name: "finite",
    verdict: "error",
    measured: `${name}.${part} holds ${value} at ${at} (${count} such values there; ${showMany(bad.length, "tensor")} in all)`,
    expected,
    where: [...new Set(bad.map((each) => each.name))],
    remedy: "The training diverged or the file is damaged: go back to an earlier checkpoint.",
  };
}

function checkPrecision({ sublayers, endings = [] }: LintInput): LintCheck {
  const half = [...sublayers, ...endings].filter(({ dtypes }) =>
    Object.values(dtypes).some((dtype) => dtype === "BF16" || dtype === "F16"),
  );
  const expected = "float32: rounding of a logit by 2⁻⁹ of its size goes through exp";
  if (half.length === 0) return { name: "precision", verdict: "good", measured: "float32", expected, where: [] };
  const { name, dtypes } = half[0]!;
  return {
    name: "precision",
    verdict: "warning",
    measured: `${showMany(half.length, "connection")} with 16-bit tensors, such as ${name} (${Object.entries(dtypes)
      .map(([part, dtype]) => `${part} ${dtype}`)
      .join(", ")})`,
    expected,
    where: half.map((each) => each.name),
    remedy: "Keep the connections in float32 when a checkpoint is cast; what is lost does not come back.",
  };
}

/** Mean of the diagonal minus mean of the other entries, if the res part of the bias began at `start`. */
function lean(bias: ArrayLike<number>, n: number, start: number): number {
  let [diagonal, rest] = [0, 0];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      if (i === j) diagonal += bias[start + i * n + j]!;
      else rest += bias[start + i * n + j]!;
    }
  }
  return diagonal / n - rest / (n * (n - 1));
}

/** By how many logits another place for res must lean more than the right one. */
const LEANS_MORE = 1;

function checkSlices(sublayers: readonly MhcLint[]): LintCheck {
  const expected = "rows pre | post | res: the diagonal of res stands out of the bias from entry 2n on";
  const measured = sublayers.map((connection) => {
    const { bias } = connection.weights;
    const n = streamsOfBias(bias!);
    // The three values assume that res is first, second or third.
    const [first, second, third] = [0, n, 2 * n].map((start) => lean(bias!.data, n, start)) as [number, number, number];
    return { name: connection.name, first, second, third };
  });
  const mean = (key: "first" | "second" | "third"): number =>
    measured.reduce((sum, each) => sum + each[key], 0) / measured.length;
  const [first, second, third] = [mean("first"), mean("second"), mean("third")];
  const leans = `diagonal minus rest, mean over ${measured.length} sublayers: ${third.toFixed(2)} if res is the last slice, ${second.toFixed(2)} if it is the second, ${first.toFixed(2)} if it is the first`;
  const [place, most] = second > first ? (["second", second] as const) : (["first", first] as const);
  const wrong = measured.filter((each) => each[place] > each.third + LEANS_MORE);
  if (most > third + LEANS_MORE && most > LEANS_MORE && wrong.length > 0.8 * measured.length) {
    return {
      name: "slices",
      verdict: "error",
      measured: leans,
      expected,
      where: wrong.map(({ name }) => name),
      remedy: `The order of the slices is ${place === "second" ? "pre | res | post" : "res | pre | post"} (or with pre and post exchanged): move the res rows of φ and of the bias to the end.`,
    };
  }
  if (third > LEANS_MORE) return { name: "slices", verdict: "good", measured: leans, expected, where: [] };
  return {
    name: "slices",
    verdict: "undecided",
    measured: `${leans}: the static maps do not lean towards the identity, so the bias does not show the order`,
    expected,
    where: [],
  };
}

function checkAlpha(sublayers: readonly MhcLint[]): LintCheck {
  const expected = "α not zero; it starts at 0.01 (paper) or 1 (Liger)";
  const of = (test: (value: number) => boolean): string[] =>
    sublayers.filter(({ weights }) => Array.from(weights.alpha!.data).some(test)).map(({ name }) => name);
  const [zero, negative] = [of((value) => value === 0), of((value) => value < 0)];
  const sizes = sublayers.flatMap(({ weights }) => Array.from(weights.alpha!.data, Math.abs));
  const text = `|α| from ${small(Math.min(...sizes))} to ${small(most(sizes))}; negative in ${negative.length} of ${sublayers.length} sublayers`;
  if (zero.length > 0) {
    return {
      name: "alpha",
      verdict: "note",
      measured: `${text}; zero in ${zero.length}: ${some(zero)}`,
      expected,
      where: zero,
      remedy:
        "With α = 0 the coefficients do not depend on the token and φ gets no gradient (α does, if φ is not zero too).",
    };
  }
  if (negative.length > 0) {
    return {
      name: "alpha",
      verdict: "note",
      measured: text,
      expected,
      where: negative,
      remedy:
        "Nothing to mend: changing the signs of α and of φ together gives the same function. Where α is stored under another name, check that its sign was copied.",
    };
  }
  return { name: "alpha", verdict: "good", measured: text, expected, where: [] };
}
