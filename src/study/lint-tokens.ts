// Question: on tokens, are the residual maps of a checkpoint stochastic, saturated, alive?
//
// The float64 formula of their convention computes the static map and the maps of random tokens.

import { evaluateCoefficients } from "../connections/conventions/evaluate.ts";
import { lastLines } from "../connections/conventions/convert.ts";
import { type MhcConventionName, mhcConventions } from "../connections/conventions/table.ts";
import { streamsOfBias } from "../connections/conventions/evaluate.ts";
import { tokenCoefficients } from "../ops/manifold-coefficients.ts";
import { EXACT, lineError, type LintCheck, type LintInput, type MhcLint, most, small, some } from "./lint-check.ts";

interface OnTokens {
  readonly name: string;
  readonly convention: MhcConventionName;
  /** Largest |Σ − 1| of the lines normalised last, over tokens. */
  readonly exact: number;
  /** Median over tokens of the largest |Σ − 1| of the other lines. */
  readonly loose: number;
  /** Median over tokens of the largest H (1 − H). */
  readonly slope: number;
  /** The same for the static map. */
  readonly staticSlope: number;
  /** Smallest and largest entry of the softmax of the rows of logits, median over tokens. */
  readonly softmax: readonly [number, number];
  /** Largest pre and largest post of the static coefficients. */
  readonly read: number;
  readonly write: number;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const largestSlope = (h: Float64Array): number => h.reduce((most, value) => Math.max(most, value * (1 - value)), 0);

function onTokens(connection: MhcLint, probeOf: LintInput["probe"], iterations: number): OnTokens {
  const { name, convention, weights } = connection;
  const rules = mhcConventions[convention];
  const n = streamsOfBias(weights.bias!),
    M = n * n + 2 * n;
  const probe = probeOf(n, weights.phi!.shape[1]! / n);
  const { coefficients, logits = new Float64Array() } = evaluateCoefficients(convention, weights, probe, iterations);
  const tokens = Array.from({ length: probe.tokens }, (_, t) => t);
  const maps = tokens.map((t) => coefficients.slice(t * M + 2 * n, (t + 1) * M));
  // This is a token whose streams are all zero: only the static part remains.
  const fixed = tokenCoefficients(Float64Array.from(weights.bias!.data), n, iterations, rules.form);
  const byLines = {
    rows: maps.map((map) => lineError(map, n, 1, n)),
    columns: maps.map((map) => lineError(map, n, n, 1)),
  };
  const last = lastLines(convention);
  const bounds = tokens.map((t) => softmaxBounds(logits.subarray(t * n * n, (t + 1) * n * n), n));
  return {
    name,
    convention,
    exact: Math.max(...byLines[last]),
    loose: median(byLines[last === "rows" ? "columns" : "rows"]),
    slope: median(maps.map(largestSlope)),
    staticSlope: largestSlope(fixed.slice(2 * n)),
    softmax: [median(bounds.map(([low]) => low)), median(bounds.map(([, high]) => high))],
    read: Math.max(...fixed.slice(0, n)),
    write: Math.max(...fixed.slice(n, 2 * n)),
  };
}

/** The smallest and the largest entry of the softmax of each row. */
function softmaxBounds(logits: Float64Array, n: number): [number, number] {
  let [low, high] = [1, 0];
  for (let i = 0; i < n; i++) {
    const row = logits.slice(i * n, (i + 1) * n);
    const top = Math.max(...row);
    const sum = row.reduce((total, value) => total + Math.exp(value - top), 0);
    for (const value of row) {
      low = Math.min(low, Math.exp(value - top) / sum);
      high = Math.max(high, Math.exp(value - top) / sum);
    }
  }
  return [low, high];
}

/** If half the tokens are off by more, the iterations are too few for the logits. One released layer is at 0.085. */
const LOOSE = 0.15;
/** H (1 − H) for an entry of 0.999. */
const STUCK = 1e-3;
/** Below this, a gradient is lost beside the others in float32. */
const LOST = 1e-6;

export function checkOnTokens(
  sublayers: readonly MhcLint[],
  probe: LintInput["probe"],
  iterations: number,
): readonly LintCheck[] {
  const measured = sublayers.map((connection) => onTokens(connection, probe, iterations));
  return [stochastic(measured, iterations), saturated(measured), silent(measured)];
}

function stochastic(measured: readonly OnTokens[], iterations: number): LintCheck {
  const text = `on random tokens the lines normalised last are off by ${small(most(measured.map(({ exact }) => exact)))} at most, the others by ${small(most(measured.map(({ loose }) => loose)))} (median token of the worst sublayer)`;
  const expected = `non-negative, last lines within ${EXACT} of one, the others within ${LOOSE} after ${iterations} iterations`;
  const broken = measured.filter(({ exact }) => !(exact <= EXACT));
  const loose = measured.filter((each) => each.loose > LOOSE && !broken.includes(each));
  if (broken.length === 0 && loose.length === 0)
    return { name: "stochastic", verdict: "good", measured: text, expected, where: [] };
  const where = [...broken, ...loose].map(({ name }) => name);
  return {
    name: "stochastic",
    verdict: broken.length > 0 ? "error" : "warning",
    measured: `${text}: ${some(where)}`,
    expected,
    where,
    remedy:
      broken.length > 0
        ? "The logits are so far apart that epsilons decide: lower the learning rate or α of the connections, or restart these sublayers."
        : "The logits are too large for so few iterations, and what is left undone multiplies with depth: use more iterations, or an exact map (permutations, orthostochastic).",
  };
}

function saturated(measured: readonly OnTokens[]): LintCheck {
  const expected = `some entry with H (1 − H) of at least ${STUCK} (an entry between 0.001 and 0.999), so that logits can move`;
  const worst = measured.reduce((a, b) => (b.slope < a.slope ? b : a));
  const stuck = measured.filter(({ slope, staticSlope }) => slope < STUCK && staticSlope < STUCK);
  const bounds = (each: OnTokens): string =>
    `softmax of its rows from ${small(each.softmax[0])} to ${each.softmax[1].toFixed(6)}`;
  const text = `largest H (1 − H) ${small(worst.slope)} in ${worst.name}, ${bounds(worst)} (median token)`;
  if (stuck.length === 0) return { name: "saturated", verdict: "good", measured: text, expected, where: [] };
  const lost = stuck.some(({ slope }) => slope < LOST);
  return {
    name: "saturated",
    verdict: lost ? "error" : "warning",
    measured: `${text}; ${stuck.length} of ${measured.length} sublayers: ${some(stuck.map(({ name }) => name))}`,
    expected,
    where: stuck.map(({ name }) => name),
    remedy:
      "The residual maps hardly change any more. If they are meant to be the identity, use residualMap identity and save the work; if not, start from a diagonal of 4 rather than 8 or more, and lower the learning rate of the connections.",
  };
}

function silent(measured: readonly OnTokens[]): LintCheck {
  const expected = "every sublayer reads and writes some stream with a weight above 0.001";
  const off = measured.filter(({ read, write }) => read < 1e-3 || write < 1e-3);
  const least = (key: "read" | "write"): number => Math.min(...measured.map((each) => each[key]));
  const text = `largest static weight of a read at least ${small(least("read"))}, of a write ${small(least("write"))}`;
  if (off.length === 0) return { name: "reads and writes", verdict: "good", measured: text, expected, where: [] };
  return {
    name: "reads and writes",
    verdict: "warning",
    measured: `${text}: ${some(off.map(({ name }) => name))}`,
    expected,
    where: off.map(({ name }) => name),
    remedy:
      "These sublayers are cut off from the streams. If that is not meant, their read or write biases have drifted: exclude them from weight decay, or restart them.",
  };
}
