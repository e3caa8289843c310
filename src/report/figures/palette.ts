// Question: how are curves told apart, in every picture of the project and on the live page?
//
// A connection has one colour everywhere, light and dark (Okabe and Ito's palette, which colour-blind readers can tell
// apart too): in the README's picture, the report, the page, a sweep's chart and the pictures of the documentation.
// Several curves of a connection differ in their shades, then in their dashes. This file imports nothing, because the
// page is built with it.

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

/** How far each shade is from the connection's colour towards that of the ink. */
export const shades: readonly number[] = [0, 0.38, 0.64];

/** A colour on the way from one to another, all as #rrggbb. */
export function mixed(from: string, to: string, share: number): string {
  const channel = (colour: string, index: number): number => parseInt(colour.slice(1 + 2 * index, 3 + 2 * index), 16);
  const channels = [0, 1, 2].map((index) =>
    Math.round(channel(from, index) * (1 - share) + channel(to, index) * share),
  );
  return `#${channels.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
