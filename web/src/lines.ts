// Question: which lines does a chart draw?
//
// One for each chosen run, smoothed, with its points faintly behind; or one for each family of seeds, with a band. All
// charts have the same horizontal axis: from the first to the last place of any chosen run.

import type { ChartLook } from "./lib/charts.ts";
import { type Curve, inverted, onAxis, smoothed } from "./lib/curves.ts";
import { bandOf, commonName } from "./lib/families.ts";
import type { Look } from "./lib/looks.ts";
import { cardOf, chosenFamilies, curvesOf, lookOfRun, page } from "./state.svelte.ts";
import { curveOf, type Stretch, zoom } from "./zoom.svelte.ts";

/** null breaks a line, undefined does not. */
export type Values = (number | null | undefined)[];

export interface Drawn {
  /** The run, or the first of a family. */
  readonly key: string;
  readonly name: string;
  readonly runs: readonly string[];
  readonly look: Look;
  readonly x: readonly number[];
  readonly y: Values;
  /** The points behind a smoothed line. */
  readonly raw?: { readonly x: readonly number[]; readonly y: Values };
  /** The smallest and the largest of a family, at the places of the line. */
  readonly band?: { readonly low: Values; readonly high: Values };
}

const NOTHING: Curve = { step: [], value: [], mean: undefined };

function pointsOf(id: string, { name }: ChartLook): Curve {
  if (name !== "stepTime") return curveOf(id, name) ?? NOTHING;
  const tokens = cardOf(id)?.tokensPerStep ?? null;
  return tokens === null ? NOTHING : inverted(curveOf(id, "tokensPerSecond") ?? NOTHING, tokens);
}

const placed = (id: string, steps: readonly number[]): number[] =>
  onAxis(steps, page.axis, cardOf(id)?.tokensPerStep ?? null, curvesOf(id)?.clock ?? { step: [], value: [] });

function lineOf(id: string, look: ChartLook, span: number): Drawn {
  const points = pointsOf(id, look);
  const own = { key: id, name: nameOf(id), runs: [id], look: lookOfRun(id) };
  const raw = { x: placed(id, points.step), y: [...points.value] };
  if (span === 0) return { ...own, ...raw };
  const source = points.mean ?? points;
  return { ...own, x: placed(id, source.step), y: smoothed(source, span), raw };
}

/** The lines of a chart, one for each entry of its legend; none for a run that recorded nothing of it. */
export function linesOf(look: ChartLook, span: number): Drawn[] {
  return allLines(look, span).filter(({ y }) => y.length > 0);
}

function allLines(look: ChartLook, span: number): Drawn[] {
  const each = (id: string): Drawn => lineOf(id, look, look.smooth ? span : 0);
  if (!page.together) return page.chosen.map(each);
  return chosenFamilies().map((runs) => {
    const lines = runs.map(each);
    const [first] = lines;
    if (lines.length === 1) return first!;
    const { x, mean, low, high } = bandOf(lines);
    return { key: first!.key, name: familyName(runs), runs, look: first!.look, x, y: mean, band: { low, high } };
  });
}

/** The names of all lines, the same for every chart. */
export function lineNames(): string[] {
  if (!page.together) return page.chosen.map(nameOf);
  return chosenFamilies().map(familyName);
}

const nameOf = (id: string): string => cardOf(id)?.name ?? id;
const familyName = (runs: readonly string[]): string =>
  runs.length === 1 ? nameOf(runs[0]!) : `${commonName(runs.map(nameOf))} (${runs.length} seeds)`;

/** Whether any chosen run has a value for a chart. */
export const hasValues = (look: ChartLook): boolean => page.chosen.some((id) => pointsOf(id, look).step.length > 0);

/** The shown part of the horizontal axis, the same for all charts; undefined while there is nothing. */
export function shownStretch(): Stretch | undefined {
  return zoom.stretch ?? wholeStretch();
}

export function wholeStretch(): Stretch | undefined {
  let [from, to] = [Infinity, -Infinity];
  for (const id of page.chosen) {
    const steps = curvesOf(id)?.curves.loss.step ?? [];
    if (steps.length === 0) continue;
    const [first, last] = placed(id, [steps[0]!, steps.at(-1)!]) as [number, number];
    [from, to] = [Math.min(from, first), Math.max(to, last)];
  }
  if (!(to >= from)) return undefined;
  return to > from ? [from, to] : [from - 0.5, to + 0.5];
}

/** The value of a line nearest to a place; undefined beyond its ends, null where it is not finite. */
export function valueAt({ x, y }: Pick<Drawn, "x" | "y">, place: number, tolerance: number): number | null | undefined {
  const at = nearest(x, place);
  if (at === undefined || (Math.abs(x[at]! - place) > tolerance && (at === 0 || at === x.length - 1))) return undefined;
  return y[at];
}

/** The index of the ascending place nearest to one. */
export function nearest(x: readonly number[], place: number): number | undefined {
  if (x.length === 0) return undefined;
  let [low, high] = [0, x.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! < place) low = middle + 1;
    else high = middle;
  }
  return low > 0 && place - x[low - 1]! < x[low]! - place ? low - 1 : low;
}

/** The last value of a line; null where it is not finite. */
export function lastOf({ y }: Pick<Drawn, "y">): number | null | undefined {
  for (let at = y.length - 1; at >= 0; at--) if (y[at] !== undefined) return y[at];
  return undefined;
}
