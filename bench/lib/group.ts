// Question: what does a file of benchmarks offer?
//
// Figures by name, measured together because they share entrants.

import type { Figure } from "./report.ts";

export type GroupOptions = {
  readonly rounds: number;
  /** Progress, for whoever waits. */
  readonly note: (text: string) => void;
};

export type Group = {
  readonly names: readonly string[];
  /** Measured only where a prefix names it: it takes long and is no figure to be judged by. */
  readonly onRequest?: boolean;
  readonly measure: (names: readonly string[], options: GroupOptions) => AsyncIterable<Figure>;
};
