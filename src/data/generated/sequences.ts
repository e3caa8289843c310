// Question: which tasks ask for what stands elsewhere in a sequence?
//
//   khop    2 hops : a c b d c a b a =         from the last symbol back to where it stood before, then one to the right:
//                                              that is one hop, and the next begins there. k-hop induction of Sanford,
//                                              Hsu and Telgarsky 2024 (arXiv 2402.09268); depth log k suffices
//   recall  a 3 b 7 c 1 ; c b =                what followed each key; multi-query associative recall of Arora et al.
//                                              2023 (arXiv 2312.04927)
//   permutation_three, permutation_five
//           2 1 3 . 3 1 2 =                    1 2 3 rearranged by one permutation after the other: the new place i holds
//                                              what was at place p_i. Composition in S_5 is complete for NC¹, in S_3 it
//                                              is solvable (Merrill, Petty and Sabharwal 2024, arXiv 2404.08819)
//   bbh_word_sorting                           words in the order of the alphabet, as in BIG-Bench Hard

import type { Draw } from "./draw.ts";
import { type GeneratedTask, notOfGrammar, partsOf } from "./task.ts";
import { sortedWords } from "./words.ts";

const symbols = "abcdefghijklmnopqrstuvwxyz".split("");

/** The place one hop from `place`: after the last earlier one that holds the same symbol. */
function hop(sequence: readonly string[], place: number): number | undefined {
  const before = sequence.lastIndexOf(sequence[place]!, place - 1);
  return place > 0 && before >= 0 ? before + 1 : undefined;
}

function hopped(sequence: readonly string[], hops: number): string | undefined {
  let place: number | undefined = sequence.length - 1;
  for (let done = 0; done < hops && place !== undefined; done++) place = hop(sequence, place);
  return place === undefined ? undefined : sequence[place];
}

const HOP_SYMBOLS = symbols.slice(0, 6);
const HOP_LENGTH = 24;

export const khop: GeneratedTask = {
  about: "the symbol that k steps of induction lead to",
  difficulty: { counts: "hops", from: 1, to: 6 },
  make(draw, hops) {
    for (;;) {
      // No symbol twice in a row: a hop that stays where it is would be none.
      const sequence: string[] = [];
      while (sequence.length < HOP_LENGTH)
        sequence.push(draw.one(HOP_SYMBOLS.filter((symbol) => symbol !== sequence.at(-1))));
      if (hopped(sequence, hops) !== undefined) return `${hops} hops : ${sequence.join(" ")} =`;
    }
  },
  solve(question) {
    const [hops, sequence] = partsOf("khop", question, /^(\d+) hops : ([a-z ]+) =$/) as [string, string];
    return hopped(sequence.split(" "), Number(hops)) ?? notOfGrammar("khop", question);
  },
};

const MOST_QUERIES = 4;

export const recall: GeneratedTask = {
  about: "what followed each of several keys",
  difficulty: { counts: "pairs", from: 2, to: 16 },
  make(draw, pairs) {
    const keys = draw.some(symbols, pairs);
    const asked = draw.some(keys, Math.min(pairs, MOST_QUERIES));
    return `${keys.map((key) => `${key} ${draw.below(10)}`).join(" ")} ; ${asked.join(" ")} =`;
  },
  solve(question) {
    const [pairs, asked] = partsOf("recall", question, /^((?:[a-z] \d ?)+); ([a-z ]+) =$/) as [string, string];
    const values = new Map(Array.from(pairs.matchAll(/([a-z]) (\d)/g), ([, key, value]) => [key!, value!]));
    return asked
      .split(" ")
      .map((key) => values.get(key) ?? notOfGrammar("recall", question))
      .join(" ");
  },
};

/** Composition of permutations of `size` things. */
function permutationTask(task: string, size: number, from: number, to: number): GeneratedTask {
  const things = Array.from({ length: size }, (_, index) => String(index + 1));
  const fits = (line: readonly string[]): boolean => [...line].sort().join() === things.join();
  return {
    about: `the order of ${size} things after one permutation after the other`,
    difficulty: { counts: "permutations", from, to },
    make: (draw, count) => `${Array.from({ length: count }, () => draw.shuffled(things).join(" ")).join(" . ")} =`,
    solve(question) {
      const [all] = partsOf(task, question, /^([\d .]+) =$/);
      const permutations = all!.split(" . ").map((line) => line.split(" "));
      if (!permutations.every(fits)) notOfGrammar(task, question);
      return permutations
        .reduce((order, permutation) => permutation.map((place) => order[Number(place) - 1]!), things)
        .join(" ");
    },
  };
}

export const permutationThree: GeneratedTask = permutationTask("permutation_three", 3, 2, 8);
export const permutationFive: GeneratedTask = permutationTask("permutation_five", 5, 1, 6);

export const wordSorting: GeneratedTask = {
  about: "words in the order of the alphabet",
  difficulty: { counts: "words", from: 2, to: 20 },
  make: (draw: Draw, words) =>
    `Sort the following words alphabetically: List: ${draw.some(sortedWords, words).join(" ")}`,
  solve(question) {
    const [words] = partsOf("bbh_word_sorting", question, /^Sort the following words alphabetically: List: (.+)$/);
    return words!.split(" ").sort().join(" ");
  },
};
