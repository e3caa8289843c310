// Question: how do a mouse, a finger and keys move and zoom a chart?
//
// uPlot handles the mouse only. A finger's movements become the same selection; keys move the interval by quarters.

import type uPlot from "uplot";

const LEAST_DRAG = 12;
const LEAST_SELECTED = 3;

/** Moves an interval within the existing points. */
export type Show = (from: number, to: number) => void;

const clearSelection = (chart: uPlot): void => chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);

/** Zoom to the interval that was dragged over. */
export function showSelected(chart: uPlot, show: Show): void {
  const { left, width } = chart.select;
  if (width < LEAST_SELECTED) return;
  show(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
  clearSelection(chart);
}

export interface Finger {
  onpointerdown(event: PointerEvent): void;
  onpointermove(event: PointerEvent): void;
  onpointerup(event: PointerEvent): void;
  onpointercancel(event: PointerEvent): void;
}

/** Handlers for a chart's element; a tap reads a value. */
export function fingerOn(chartNow: () => uPlot | undefined, show: Show): Finger {
  let from: number | null = null;
  const placeOf = ({ clientX }: PointerEvent, { left, width }: DOMRect): number =>
    Math.max(0, Math.min(width, clientX - left));
  const end = (event: PointerEvent): void => {
    const chart = chartNow();
    if (from === null || !chart) return;
    from = null;
    if (event.type === "pointerup") showSelected(chart, show);
    else clearSelection(chart);
  };
  return {
    onpointerdown(event) {
      const chart = chartNow();
      if (event.pointerType === "mouse" || !chart) return;
      from = event.isPrimary ? placeOf(event, chart.over.getBoundingClientRect()) : null;
      if (from === null) clearSelection(chart);
    },
    onpointermove(event) {
      const chart = chartNow();
      if (from === null || !chart) return;
      const box = chart.over.getBoundingClientRect();
      const at = placeOf(event, box);
      const [left, across] = [Math.min(from, at), Math.abs(at - from)];
      chart.setSelect({ left, top: 0, width: across < LEAST_DRAG ? 0 : across, height: box.height }, false);
    },
    onpointerup: end,
    onpointercancel: end,
  };
}

/** The interval after a key, as parts of its length that both ends move by; undefined for other keys. */
export function movedBy({ key, ctrlKey, metaKey, altKey }: KeyboardEvent): readonly [number, number] | undefined {
  if (ctrlKey || metaKey || altKey) return undefined;
  const moves: Readonly<Record<string, readonly [number, number]>> = {
    "+": [0.25, -0.25],
    "=": [0.25, -0.25],
    "-": [-0.5, 0.5],
    ArrowLeft: [-0.25, -0.25],
    ArrowRight: [0.25, 0.25],
  };
  return moves[key];
}
