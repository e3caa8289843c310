// Question: are the residual maps of a checkpoint transposed?
//
// There are three kinds of evidence (see the head of lint.ts): recorded maps, another checkpoint, φ alone.

import { showMany } from "../basics/show.ts";
import { streamsOfBias } from "../connections/conventions/evaluate.ts";
import { lastLines } from "../connections/conventions/convert.ts";
import { mhcConventions } from "../connections/conventions/table.ts";
import { EXACT, lineError, type LintCheck, type MhcLint, type RecordedMaps, small } from "./lint-check.ts";
import { mean, sampleVariance } from "../basics/numbers.ts";

/** How many standard errors from zero the statistic of φ decides at. */
const DECIDES = 4;

/** Evidence (c) of lint.ts: φ alone. */
export function checkSources(sublayers: readonly MhcLint[]): LintCheck {
  const expected =
    "a res row i ← j of φ has more energy over stream j than over stream i, where training has shaped it";
  const values = sublayers.map(sourceExcess);
  const average = mean(values);
  const z = average / Math.sqrt(sampleVariance(values) / values.length);
  const text = `ln(energy over source / energy over target) ${average.toFixed(3)} on average over ${showMany(values.length, "sublayer")}${Number.isFinite(z) ? `, ${z.toFixed(1)} standard errors from zero` : ""}`;
  if (values.length >= 4 && z > DECIDES)
    return { name: "orientation", verdict: "good", measured: text, expected, where: [] };
  if (values.length >= 4 && z < -DECIDES) {
    const [{ convention }] = sublayers as [MhcLint];
    const transposes = mhcConventions[convention].form.res.transposed;
    return {
      name: "orientation",
      verdict: "error",
      measured: text,
      expected,
      where: sublayers.map(({ name }) => name),
      remedy: `The res rows seem to be those of the transposed map. ${transposes ? "The file says DeepSeek's layout, [source, target]" : "The file says the layout [target, source]"}: if it came from a converter, it ${transposes ? "transposed them by mistake" : "forgot to transpose them"}. Compare with the original: birkhoff lint FILE --against ORIGINAL.`,
    };
  }
  return {
    name: "orientation",
    verdict: "undecided",
    measured: `${text}: too little to distinguish a map from its transpose, which is as stochastic`,
    expected,
    where: [],
    remedy: "To be sure, compare with the checkpoint it was made from: birkhoff lint FILE --against ORIGINAL.",
  };
}

function sourceExcess({ convention, weights: { phi } }: MhcLint): number {
  const n = streamsOfBias({ shape: [phi!.shape[0]!], data: [] });
  const K = phi!.shape[1]!,
    C = K / n;
  const { transposed } = mhcConventions[convention].form.res;
  const energy = (row: number, stream: number): number => {
    let sum = 0;
    for (let c = 0; c < C; c++) sum += phi!.data[row * K + stream * C + c]! ** 2;
    return sum;
  };
  let excess = 0;
  for (let a = 0; a < n; a++) {
    for (let b = 0; b < n; b++) {
      if (a === b) continue;
      const row = 2 * n + a * n + b;
      const [target, source] = transposed ? [b, a] : [a, b];
      excess += Math.log((energy(row, source) + Number.MIN_VALUE) / (energy(row, target) + Number.MIN_VALUE));
    }
  }
  return excess / (n * (n - 1));
}

/** Evidence (a): recorded maps. */
export function checkRecorded({ name, shape, data, applied, convention }: RecordedMaps): LintCheck {
  const n = shape.at(-1)!;
  const values = Float64Array.from(data);
  let [rows, columns, lowest] = [0, 0, 0];
  for (let at = 0; at < values.length; at += n * n) {
    const map = values.subarray(at, at + n * n);
    rows = Math.max(rows, lineError(map, n, 1, n));
    columns = Math.max(columns, lineError(map, n, n, 1));
    lowest = map.reduce((a, b) => Math.min(a, b), lowest);
  }
  const last = applied ? lastLines(convention) : mhcConventions[convention].form.res.last;
  const other = last === "rows" ? "columns" : "rows";
  const errors = { rows, columns };
  const check = {
    name: `recorded maps ${name}`,
    measured: `${values.length / (n * n)} maps: rows off by ${small(rows)} at most, columns by ${small(columns)}, smallest entry ${lowest.toFixed(6)}`,
    expected: `${last} within ${EXACT} of one in ${convention}${applied ? "" : ", before it is applied"}, nothing below zero`,
  };
  if (errors[last] <= EXACT && lowest >= -1e-6) return { ...check, verdict: "good", where: [] };
  const flipped = errors[other] <= EXACT && lowest >= -1e-6;
  return {
    ...check,
    verdict: "error",
    where: [name],
    remedy: flipped
      ? `The ${other} are the exact ones: these are the transposes of what ${convention} mixes the streams with. Transpose where they are applied, or the res rows of φ and of the bias.`
      : "Neither marginal is one: not the result of Sinkhorn-Knopp, or of 16-bit arithmetic, or overflowed logits.",
  };
}
