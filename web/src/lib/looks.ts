// Question: in which colour and dash is a run drawn?
//
// A run has the colour of its connection, as in the report's figures. Runs of one connection differ in their variant:
// in shade and in dash, for neighbouring shades alone are hard to tell apart. A shown run keeps its variant whatever else
// is shown or hidden. A run that is shown again gets its old variant, unless another run has taken it meanwhile.

import { colourOf, dashes, mixed, shades } from "../../../src/report/figures/palette.ts";

export interface Look {
  /** As #rrggbb. */
  readonly colour: string;
  /** Lengths of strokes and gaps; [1, 0] is a solid line. */
  readonly dash: readonly number[];
}

const INK = { light: "#15171c", dark: "#f4f4f6" } as const;

/** @param variant 0 is the connection's colour itself */
export function lookOf(kind: string, variant: number, dark: boolean): Look {
  const share = shades[variant % shades.length]!;
  const dash = dashes[variant % dashes.length]!;
  return { colour: mixed(colourOf(kind), dark ? INK.dark : INK.light, share), dash };
}

/** A look as the background of a swatch: stripes that repeat the dashes, at half size unless it shows a piece of the line. */
export function striped({ colour, dash }: Look, whole = false): string {
  let at = 0;
  const stops = dash.map((length, index) => {
    const from = at;
    at += whole ? length : length / 2;
    return `${index % 2 === 0 ? colour : "transparent"} ${from}px ${at}px`;
  });
  return dash[1] === 0 ? colour : `repeating-linear-gradient(to right, ${stops.join(", ")})`;
}

/** Gives every shown run a variant that no other shown run of its connection has. */
export function assignVariants(
  shown: readonly string[],
  kindOf: (run: string) => string,
  variants: Map<string, number>,
  wereShown: ReadonlySet<string>,
): void {
  const taken = new Set<string>();
  const key = (run: string, variant: number): string => `${kindOf(run)} ${variant}`;
  // Runs that stay on the screen come first, so that they keep their variants.
  const order = [...shown].sort((a, b) => Number(wereShown.has(b)) - Number(wereShown.has(a)));
  for (const run of order) {
    let variant = variants.get(run) ?? 0;
    if (taken.has(key(run, variant))) for (variant = 0; taken.has(key(run, variant));) variant++;
    taken.add(key(run, variant));
    variants.set(run, variant);
  }
}
