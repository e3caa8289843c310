// Question: does an evaluation judge as lm-evaluation-harness does, and how fast does it read?
//
// Judging: the golden vectors of test/fixtures/evaluation, made by the harness's own functions. Reading: 16 questions of
// 128 tokens with four answers of 8 tokens each are scored, and the same model reads 16 prompts of 128 tokens for
// writing (the prefill of generate.ts), in turns on two threads. Tokens count as they are read: a question once, and of
// each answer all but its last token. Scoring multiplies by the head for 29 rows of a question, reading for one.

import { createParameters } from "../src/graph/parameters.ts";
import { createGenerator } from "../src/model/generate.ts";
import { createLanes } from "../src/model/lanes.ts";
import { languageModel } from "../src/model/language-model.ts";
import { scoreContinuations } from "../src/model/score.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../src/training/initialise.ts";
import { goldenCases } from "../test/evaluation/golden.ts";
import type { Group } from "./lib/group.ts";
import { interleave } from "./lib/interleave.ts";
import { type Figure, rate, ratio } from "./lib/report.ts";
import { modelOf } from "./lib/sizes.ts";

const MISMATCHES = "eval.golden_mismatches";
const SPEED: Readonly<Record<string, "mhc" | "residual">> = {
  "eval.tokens_per_second": "mhc",
  "eval.tokens_per_second.residual": "residual",
};

const THREADS = 2;
const SIZES = { layers: "4", channels: "256", heads: "8", tokens: "256", vocabulary: "1024", threads: `${THREADS}` };
const BATCH = 16;
const QUESTION = 128;
const ANSWERS = 4;
const ANSWER = 8;

export const evaluation: Group = {
  names: [MISMATCHES, ...Object.keys(SPEED)],
  async *measure(wanted, { rounds, note }) {
    if (wanted.includes(MISMATCHES)) yield mismatches();
    for (const [name, connection] of Object.entries(SPEED)) {
      if (!wanted.includes(name)) continue;
      note(`measuring ${name}: ${rounds} rounds`);
      yield await speed(name, connection, rounds);
    }
  },
};

function mismatches(): Figure {
  const cases = [...goldenCases().values()].flat();
  const wrong = cases.filter(({ ours, theirs }) => JSON.stringify(ours) !== JSON.stringify(theirs));
  return {
    name: MISMATCHES,
    value: wrong.length,
    unit: `of ${cases.length}`,
    higher_is_better: false,
    bar: 0,
  };
}

async function speed(name: string, connection: string, rounds: number): Promise<Figure> {
  const config = modelOf({ ...SIZES, connection });
  const runtime = await createWasmRuntime({ threads: THREADS });
  try {
    const parameters = createParameters();
    const model = languageModel(config, parameters);
    for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
    const lanes = createLanes(runtime, model, { lanes: BATCH });
    const generator = createGenerator(runtime, model);
    let turn = 0;
    /** Other tokens at every turn: nothing is known from the last. */
    const text = (seed: number, length: number): number[] =>
      Array.from({ length }, (_, i) => (7 * i + 13 * seed + 101 * turn + 3) % config.vocabulary);

    const read = async (): Promise<readonly number[]> => {
      const prompts = Array.from({ length: BATCH }, (_, index) => text(index, QUESTION));
      turn++;
      const began = performance.now();
      for await (const _ of generator.generateBatch(prompts, { maxTokens: 1, temperature: 0, random: () => 0 }));
      return [performance.now() - began];
    };
    const score = async (): Promise<readonly number[]> => {
      const requests = Array.from({ length: BATCH }, (_, index) => ({
        context: text(index, QUESTION),
        continuations: Array.from({ length: ANSWERS }, (__, answer) => text(index + 31 * (answer + 1), ANSWER)),
      }));
      turn++;
      const began = performance.now();
      for await (const _ of scoreContinuations(lanes, requests));
      return [performance.now() - began];
    };
    const [ours, theirs] = await interleave(
      [
        { label: `scoring, ${connection}`, measure: score },
        { label: `prefill, ${connection}`, measure: read },
      ],
      { rounds, warmup: 2 },
    );
    const perSecond = (tokens: number) => (ms: number) => (1000 * tokens) / ms;
    return ratio(
      name,
      rate(ours!, "median", "tokens/s", perSecond(BATCH * (QUESTION + ANSWERS * (ANSWER - 1)))),
      rate(theirs!, "median", "tokens/s", perSecond(BATCH * QUESTION)),
      { higher_is_better: true, bar: 0.8 },
    );
  } finally {
    runtime.close();
  }
}
