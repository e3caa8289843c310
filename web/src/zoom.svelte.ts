// Question: which interval of the horizontal axis is shown, and how are its points refined?
//
// The curves that the page opens with are downsampled over all steps. The steps of an interval are requested again, and
// their points replace the coarse ones. The points around them stay, for smoothing and for moving sideways. All charts
// show the same interval.

import { getCurves } from "./lib/api.ts";
import { type Axis, type Curve, type Detail, isCoarse, runCurves, stepsWithin, withDetail } from "./lib/curves.ts";
import type { CurveName } from "../../src/training/scalars.ts";
import { cardOf, curvesOf, page } from "./state.svelte.ts";

export type Stretch = readonly [from: number, to: number];

/** The interval on the page's axis; null for everything. */
export const zoom: { stretch: Stretch | null } = $state({ stretch: null });

/** A delay, because a key that is held down moves many times before points should be requested. */
const PAUSE_MS = 120;
const details = new Map<string, Detail>();
let timer: ReturnType<typeof setTimeout> | undefined;

export function zoomTo(stretch: Stretch | null): void {
  zoom.stretch = stretch;
  refine();
}

/** An interval of one axis means nothing on another. */
export function setAxis(axis: Axis): void {
  zoomTo(null);
  page.axis = axis;
}

/** Request the shown points that are still coarse; call this again when there are other curves. */
export function refine(): void {
  clearTimeout(timer);
  for (const [id, { whole }] of details) if (!zoom.stretch || whole !== curvesOf(id)) details.delete(id);
  if (zoom.stretch) timer = setTimeout(() => page.chosen.forEach((id) => void fetchDetail(id)), PAUSE_MS);
}

async function fetchDetail(id: string): Promise<void> {
  const { stretch } = zoom;
  const whole = curvesOf(id);
  if (!stretch || !whole || !isCoarse(whole)) return;
  const [from, to] = stepsWithin(stretch, page.axis, cardOf(id)?.tokensPerStep ?? null, whole.clock);
  const known = details.get(id);
  if (known?.from === from && known.to === to) return;
  const until = whole.curves.loss.step.at(-1) ?? 0;
  try {
    const fine = runCurves(await getCurves(id, [from, to]));
    if (zoom.stretch !== stretch || curvesOf(id) !== whole) return;
    details.set(id, { whole, from, to, until, fine });
    page.version++;
  } catch (error) {
    page.error = `${id}: ${(error as Error).message}`;
  }
}

/** A curve of a run with the finest points that are available in the shown interval. */
export function curveOf(id: string, name: CurveName): Curve | undefined {
  const whole = curvesOf(id);
  const detail = details.get(id);
  return detail && detail.whole === whole ? withDetail(name, detail) : whole?.curves[name];
}
