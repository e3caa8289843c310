// Question: how are records written as JSON, which has no NaN and no infinities?
//
// As strings, and read as numbers again.

/** A record of a step. */
export interface StepRecord {
  readonly step: number;
}

/** JSON cannot write these numbers, and the record of a run that diverged needs them. */
const nonFinite: ReadonlyMap<unknown, number> = new Map(
  [NaN, Infinity, -Infinity].map((value) => [String(value), value]),
);

/** JSON of a value, with NaN and the infinities as strings. */
export function formatJson(value: unknown, indentation?: number): string {
  const finite = (_: string, each: unknown): unknown =>
    typeof each === "number" && !Number.isFinite(each) ? String(each) : each;
  return JSON.stringify(value, finite, indentation);
}

/** A record as a line of JSON. */
export function formatRecord(record: StepRecord): string {
  return `${formatJson(record)}\n`;
}

/**
 * Parses JSON and turns those strings into numbers again.
 *
 * @throws SyntaxError when the text is not JSON
 */
export function parseJson(text: string): unknown {
  // A reviver for every value would take several times as long as parsing, and few lines have such a string.
  if (!text.includes('NaN"') && !text.includes('Infinity"')) return JSON.parse(text);
  return JSON.parse(text, (_, value: unknown) => nonFinite.get(value) ?? value);
}
