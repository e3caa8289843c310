// Question: which colour does a value of a heat map have?
//
// Gains and loads are white at 1, red above and blue below. Mixing goes from the background at 0 to blue at 1,
// and is orange below 0. The middle is the page's background, so both also work in the dark scheme.

type Colour = readonly [red: number, green: number, blue: number];

export interface Palette {
  readonly dark: boolean;
  readonly middle: Colour;
  readonly high: Colour;
  readonly low: Colour;
  readonly missing: string;
}

export function palette(dark: boolean): Palette {
  return dark
    ? { dark, middle: [38, 42, 50], high: [255, 122, 82], low: [92, 156, 255], missing: "#16181d" }
    : { dark, middle: [246, 245, 242], high: [196, 55, 24], low: [30, 86, 196], missing: "#dddcd8" };
}

/** @param position from -1 (low) over 0 (middle) to 1 (high) */
export function colourAt({ middle, high, low, missing }: Palette, position: number): string {
  if (!Number.isFinite(position)) return missing;
  const share = Math.min(1, Math.abs(position)) ** 0.8;
  const end = position < 0 ? low : high;
  return `rgb(${middle.map((from, index) => Math.round(from + (end[index]! - from) * share)).join(" ")})`;
}
