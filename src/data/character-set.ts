// Question: which characters does a class of an expression hold?
//
// A set of code points is a list of ranges. The classes are those of Oniguruma, the library of expressions that Hugging
// Face's `tokenizers` uses, with Unicode 16: `\s` holds U+0085 and not U+FEFF, while JavaScript's is the other way round.

import { categories, categoryTable, codePoints } from "./unicode-categories.ts";

/** A first and a last code point. */
export type CodeRange = readonly [first: number, last: number];

/** A set of code points; it never changes. */
export class CharacterSet {
  /** Ascending, and with gaps between them. */
  readonly #ranges: readonly CodeRange[];
  readonly #ascii = new Uint8Array(128);

  constructor(ranges: readonly CodeRange[]) {
    const merged: [number, number][] = [];
    for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
      const before = merged.at(-1);
      if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
      else merged.push([first, last]);
    }
    this.#ranges = merged;
    for (const [first, last] of merged) if (first < 128) this.#ascii.fill(1, first, last + 1);
  }

  has(code: number): boolean {
    if (code < 128) return this.#ascii[code] === 1;
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ranges[middle]![1] < code) low = middle + 1;
      else high = middle;
    }
    return low < this.#ranges.length && this.#ranges[low]![0] <= code;
  }

  union(...others: readonly CharacterSet[]): CharacterSet {
    return new CharacterSet([this, ...others].flatMap((set) => set.#ranges));
  }

  complement(): CharacterSet {
    const gaps: CodeRange[] = [];
    let from = 0;
    for (const [first, last] of this.#ranges) {
      if (first > from) gaps.push([from, first - 1]);
      from = last + 1;
    }
    if (from < codePoints) gaps.push([from, codePoints - 1]);
    return new CharacterSet(gaps);
  }

  intersection(other: CharacterSet): CharacterSet {
    return this.complement().union(other.complement()).complement();
  }

  /** The set with the upper and lower cases of each of its characters, one for one (not `ss` for `ß`). */
  withBothCases(): CharacterSet {
    const alike = characterCases().filter((group) => group.some((code) => this.has(code)));
    return this.union(characters(...alike.flat()));
  }
}

/** The set of some characters, by their code points. */
export const characters = (...codes: readonly number[]): CharacterSet =>
  new CharacterSet(codes.map((code) => [code, code]));

/** The code point that ends at a position of a text; -1 at its start. */
export function codeBefore(text: string, position: number): number {
  if (position === 0) return -1;
  const code = position > 1 ? text.codePointAt(position - 2)! : 0;
  return code > 0xffff ? code : text.charCodeAt(position - 1);
}

/** The set of the code points for which a condition holds. */
function charactersWhere(holds: (code: number) => boolean): CharacterSet {
  const ranges: CodeRange[] = [];
  let first = -1;
  for (let code = 0; code <= codePoints; code++) {
    const isIn = code < codePoints && holds(code);
    if (isIn && first < 0) first = code;
    if (isIn || first < 0) continue;
    ranges.push([first, code - 1]);
    first = -1;
  }
  return new CharacterSet(ranges);
}

const cased: ReadonlySet<string> = new Set(["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Nl", "So"]);
let cases: readonly (readonly number[])[] | undefined;

/** Groups of characters that differ in their case only, such as k, K and the sign of Kelvin. */
function characterCases(): readonly (readonly number[])[] {
  if (cases) return cases;
  const groups = new Map<string, number[]>();
  const category = categoryTable();
  for (let code = 0; code < codePoints; code++) {
    // Only letters, and a few marks, signs and numbers, have cases; a dotless i is no other case of i.
    if (!cased.has(categories[category[code]!]!) || code === 0x131) continue;
    const character = String.fromCodePoint(code);
    const [upper, lower] = [character.toUpperCase(), character.toLowerCase()];
    if (upper === character && lower === character) continue;
    // The upper case of the lower case joins what has the same of either.
    const key = Array.from(upper.toLowerCase()).length === 1 ? upper.toLowerCase() : lower;
    const group = groups.get(key);
    if (group) group.push(code);
    else groups.set(key, [code]);
  }
  return (cases = [...groups.values()].filter((group) => group.length > 1));
}

const known = new Map<string, CharacterSet>();

function remembered(name: string, make: () => CharacterSet): CharacterSet {
  let set = known.get(name);
  if (!set) known.set(name, (set = make()));
  return set;
}

const majors: Readonly<Record<string, string>> = {
  letter: "L",
  mark: "M",
  number: "N",
  punctuation: "P",
  symbol: "S",
  separator: "Z",
  other: "C",
};

/** The characters of a general category (`Lu`), or of a group of them (`L`). */
export function categorySet(name: string): CharacterSet {
  return remembered(name, () => {
    const wanted = categories.map((category) => category === name || category[0] === name);
    const table = categoryTable();
    return charactersWhere((code) => wanted[table[code]!]!);
  });
}

/** What the engine knows by a property, without the characters that Unicode 16 lacks. */
function engineSet(property: string): CharacterSet {
  return remembered(property, () => {
    const pattern = new RegExp(`\\p{${property}}`, "u");
    const unassigned = categorySet("Cn");
    return charactersWhere((code) => pattern.test(String.fromCodePoint(code)) && !unassigned.has(code));
  });
}

/** Letters, and what the engine counts to them besides; an older engine lacks Unicode 16's letters. */
const alphabetic = (): CharacterSet =>
  remembered("alphabetic", () => engineSet("Alphabetic").union(categorySet("L"), categorySet("Nl")));

/** The set of `\p{name}`: a general category, a script or `Alphabetic`; undefined for another name. */
export function propertySet(name: string): CharacterSet | undefined {
  const plain = name.replace(/[ _-]/g, "").toLowerCase();
  if (plain === "any") return anyCharacter();
  if (plain === "alphabetic" || plain === "alpha") return alphabetic();
  if (plain === "whitespace" || plain === "space") return whiteSpace();
  const category = Object.hasOwn(majors, plain) ? majors[plain]! : plain[0]?.toUpperCase() + plain.slice(1);
  if (categories.some((each) => each === category || each[0] === category)) return categorySet(category);
  if (!/^[a-z]{3,}$/.test(plain)) return undefined;
  try {
    return engineSet(`Script=${plain[0]!.toUpperCase()}${plain.slice(1)}`);
  } catch {
    return undefined;
  }
}

export const anyCharacter = (): CharacterSet => new CharacterSet([[0, codePoints - 1]]);

/** `\s`: the characters with the property White_Space. */
export const whiteSpace = (): CharacterSet =>
  remembered("\\s", () =>
    characters(0x20, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000).union(
      new CharacterSet([
        [0x9, 0xd],
        [0x2000, 0x200a],
      ]),
    ),
  );

/** `[\w]`: letters, marks, decimal digits and connectors. */
export const wordCharactersInBrackets = (): CharacterSet =>
  remembered("[\\w]", () => alphabetic().union(categorySet("M"), categorySet("Nd"), categorySet("Pc")));

/** `\w`: outside of brackets, Oniguruma's also holds Latin-1's superscripts and fractions. */
export const wordCharacters = (): CharacterSet =>
  remembered("\\w", () => wordCharactersInBrackets().union(characters(0xb2, 0xb3, 0xb9, 0xbc, 0xbd, 0xbe)));

/** What may not touch an added token that is a word of its own: Rust's `\w`, which holds the two joiners. */
export const wordsOfAddedTokens = (): CharacterSet =>
  remembered("words of added tokens", () => wordCharactersInBrackets().union(characters(0x200c, 0x200d)));

/** Rust's `is_numeric`, which has Unicode 17: the category N, and what came to it since. */
export const numericCharacters = (): CharacterSet =>
  remembered("numeric", () =>
    categorySet("N").union(
      new CharacterSet([
        [0x11de0, 0x11de9],
        [0x16ff4, 0x16ff6],
      ]),
    ),
  );
