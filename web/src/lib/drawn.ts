// Question: when are the curves on the screen? `data-drawn` of the page tells of how many runs, for tests and benchmarks.

/** Call when the charts of that many runs have been given their data: they draw before the next frame. */
export function drawn(runs: number): void {
  requestAnimationFrame(() => requestAnimationFrame(() => (document.documentElement.dataset.drawn = String(runs))));
}
