// Question: when are the curves on the screen?
//
// The page's attribute `data-drawn` says for how many runs, for tests and benchmarks.

/** Call this when the charts of that many runs have their data: they draw before the next frame. */
export function drawn(runs: number): void {
  requestAnimationFrame(() => requestAnimationFrame(() => (document.documentElement.dataset.drawn = String(runs))));
}
