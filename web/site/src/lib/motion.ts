// Question: how does something on the page move?
//
// A movement is a function of the seconds that have passed. It runs only while it can be seen, and not at all for people
// who ask for less motion: every figure has buttons or sliders that show the same.

/** Whether motion is not wanted. */
export const prefersStill = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Call `frame` with the seconds since the last frame while `element` is on the screen; the result ends it. */
export function whileSeen(element: Element, frame: (seconds: number) => void): () => void {
  let [id, before, shown] = [0, 0, false];
  const tick = (now: number): void => {
    frame(Math.min(0.1, (now - before) / 1000));
    before = now;
    id = requestAnimationFrame(tick);
  };
  const observer = new IntersectionObserver(([entry]) => {
    const seen = entry?.isIntersecting === true;
    if (seen === shown) return;
    shown = seen;
    cancelAnimationFrame(id);
    if (!seen) return;
    before = performance.now();
    id = requestAnimationFrame(tick);
  });
  observer.observe(element);
  return () => {
    observer.disconnect();
    cancelAnimationFrame(id);
  };
}
