// Question: is an answer the gold answer, letter by letter?
//
// The harness's `exact_match`: both sides first lose what the patterns match, then their case and their punctuation.

import { withoutPunctuation } from "./python.ts";

/** What does not count in a comparison. */
export interface Ignored {
  readonly patterns?: readonly RegExp[];
  readonly case?: boolean;
  /** ASCII punctuation. */
  readonly punctuation?: boolean;
}

/** 1 where the answer equals one of the gold answers, else 0. */
export function exactMatch(answer: string, golds: readonly string[], ignored: Ignored = {}): number {
  const bare = (text: string): string => {
    const kept = (ignored.patterns ?? []).reduce((rest, pattern) => rest.replace(pattern, ""), text);
    const cased = ignored.case ? kept.toLowerCase() : kept;
    return ignored.punctuation ? withoutPunctuation(cased) : cased;
  };
  const wanted = bare(answer);
  return golds.some((gold) => bare(gold) === wanted) ? 1 : 0;
}
