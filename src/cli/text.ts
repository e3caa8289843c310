// Question: how does a text that a model wrote look in a terminal?

/** About six lines of a terminal. */
const LONGEST_PRINTED = 480;

/** A text as one short paragraph for the terminal; bytes that are no text become "…". */
export function printedSample(text: string): string {
  const paragraph = text
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .replaceAll(/\uFFFD+/gu, "…")
    .trim();
  return paragraph.length > LONGEST_PRINTED ? `${paragraph.slice(0, LONGEST_PRINTED).trimEnd()}…` : paragraph;
}
