// One token, one expert, all experts active.

import { chooseExperts } from "../../../src/ops/expert-choice.ts";
import type { OperationCase } from "../case.ts";
import { scores } from "./mixtures.ts";

const overItself = {
  forward: 1e-5,
  gradient: 1e-3,
  why: "the exact gradient is zero: only rounding, of some 1e-7, is left to compare with the least scale of 1e-3",
};

function choiceCase(
  tokens: number,
  experts: number,
  active: number,
  options: { readonly scale?: number; readonly normalise?: boolean } = {},
): OperationCase {
  return {
    name: `expertChoice of ${active} among ${experts} for ${tokens} tokens ${JSON.stringify(options)}`,
    inputs: { scores: scores([tokens, experts]), bias: { shape: [experts], values: (random) => 0.4 * random() } },
    constant: ["bias"],
    build: ({ scores, bias }) => chooseExperts(scores!, bias!, { active, ...options }).weights,
    ...(active === 1 && options.normalise ? { tolerance: overItself } : {}),
  };
}

export const expertChoiceCases: readonly OperationCase[] = [
  choiceCase(1, 1, 1),
  choiceCase(3, 5, 5),
  choiceCase(51, 9, 2),
  choiceCase(97, 16, 4, { scale: 2.5 }),
  choiceCase(51, 9, 1, { scale: 1.5 }),
  choiceCase(20, 9, 1, { normalise: true }),
  choiceCase(20, 9, 3, { scale: 2.5, normalise: false }),
];
