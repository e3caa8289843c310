// Question: which part of what a model wrote is its answer?
//
// As in the harness: a pattern picks the first or last of its matches, and what has none is "[invalid]".

import { strip } from "./python.ts";

/** What is looked at of a written text. */
export interface Filter {
  /** The harness's name; "none" for the text as it is. */
  readonly name: string;
  apply(text: string): string;
}

const INVALID = "[invalid]";

/** The text as it is. */
export const wholeText: Filter = { name: "none", apply: (text) => text };

/** The text without white space around it. */
export const withoutSpace: Filter = { name: "remove_whitespace", apply: strip };

/**
 * A match of a pattern: of the groups that took part, the first that is not empty.
 *
 * @param pattern with the flag g; Python's `.` is written [^\n]
 */
export function matchOf(name: string, pattern: RegExp, which: "first" | "last" = "first"): Filter {
  return {
    name,
    apply(text) {
      const matches = [...text.matchAll(pattern)];
      const match = matches.at(which === "first" ? 0 : -1);
      if (!match) return INVALID;
      const groups = match.slice(1);
      // Python gives a single group as it is, and several as a tuple, of which the harness takes what is not empty.
      const found = groups.length === 0 ? match[0] : groups.length === 1 ? groups[0]! : groups.find((group) => group);
      return found === undefined ? INVALID : strip(found);
    },
  };
}
