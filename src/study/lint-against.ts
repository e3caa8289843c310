// Question: do the connections of two files compute the same function, and if not, which mistake would explain it?
//
// The other file's weights are converted to this file's convention first. The streams of a model may be numbered in
// another order, if all its connections agree on it. All that is no rounding (lint-alike.ts) is an error, with the
// mistake that would explain it (lint-explain.ts).

import { showMany } from "../basics/show.ts";
import { conversion, conversionDifference } from "../connections/conventions/convert.ts";
import type { Probe } from "../connections/conventions/evaluate.ts";
import { isMhcConvention } from "../connections/conventions/table.ts";
import {
  haveSameShapes,
  isRoundedTogether,
  isSameFunction,
  largestDifference,
  roundingOf,
  sizesOf,
} from "./lint-alike.ts";
import { type LintCheck, type LintConnection, misfit, most, shapeText, small, some } from "./lint-check.ts";
import { explain, MOST_EXPLAINED, type Wrong } from "./lint-explain.ts";
import { matchNames } from "./lint-names.ts";
import type { ReferenceConnection } from "./lint-reference.ts";
import { type ComparedConnection, renumbered, sharedStreamOrder } from "./lint-stream-order.ts";

const name = "against the other file";
const expected = "the weights that the other file has after conversion, connection by connection";

/** Another file that should compute the same: every connection of both must have its like in the other. */
export function checkAgainst(
  connections: readonly LintConnection[],
  reference: ReadonlyMap<string, ReferenceConnection>,
  probe: (streams: number, channels: number) => Probe,
  iterations: number,
): LintCheck {
  const { compared, wrong, names } = pairUp(
    connections,
    new Map([...reference].map(([each, weights]) => [each, { ...weights, name: each }])),
  );
  if (compared.length === 0 && wrong.length === 0)
    return { name, verdict: "error", measured: "the files have no connection of the same name", expected, where: [] };
  const order = compared.some((each) => isDifferent(each) && !isRounded(each))
    ? sharedStreamOrder(compared)
    : undefined;
  const aligned = order
    ? compared.map((each) => ({ ...each, right: renumbered(each.right, order, each.isEnd) }))
    : compared;
  const different = aligned.filter(isDifferent);
  const rounded = different.filter(isRounded);
  const apart = isRoundedTogether(rounded) ? different.filter((each) => !rounded.includes(each)) : different;
  if (apart.length === 0 && wrong.length === 0) return agreement(aligned, rounded, order);

  const explained = apart.map((each, i) => explain(each, aligned, i < MOST_EXPLAINED));
  const all = [...explained, ...wrong];
  // One connection with other weights must not hide what is wrong with the rest.
  const first = explained.find(({ remedy }) => remedy !== undefined) ?? all[0]!;
  const alike = all.filter(({ what }) => what === first.what);
  const source = connections.find((each) => each.name === first.name);
  const pair = aligned.find((each) => each.name === first.name);
  return {
    name,
    verdict: "error",
    measured:
      `${alike.length} of ${names} connections are ${first.what}, such as ${first.name}` +
      (pair ? `: ${placeText(pair)}${functionText(source, pair, probe, iterations)}` : "") +
      (all.length > alike.length
        ? `; ${all.length - alike.length} more differ otherwise: ${some(all.filter((each) => !alike.includes(each)).map((each) => `${each.name} (${each.what})`))}`
        : ""),
    expected,
    where: all.map((each) => each.name),
    remedy:
      first.remedy ??
      (apart.length === 0
        ? `Not all connections can be compared. ${isMissing(first) ? "A file without some of them is no whole model: give the file or folder that has them all." : "Say the conventions of both files if they are others (--convention, --against-convention)."}`
        : "The files compute different functions. No order, scale or sign that is known here explains it: they are of different training steps, or one of them was changed."),
  };
}

const isMissing = ({ what }: Wrong): boolean => what.startsWith("missing in");
const isDifferent = ({ given, right }: ComparedConnection): boolean => !isSameFunction(given, right);
const isRounded = ({ given, right }: ComparedConnection): boolean => roundingOf(given, right) !== undefined;

