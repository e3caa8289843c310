// Question: what does a file of benchmarks offer?
//
// It offers figures by name. They are measured together because they share entrants.

import type { Figure } from "./report.ts";

export type GroupOptions = {
  readonly rounds: number;
  /** Reports progress to the user. */
  readonly note: (text: string) => void;
};

export type Group = {
  readonly names: readonly string[];
  /** Whether it is measured only if a prefix names it, because it takes long and does not rate the library. */
  readonly onRequest?: boolean;
  readonly measure: (names: readonly string[], options: GroupOptions) => AsyncIterable<Figure>;
};
