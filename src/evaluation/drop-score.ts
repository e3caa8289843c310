// Question: how near is an answer to a gold answer of DROP?
//
// Exact match and F1 of bags of words (Dua et al. 2019, arXiv 1903.00161), as in the harness: words are small, without
// punctuation and articles, and numbers are written as floats; spans of both sides are paired for the largest sum of F1;
// spans with other numbers than the gold span's do not count; the mean is taken over the longer of both lists.

import { bestAssignment } from "./assignment.ts";
import {
  numpyMean,
  parseFloatText,
  roundHalfEven,
  showFloat,
  splitWords,
  strip,
  withoutPunctuation,
} from "./python.ts";

/** Python's \b(a|an|the)\b over Unicode. */
const articles = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

const isNumber = (text: string): boolean => parseFloatText(text) !== undefined;

function normalise(answer: string): string {
  const words = answer.split(/ |-/).map((token) => {
    const small = token.toLowerCase();
    const bare = isNumber(small) ? small : withoutPunctuation(small);
    const value = parseFloatText(bare);
    return splitWords((value === undefined ? bare : showFloat(value)).replace(articles, " ")).join(" ");
  });
  return strip(words.filter((word) => word !== "").join(" "));
}

function f1(predicted: ReadonlySet<string>, gold: ReadonlySet<string>): number {
  const shared = [...gold].filter((word) => predicted.has(word)).length;
  const precision = predicted.size === 0 ? 1 : shared / predicted.size;
  const recall = gold.size === 0 ? 1 : shared / gold.size;
  return precision === 0 && recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}

function sameNumbers(gold: ReadonlySet<string>, predicted: ReadonlySet<string>): boolean {
  const numbers = [...gold].filter(isNumber);
  return numbers.length === 0 || numbers.some((number) => predicted.has(number));
}

export interface DropScore {
  readonly em: number;
  readonly f1: number;
}

/** The spans of an answer beside those of one gold answer; f1 is rounded to two decimals. */
export function scoreSpans(predicted: readonly string[], gold: readonly string[]): DropScore {
  const [spans, goldSpans] = [predicted.map(normalise), gold.map(normalise)];
  const [bags, goldBags] = [spans, goldSpans].map((list) => list.map((span) => new Set(splitWords(span))));
  const [set, goldSet] = [new Set(spans), new Set(goldSpans)];
  const same = spans.length === goldSpans.length && set.size === goldSet.size && [...set].every((s) => goldSet.has(s));
  const scores = goldBags!.map((goldBag) => bags!.map((bag) => (sameNumbers(goldBag, bag) ? f1(bag, goldBag) : 0)));
  const best = Array.from({ length: Math.max(spans.length, goldSpans.length) }, () => 0);
  for (const [row, column] of bestAssignment(scores)) best[row] = scores[row]![column]!;
  return { em: same ? 1 : 0, f1: roundHalfEven(numpyMean(best), 2) };
}

/** The best of several gold answers; those whose first span is empty do not count. */
export function scoreDrop(predicted: readonly string[], golds: readonly (readonly string[])[]): DropScore {
  const scores = golds.filter(([first = ""]) => strip(first) !== "").map((gold) => scoreSpans(predicted, gold));
  return {
    em: Math.max(0, ...scores.map(({ em }) => em)),
    f1: Math.max(0, ...scores.map(({ f1: value }) => value)),
  };
}
