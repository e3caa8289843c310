// Question: what do the harness's own scoring functions give?
//
// fixtures/evaluation/golden.json.gz, made by running them; its README says where the answers come from.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { betweenDollars, normaliseFinalAnswer, sameAnswer, stripAnswer } from "../../src/evaluation/math-answers.ts";
import { scoreDrop, scoreSpans } from "../../src/evaluation/drop-score.ts";
import { exactMatch } from "../../src/evaluation/exact-match.ts";
import { withoutSpace } from "../../src/evaluation/filters.ts";
import { PythonRandom } from "../../src/evaluation/python-random.ts";
import { capitalize } from "../../src/evaluation/python.ts";
import { bbhFilter } from "../../src/evaluation/tasks/bbh.ts";
import { gsm8kFilters, gsm8kIgnored } from "../../src/evaluation/tasks/gsm8k.ts";
import { withoutMarkup } from "../../src/evaluation/tasks/hellaswag.ts";

type Judged = { readonly filtered: string; readonly em: number };

interface Golden {
  readonly bbh_cot: readonly (Judged & { readonly resp: string; readonly gold: string })[];
  readonly drop: readonly {
    readonly pred: readonly string[];
    readonly answers?: readonly (readonly string[])[];
    readonly gold?: readonly string[];
    readonly em: number;
    readonly f1: number;
  }[];
  readonly fewshot_python_random: {
    readonly seed: number;
    readonly n: number;
    readonly k: number;
    readonly calls: readonly (readonly number[])[];
  };
  readonly gsm8k: readonly ({ readonly gold: string; readonly resp: string } & Readonly<
    Record<"strict-match" | "flexible-extract", Judged>
  >)[];
  readonly hellaswag_docs: readonly {
    readonly activity_label: string;
    readonly ctx_a: string;
    readonly ctx_b: string;
    readonly endings: readonly string[];
  }[];
  readonly hellaswag_preprocess: readonly { readonly query: string; readonly choices: readonly string[] }[];
  readonly math_answers: readonly { readonly answer: string; readonly stripped: string }[];
  readonly math_equiv: readonly {
    readonly gold: string;
    readonly resp: string;
    readonly exact_match: number;
    readonly is_equiv_b: boolean;
    readonly b: string;
  }[];
  readonly minerva_normalize: readonly { readonly in: string; readonly norm: string }[];
  readonly triviaqa: readonly { readonly aliases: readonly string[]; readonly resp: string; readonly em: number }[];
}

/** A value of ours beside the harness's. */
export interface GoldenCase {
  readonly ours: unknown;
  readonly theirs: unknown;
}

const cases: { readonly [K in keyof Golden]?: (golden: Golden) => GoldenCase[] } = {
  bbh_cot: ({ bbh_cot: all }) =>
    all.map(({ resp, gold, filtered, em }) => {
      const answer = bbhFilter.apply(resp);
      return { ours: [answer, exactMatch(answer, [gold])], theirs: [filtered, em] };
    }),
  drop: ({ drop: all }) =>
    all.map(({ pred, answers, gold, em, f1 }) => {
      const score = answers ? scoreDrop(pred, answers) : scoreSpans(pred, gold!);
      return { ours: [score.em, score.f1], theirs: [em, f1] };
    }),
  fewshot_python_random({ fewshot_python_random: { seed, n, k, calls } }) {
    const random = new PythonRandom(seed);
    const population = Array.from({ length: n }, (_, index) => index);
    return calls.map((theirs) => ({ ours: random.sample(population, k), theirs }));
  },
  gsm8k: ({ gsm8k: all }) =>
    all.flatMap((one) =>
      gsm8kFilters.map(({ name, apply }) => {
        const { filtered, em } = one[name as "strict-match" | "flexible-extract"];
        const answer = apply(one.resp);
        return { ours: [answer, exactMatch(answer, [one.gold], gsm8kIgnored)], theirs: [filtered, em] };
      }),
    ),
  hellaswag_preprocess: ({ hellaswag_docs: docs, hellaswag_preprocess: all }) =>
    all.map(({ query, choices }, index) => {
      const { activity_label: label, ctx_a: first, ctx_b: second, endings } = docs[index]!;
      const question = withoutMarkup(`${label}: ${first} ${capitalize(second)}`);
      return { ours: [question, endings.map(withoutMarkup)], theirs: [query, choices] };
    }),
  math_answers: ({ math_answers: all }) =>
    all.map(({ answer, stripped }) => ({ ours: stripAnswer(answer), theirs: stripped })),
  math_equiv: ({ math_equiv: all }) =>
    all.map(({ gold, resp, b, exact_match, is_equiv_b }) => ({
      ours: [sameAnswer(betweenDollars(resp), gold) ? 1 : 0, sameAnswer(b, gold)],
      theirs: [exact_match, is_equiv_b],
    })),
  minerva_normalize: ({ minerva_normalize: all }) =>
    all.map((one) => ({ ours: normaliseFinalAnswer(one.in), theirs: one.norm })),
  triviaqa: ({ triviaqa: all }) =>
    all.map(({ aliases, resp, em }) => ({
      ours: exactMatch(withoutSpace.apply(resp), aliases, { case: true, punctuation: true }),
      theirs: em,
    })),
};

/** All cases, by the name of what is compared. */
export function goldenCases(): ReadonlyMap<string, readonly GoldenCase[]> {
  const file = new URL("../fixtures/evaluation/golden.json.gz", import.meta.url);
  const golden = JSON.parse(gunzipSync(readFileSync(file)).toString("utf8")) as Golden;
  return new Map(Object.entries(cases).map(([name, of]) => [name, of(golden)]));
}
