// Question: how are numbers, lists and values from outside written for people?
//
// Memory and files use units of 1024 everywhere (MiB, GiB); rates, operations and counts use SI prefixes.

const BYTES = [
  [2 ** 40, "TiB", 2],
  [2 ** 30, "GiB", 2],
  [2 ** 20, "MiB", 1],
  [2 ** 10, "KiB", 1],
] as const;

/** Bytes as 12 B, 15.0 KiB, 512.0 MiB, 74.51 GiB. */
export function showBytes(bytes: number): string {
  const [size, unit, digits] = BYTES.find(([size]) => bytes >= size) ?? [1, "B", 0];
  return `${(bytes / size).toFixed(digits)} ${unit}`;
}

const PREFIXES = [
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
] as const;

/** Three or more digits and an SI prefix: 27.0 G. */
export function withPrefix(value: number, digits = 3): string {
  const [size, prefix] = PREFIXES.find(([size]) => Math.abs(value) >= size) ?? [1, ""];
  return `${(value / size).toPrecision(digits)} ${prefix}`.trimEnd();
}

/** A whole number with commas: 12,800. */
export function showCount(value: number): string {
  return value.toLocaleString("en");
}

/** A share of one as a percentage: 6.7 %. */
export function showPercent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A decimal, or scientific notation from `most` on. */
export function showDecimal(value: number, digits: number, most = 1e5): string {
  return Math.abs(value) < most ? value.toFixed(digits) : value.toExponential(2);
}

/** A count with its noun: 1 document, 2 documents, 12,800 tokens. */
export function showMany(count: number, noun: string, plural = `${noun}s`): string {
  return `${showCount(count)} ${count === 1 ? noun : plural}`;
}

/** The longest text of a value that a message repeats. */
const LONGEST_VALUE = 120;

/** A value as a message repeats it: JSON where it has one, numbers that are not finite by their names, and not for ever. */
export function showValue(value: unknown): string {
  const text = typeof value === "number" || typeof value === "bigint" ? String(value) : jsonOf(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}

/** So many objects are looked into: in a graph, such as a model's, one would be written once for every way to it. */
const MOST_OBJECTS = 1000;

function jsonOf(value: unknown): string {
  let objects = 0;
  const counted = (_key: string, each: unknown): unknown => {
    if (typeof each === "object" && each !== null && ++objects > MOST_OBJECTS) throw new RangeError("too many objects");
    return each;
  };
  try {
    return JSON.stringify(value, counted) ?? typeof value;
  } catch {
    // It goes in a circle, is too deep or too large, or holds what JSON does not have.
    return Array.isArray(value) ? "a list" : "an object";
  }
}

/** A list in words, of which no more than the first and the last are named where there are many. */
export function showList(values: readonly (string | number)[], most = 24): string {
  if (values.length === 0) return "nothing";
  if (values.length > most) return `${values.slice(0, most - 1).join(", ")}, … or ${values.at(-1)}`;
  return values.length === 1 ? String(values[0]) : `${values.slice(0, -1).join(", ")} or ${values.at(-1)}`;
}

/** Text from outside, such as a name, for a terminal: what would steer the terminal is written out, as \\x1b. */
export function showPlain(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (control) =>
    control === "\n" || control === "\t" ? control : `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** A word as a POSIX shell reads it: quoted where it must be. */
export function shellWord(word: string): string {
  return /^[\w.,:=/+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
