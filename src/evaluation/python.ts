// Question: what do Python's functions on text give, on which the rules of lm-evaluation-harness rest?
//
// JavaScript's have other edges: its white space and `\b` cover other characters, `.` stops at more line ends, lengths
// count UTF-16 units, and numbers are printed in another form.

/** str.isspace, as a class of a regular expression. */
const SPACE = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]`;
const outerSpace = new RegExp(`^${SPACE}+|${SPACE}+$`, "g");
const lastSpace = new RegExp(`${SPACE}+$`);
const spaces = new RegExp(`${SPACE}+`);

/** str.strip() */
export const strip = (text: string): string => text.replace(outerSpace, "");

/** str.rstrip() */
export const stripEnd = (text: string): string => text.replace(lastSpace, "");

/** str.split() */
export const splitWords = (text: string): string[] => text.split(spaces).filter((word) => word !== "");

/** What a loop over a str gives: code points. */
export const charactersOf = (text: string): string[] => Array.from(text);

/** len(str) */
export const lengthOf = (text: string): number => charactersOf(text).length;

/** str.translate without ASCII punctuation. */
export const withoutPunctuation = (text: string): string =>
  charactersOf(text)
    .filter((char) => !punctuation.has(char))
    .join("");

/** str.capitalize(): the first letter large, and all others small. */
export function capitalize(text: string): string {
  const [first = "", ...rest] = charactersOf(text);
  const [large = "", ...others] = charactersOf(first.toUpperCase());
  return large + [...others, ...rest].join("").toLowerCase();
}

/** str.isdigit(): decimal digits of any script, and raised and lowered ones. */
export const isDigits = (text: string): boolean => /^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u.test(text);

const number = /^[+-]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?$/i;
const named: readonly (readonly [RegExp, number])[] = [
  [/^\+?inf(?:inity)?$/i, Infinity],
  [/^-inf(?:inity)?$/i, -Infinity],
  [/^[+-]?nan$/i, NaN],
];

/** float(text), or undefined where Python raises ValueError. */
export function parseFloatText(text: string): number | undefined {
  const bare = strip(text);
  if (number.test(bare)) return Number(bare.replaceAll("_", ""));
  return named.find(([pattern]) => pattern.test(bare))?.[1];
}

/** repr(float): the shortest digits, with ".0" and from 1e16 on, or below 1e-4, with an exponent of two digits. */
export function showFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, exponent] = value.toExponential().split("e") as [string, string];
    return `${digits}e${exponent.replace(/^([+-])(\d)$/, "$10$2")}`;
  }
  const sign = Object.is(value, -0) ? "-" : "";
  return Number.isInteger(value) ? `${sign}${value}.0` : `${value}`;
}

/** string.punctuation, as a set. */
const punctuation: ReadonlySet<string> = new Set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

/** numpy's round: to so many decimals, halves to even. */
export function roundHalfEven(value: number, decimals: number): number {
  const scale = 10 ** decimals;
  const scaled = value * scale;
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
  return (up ? below + 1 : below) / scale;
}

/** numpy's mean of up to 128 numbers: its eight partial sums are another order than one by one. */
export function numpyMean(values: readonly number[]): number {
  const whole = values.length - (values.length % 8);
  if (whole === 0) return values.reduce((sum, value) => sum + value, 0) / values.length;
  const sums = values.slice(0, 8);
  for (let i = 8; i < whole; i++) sums[i % 8]! += values[i]!;
  const [a, b, c, d, e, f, g, h] = sums as [number, number, number, number, number, number, number, number];
  const begun = a + b + (c + d) + (e + f + (g + h));
  return values.slice(whole).reduce((sum, value) => sum + value, begun) / values.length;
}
