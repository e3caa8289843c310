// Question: when are the curves on the screen? `data-drawn` of the page tells how many runs are, for tests and benchmarks.

/** Call when the data of that many runs is there: charts redraw within a moment, and then a frame is painted. */
export function drawn(runs: number): void {
  setTimeout(() => {
    requestAnimationFrame(() => requestAnimationFrame(() => (document.documentElement.dataset.drawn = String(runs))));
  }, REDRAW_MS);
}

/** Live points come several times a second; the eye needs no more than this between two drawings. */
export const REDRAW_MS = 250;
