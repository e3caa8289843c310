// Question: which tasks ask for the brackets that are still open?
//
//   bbh_dyck_languages  Complete the rest of the sequence, making sure that the parentheses are closed properly.
//                       Input: { [ ( )                                         as in BIG-Bench Hard; the answer is ] }
//   dyck                { [ ( ) =                                              the same without words

import type { Draw } from "./draw.ts";
import { type GeneratedTask, notOfGrammar, partsOf } from "./task.ts";

const closing: Readonly<Record<string, string>> = { "[": "]", "{": "}", "<": ">", "(": ")" };

/** What is still to be closed, the innermost first; undefined where a bracket closes what is not open. */
function stillOpen(brackets: readonly string[]): string[] | undefined {
  const open: string[] = [];
  for (const bracket of brackets) {
    if (Object.hasOwn(closing, bracket)) open.push(closing[bracket]!);
    else if (open.pop() !== bracket) return undefined;
  }
  return open.reverse();
}

/** A start of a balanced sequence in which `open` brackets are open, after up to six closed pairs for each. */
function beginning(draw: Draw, open: number): string {
  const balanced = (pairs: number): string[] => {
    if (pairs === 0) return [];
    const bracket = draw.one(Object.keys(closing));
    const inside = draw.below(pairs);
    return [bracket, ...balanced(inside), closing[bracket]!, ...balanced(pairs - 1 - inside)];
  };
  const places = Array.from({ length: open }, () => [draw.one(Object.keys(closing)), ...balanced(draw.between(0, 3))]);
  return [...balanced(draw.between(0, 3)), ...places.flat()].join(" ");
}

const words = "Complete the rest of the sequence, making sure that the parentheses are closed properly. Input: ";

const closed = (task: string, question: string, pattern: RegExp): string =>
  stillOpen(partsOf(task, question, pattern)[0]!.split(" "))?.join(" ") ?? notOfGrammar(task, question);

export const dyckLanguages: GeneratedTask = {
  about: "the brackets that close a sequence of four kinds of brackets",
  difficulty: { counts: "brackets left open", from: 1, to: 4 },
  make: (draw, open) => words + beginning(draw, open),
  solve: (question) => closed("bbh_dyck_languages", question, /Input: ([[\]{}<>() ]+)$/),
};

export const dyck: GeneratedTask = {
  about: "the brackets that close a sequence, without words",
  difficulty: { counts: "brackets left open", from: 1, to: 8 },
  make: (draw, open) => `${beginning(draw, open)} =`,
  solve: (question) => closed("dyck", question, /^([[\]{}<>() ]+) =$/),
};
