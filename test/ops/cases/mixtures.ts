// Question: which mixtures of experts are checked?
//
// One token, one expert, all experts active, experts without tokens, more rows than a tile and no multiple of it.

import type { OperationCase } from "../case.ts";

type Inputs = OperationCase["inputs"];

/** Scores as a sigmoid gives them: between 0 and 1. */
export const scores = (shape: readonly number[]): Inputs[string] => ({
  shape,
  values: (random) => 0.02 + 0.96 * random(),
});

/** Experts for each token; which of them are used at all is up to `among`. */
export const chosen = (tokens: number, active: number, among: (draw: number) => number): Inputs[string] => ({
  shape: [tokens, active],
  dtype: "i32",
  values: (random) => among(random()),
});

export interface Mixture {
  readonly tokens: number;
  readonly experts: number;
  readonly active: number;
  readonly channels: number;
  readonly hidden: number;
  readonly among?: (draw: number) => number;
}

export function mixtureInputs({ tokens, experts, active, among }: Mixture): Inputs {
  return { chosen: chosen(tokens, active, among ?? ((draw) => Math.floor(draw * experts))) };
}

export const show = ({ tokens, experts, active, channels, hidden }: Mixture): string =>
  `${tokens} tokens to ${active} of ${experts}, ${channels} to ${hidden} channels`;

const one: Mixture = { tokens: 1, experts: 1, active: 1, channels: 5, hidden: 3 };
const few: Mixture = { tokens: 7, experts: 3, active: 3, channels: 9, hidden: 4 };
const many: Mixture = { tokens: 67, experts: 5, active: 2, channels: 19, hidden: 21 };
/** Experts 0, 2 and 6 have no tokens. */
const gaps: Mixture = {
  tokens: 50,
  experts: 7,
  active: 2,
  channels: 8,
  hidden: 16,
  among: (draw) => [1, 3, 4, 5][Math.floor(4 * draw)]!,
};
/** One expert has all tokens, more than one block of the weight gradient's sum. */
const crowded: Mixture = { tokens: 301, experts: 3, active: 1, channels: 33, hidden: 17, among: () => 1 };

export const mixtures: readonly Mixture[] = [one, few, many, gaps, crowded];
