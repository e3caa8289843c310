// Question: how are curves told apart, in the report's figures and on the live page?
//
// A connection has one colour everywhere (Okabe and Ito's palette, which colour-blind readers can tell apart too).
// Several curves of a connection differ in their dashes, on the page first in their shades. This file imports nothing,
// because the page is built with it.

/** A colour for each connection. */
export const kindColours: Readonly<Record<string, string>> = {
  residual: "#7b8794",
  hc: "#d55e00",
  mhc: "#009e73",
  highway: "#cc79a7",
  dense: "#3b82c4",
  frac: "#e69f00",
  "attention-residuals": "#56b4e9",
  "gated-residual": "#9a6fb0",
  mixed: "#a0803c",
};

/** The colour of a connection that is not in the table. */
const OTHER = "#8a8a8a";

/** The colour of a connection, whatever a run's configuration calls it. */
export function colourOf(kind: string): string {
  return Object.hasOwn(kindColours, kind) ? kindColours[kind]! : OTHER;
}

/** Lengths of strokes and gaps; [1, 0] is a solid line. */
export const dashes: readonly (readonly number[])[] = [
  [1, 0],
  [6, 3],
  [2, 2],
  [8, 3, 2, 3],
  [12, 4],
];