/** The finding where nothing is wrong. */
function agreement(
  compared: readonly ComparedConnection[],
  rounded: readonly ComparedConnection[],
  order: readonly number[] | undefined,
): LintCheck {
  const said = showMany(compared.length, "connection");
  const numbered = order ? `only the streams are numbered in another order (${order.join(", ")})` : undefined;
  const largest = most(compared.map(({ given, right }) => largestDifference(given, right).difference));
  const [one] = rounded;
  if (one)
    return {
      name,
      verdict: "warning",
      measured: `${rounded.length} of ${said} agree up to ${roundingOf(one.given, one.right)!.what}, such as ${one.name}: largest difference of a weight ${small(largest)}${numbered ? `; ${numbered}` : ""}`,
      expected,
      where: rounded.map((each) => each.name),
      remedy: "Keep the connections in float32; what was rounded does not come back.",
    };
  if (numbered)
    return { name, verdict: "note", measured: `${said} compute the same: ${numbered}`, expected, where: [] };
  return {
    name,
    verdict: "good",
    measured: `${said} agree, largest difference of a weight ${small(largest)}${largest > 0 ? "; what they compute is the same" : ""}`,
    expected,
    where: [],
  };
}

type Named = ReferenceConnection & { readonly name: string };

interface PairedUp {
  readonly compared: readonly ComparedConnection[];
  /** What cannot be compared, and why. */
  readonly wrong: readonly Wrong[];
  /** How many connections the two files have, each counted once. */
  readonly names: number;
}

function pairUp(connections: readonly LintConnection[], reference: ReadonlyMap<string, Named>): PairedUp {
  const byName = new Map(connections.map((each) => [each.name, each]));
  const { pairs, onlyHere, onlyThere } = matchNames([...byName.keys()], [...reference.keys()]);
  const wrong: Wrong[] = [];
  const compared: ComparedConnection[] = [];
  for (const [here, there] of pairs) {
    const one = pairOf(byName.get(here)!, reference.get(there)!);
    if ("what" in one) wrong.push(one);
    else compared.push(one);
  }
  for (const each of onlyHere)
    if (!mayBeLacking(byName.get(each)!, connections, [...reference.values()]))
      wrong.push({ name: each, what: "missing in the other file" });
  for (const each of onlyThere)
    if (!mayBeLacking(reference.get(each)!, [...reference.values()], connections))
      wrong.push({ name: each, what: "missing in this file" });
  return { compared, wrong, names: pairs.length + onlyHere.length + onlyThere.length };
}

/** The other file's weights in this one's convention; or why they cannot be compared. */
function pairOf(here: LintConnection, there: Named): ComparedConnection | Wrong {
  const { name: each, weights: given } = here;
  const isEnd = isEnding(here);
  try {
    const { sublayer, ending } = conversion(there.convention, here.convention);
    const sizes = sizesOf(there.weights, isEnd);
    const right = isEnd ? ending(there.weights, sizes) : sublayer(there.weights, sizes);
    if (right === undefined) return { name: each, what: "an end that the other file has no weights for" };
    if ((!isEnd && misfit(here) !== undefined) || !haveSameShapes(given, right))
      return { name: each, what: `of other sizes (${shapeText(given)} here, ${shapeText(right)} there)` };
    return { name: each, isEnd, given, right };
  } catch (error) {
    return { name: each, what: `not to be compared (${(error as Error).message})` };
  }
}

const isEnding = ({ name: each }: { readonly name: string }): boolean => each.endsWith("ending");

/** Whether a connection is the end that a file without one has: the mean, which is φ = 0 and equal weights. */
function mayBeLacking(end: Named, owners: readonly Named[], others: readonly Named[]): boolean {
  if (!isEnding(end)) return false;
  const [has, lacks] = [owners, others].map((all) => all.find((each) => !isEnding(each))?.convention);
  // Without a sublayer beside it, the file is a part, of which nothing follows.
  if (has === undefined || lacks === undefined) return true;
  if (has !== lacks && !isMhcConvention(lacks)) return false;
  const { phi, bias } = end.weights;
  const share = Math.min(1 / (bias?.data.length ?? 0), 1 - 2 ** -24);
  return (
    Array.from(phi?.data ?? []).every((value) => value === 0) &&
    Array.from(bias?.data ?? [NaN]).every((value) => Math.abs(value - Math.log(share / (1 - share))) < 1e-4)
  );
}

function placeText({ given, right }: ComparedConnection): string {
  const { part, at, difference, here, there } = largestDifference(given, right);
  if (part === "") return "no weight differs";
  return `largest difference ${small(difference)} as they are (number ${at} of ${part}: ${here} here, ${there} there)`;
}

function functionText(
  source: LintConnection | undefined,
  { given, right, isEnd }: ComparedConnection,
  probe: (streams: number, channels: number) => Probe,
  iterations: number,
): string {
  if (!source || isEnd) return "";
  const { streams, channels } = sizesOf(given, isEnd);
  const { convention } = source;
  const sides = [given, right].map((weights) => ({ convention, weights }));
  try {
    const { coefficients } = conversionDifference(sides[0]!, sides[1]!, probe(streams, channels), iterations);
    return `, and ${small(coefficients)} of a coefficient on random streams`;
  } catch {
    return "";
  }
}
