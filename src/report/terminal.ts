// Question: what does the place that a command writes to offer: how many columns, and colours?
//
// A terminal says its width; for a pipe or a file it is COLUMNS, or 80. Colours are for terminals, unless NO_COLOR is set
// (no-color.org) or TERM is dumb; FORCE_COLOR decides above both, and gives a pipe colours too.

import { wrapText } from "../basics/table.ts";

/** Where text goes: standard output, standard error, or something like them. */
export interface TextStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Narrower than this nothing is drawn: tables then end beyond the edge. */
const NARROWEST = 20;
const USUAL = 80;

/** The columns that tables and drawings may take. */
export function widthOf(stream: TextStream, { COLUMNS }: Environment = process.env): number {
  const given = stream.isTTY ? stream.columns : Number(COLUMNS);
  return given !== undefined && given >= 1 ? Math.max(NARROWEST, Math.floor(given)) : USUAL;
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "blue" | "magenta" | "cyan";

const styles: Readonly<Record<Style, readonly [on: number, off: number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
};

/** Puts text in a style, or leaves it as it is where there are no colours. */
export type Paint = (style: Style, text: string) => string;

/** How text is coloured that goes to a stream. */
export function painterOf(stream: TextStream, environment: Environment = process.env): Paint {
  if (!hasColours(stream, environment)) return (_, text) => text;
  return (style, text) => `\x1b[${styles[style][0]}m${text}\x1b[${styles[style][1]}m`;
}

export function hasColours(
  stream: TextStream,
  { FORCE_COLOR, NO_COLOR, NODE_DISABLE_COLORS, TERM }: Environment = process.env,
): boolean {
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return stream.isTTY === true && !NO_COLOR && !NODE_DISABLE_COLORS && TERM !== "dumb";
}

/** How tables and drawings fit a stream. */
export interface Look {
  readonly width: number;
  readonly paint: Paint;
}

export const lookOf = (stream: TextStream): Look => ({ width: widthOf(stream), paint: painterOf(stream) });

/**
 * Sentences as a stream shows them: a terminal breaks them between words, and a pipe gets each on one line. A line with a
 * command is never broken, so that it can be copied.
 */
export function prose(text: string, stream: TextStream): string {
  if (!stream.isTTY) return text;
  const width = widthOf(stream);
  return text
    .split("\n")
    .map((line) => (/\bbirkhoff [a-z]/.test(line) ? line : wrapText(line, width)))
    .join("\n");
}
