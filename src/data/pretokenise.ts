// Question: which boundaries may a token never cross?
//
// Text is first cut into words; merges happen only inside a word.
//
// Our rule is GPT-2's (the `ByteLevel` pre-tokenizer of Hugging Face): English contractions, then runs of letters,
// of digits, and of other signs, each with the one space before it, then white space:
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Every character falls under one of the alternatives, so all words joined are the text. It is written out by hand
// here: a table says of each character whether it is a letter, a digit, white space or another sign. Tokenizers from
// elsewhere cut by expressions first (`Split`, `Digits`), each cutting the pieces of the one before.

import { categorySet, numericCharacters, whiteSpace } from "./character-set.ts";
import { Pattern } from "./pattern.ts";
import { literalTree, matchesEmpty, parsePattern } from "./pattern-tree.ts";
import { codePoints } from "./unicode-categories.ts";

/** What becomes of the matches of an expression and of the text between them; Hugging Face's names. */
export const splitBehaviors = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;

/** A cut before the last one. `invert`: the text between the matches takes their part. */
export type SplitRule =
  | {
      readonly kind: "split";
      readonly pattern: { readonly regex: string } | { readonly text: string };
      readonly behavior: (typeof splitBehaviors)[number];
      readonly invert: boolean;
    }
  | { readonly kind: "digits"; readonly individual: boolean };

/** How a text is cut into words. */
export interface WordRule {
  /** Cuts that come first, one after the other. */
  readonly splits: readonly SplitRule[];
  /** Whether a space is put before each piece that does not start with one. */
  readonly prefixSpace: boolean;
  /** Whether pieces are cut into GPT-2's words at last. */
  readonly gpt2: boolean;
}

/** Called with each piece in order. */
type Visit = (piece: string) => void;
/** Cuts a text that is not empty into pieces that are not empty. */
type Cut = (text: string, visit: Visit) => void;

/**
 * A function that visits the words of a text in order.
 *
 * @throws SyntaxError for an expression that cannot be read, or that matches without a character
 */
export function wordCutter({ splits, prefixSpace, gpt2 }: WordRule): Cut {
  const cuts = [
    ...splits.map(splitCut),
    ...(prefixSpace ? [(text: string, visit: Visit) => visit(text.startsWith(" ") ? text : ` ${text}`)] : []),
    ...(gpt2 ? [forEachWord] : []),
  ];
  const chained = cuts.reduceRight<Cut>(
    (next, cut) => (text, visit) => cut(text, (piece) => next(piece, visit)),
    (text, visit) => visit(text),
  );
  return (text, visit) => {
    if (text !== "") chained(text, visit);
  };
}

function splitCut(rule: SplitRule): Cut {
  if (rule.kind === "digits") {
    const digit = { kind: "set", set: numericCharacters() } as const;
    const several = { kind: "repeat", body: digit, least: 1, most: Infinity, lazy: false } as const;
    return isolated(new Pattern(rule.individual ? digit : several, "digits"));
  }
  const { pattern, behavior, invert } = rule;
  const source = "regex" in pattern ? pattern.regex : pattern.text;
  const tree = "regex" in pattern ? parsePattern(source) : literalTree(source);
  if (matchesEmpty(tree)) throw new SyntaxError("it matches the empty word");
  const compiled = new Pattern(tree, source);
  if (behavior === "Isolated") return isolated(compiled);
  const arrange = behaviors[behavior];
  return (text, visit) => {
    const parts: Part[] = [];
    forEachPart(compiled, text, (start, end, isMatch) => parts.push({ start, end, isMatch: isMatch !== invert }));
    for (const { start, end } of arrange(parts)) visit(text.slice(start, end));
  };
}

const isolated =
  (pattern: Pattern): Cut =>
  (text, visit) =>
    forEachPart(pattern, text, (start, end) => visit(text.slice(start, end)));

/** The matches and the text between them. */
function forEachPart(
  pattern: Pattern,
  text: string,
  visit: (start: number, end: number, isMatch: boolean) => void,
): void {
  let done = 0;
  pattern.forEachMatch(text, (start, end) => {
    if (start > done) visit(done, start, false);
    visit(start, end, true);
    done = end;
  });
  if (done < text.length) visit(done, text.length, false);
}

interface Part {
  readonly start: number;
  readonly end: number;
  readonly isMatch: boolean;
}

type Arranged = Exclude<(typeof splitBehaviors)[number], "Isolated">;
const behaviors: Readonly<Record<Arranged, (parts: readonly Part[]) => readonly Part[]>> = {
  Removed: (parts) => parts.filter(({ isMatch }) => !isMatch),
  Contiguous: (parts) => joinedWhere(parts, (a, b) => a.isMatch === b.isMatch),
  MergedWithPrevious: (parts) => joinedWhere(parts, (a, b) => !a.isMatch && b.isMatch),
  MergedWithNext: (parts) => joinedWhere([...parts].reverse(), (a, b) => !a.isMatch && b.isMatch).reverse(),
};

/** Joins a part to the group before it where its neighbour there and it satisfy a condition. */
function joinedWhere(parts: readonly Part[], joins: (before: Part, part: Part) => boolean): Part[] {
  const groups: Part[] = [];
  let before: Part | undefined;
  for (const part of parts) {
    const group = groups.at(-1);
    if (before && group && joins(before, part)) {
      groups[groups.length - 1] = {
        start: Math.min(group.start, part.start),
        end: Math.max(group.end, part.end),
        isMatch: group.isMatch,
      };
    } else groups.push(part);
    before = part;
  }
  return groups;
}

const [OTHER, LETTER, DIGIT, SPACE] = [0, 1, 2, 3];

let kindTable: Uint8Array | undefined;

function kinds(): Uint8Array {
  if (kindTable) return kindTable;
  const [letters, digits, spaces] = [categorySet("L"), categorySet("N"), whiteSpace()];
  return (kindTable = Uint8Array.from({ length: codePoints }, (_, code) =>
    letters.has(code) ? LETTER : digits.has(code) ? DIGIT : spaces.has(code) ? SPACE : OTHER,
  ));
}

const contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/** Visits GPT-2's words of `text` in order. */
export function forEachWord(text: string, visit: (word: string) => void): void {
  const table = kinds();
  const length = text.length;
  const kindAt = (at: number): number => table[text.codePointAt(at)!]!;
  const runEnd = (start: number, kind: number): number => {
    let at = start;
    while (at < length) {
      const code = text.codePointAt(at)!;
      if (table[code] !== kind) break;
      at += code > 0xffff ? 2 : 1;
    }
    return at;
  };
  let start = 0;
  while (start < length) {
    const end = wordEnd(start);
    visit(text.slice(start, end));
    start = end;
  }

  function wordEnd(at: number): number {
    if (text[at] === "'") {
      const contraction = contractions.find((each) => text.startsWith(each, at));
      if (contraction !== undefined) return at + contraction.length;
    }
    const signs = text[at] === " " ? at + 1 : at;
    if (signs < length) {
      const kind = kindAt(signs);
      if (kind !== SPACE) return runEnd(signs, kind);
    }
    const end = runEnd(at, SPACE);
    // The last white space belongs to what follows, where there is something.
    const isAlone = end === length || end - at === 1;
    return isAlone ? end : end - 1;
  }
}
