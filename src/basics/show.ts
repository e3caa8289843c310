// Question: how are numbers written as text?
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
