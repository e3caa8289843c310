// Question: how much do runs differ that differ only in the seed?
//
// A seed decides the first weights and the order of the text. For each connection: the standard deviation of the
// validation loss and of the composite gain over seeds, and for all pairs of seeds how often their most likely next
// tokens agree, and the divergence of their next-token distributions in both directions, halved (Jeffreys).
//
//   kept of each run:  the most likely token after each of N validation tokens, and log p [K, V] after K of them
//   an interval of a number of pairs or of a deviation is by the jackknife: leave one seed out, S times
//
//     mean ± t √((S − 1)/S Σ (θ₋ₛ − mean θ₋)²)

import { z } from "zod";
import { type Estimate, jackknife } from "../basics/interval.ts";
import { mean, sampleVariance } from "../basics/numbers.ts";
import { planDisturbing } from "../planning/here/model-memory.ts";
import { estimatesFigure } from "../report/figures/estimates.ts";
import { runBatches } from "../runs/batches.ts";
import { createPredictor, mostLikely } from "../study/predictions.ts";
import { type Arm, armsOf, bitsPerByte, finite, largestGain, over } from "./arms.ts";
import { modelShape, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

/** Numbers of log p that are kept of a run, at most. */
const MOST_LOGS = 2 ** 15;
const BATCHES = 8;

/** What a run says after the same validation tokens as all others. */
interface Said {
  /** [N] */
  readonly chosen: readonly number[];
  /** [K, V], row after row, to four decimals. */
  readonly logs: readonly number[];
  readonly vocabulary: number;
}
const schema: z.ZodType<Said> = z.object({
  chosen: z.array(z.number()),
  logs: z.array(z.number()),
  vocabulary: z.number(),
});

/** The share of tokens for which two runs choose the same. */
export function agreement({ chosen: a }: Pick<Said, "chosen">, { chosen: b }: Pick<Said, "chosen">): number {
  return mean(a.map((token, at) => (token === b[at] ? 1 : 0)));
}

/** (KL(p ‖ q) + KL(q ‖ p)) / 2 of the next token, in nats. */
export function divergence(
  { logs: p, vocabulary: V }: Pick<Said, "logs" | "vocabulary">,
  q: Pick<Said, "logs">,
): number {
  let sum = 0;
  for (const [at, own] of p.entries()) {
    const other = q.logs[at]!;
    sum += (Math.exp(own) - Math.exp(other)) * (own - other);
  }
  return (sum * V) / p.length / 2;
}

/** The mean of a number of two runs, over all pairs of an arm. */
function overPairs({ runs }: Arm<Said>, of: (a: Said, b: Said) => number): Estimate | undefined {
  const said = runs.flatMap(({ measured }) => measured ?? []);
  if (said.length < 2) return undefined;
  const between = said.map((a, i) => said.map((b, j) => (j > i ? of(a, b) : 0)));
  const meanOf = (kept: readonly number[]): number =>
    mean(kept.flatMap((i) => kept.flatMap((j) => (j > i ? between[i]![j]! : []))));
  return jackknife(
    said.map((_, index) => index),
    meanOf,
    2,
  );
}

/** The standard deviation of a number over the seeds of an arm. */
function spread({ runs }: Arm<Said>, of: (run: StudiedRun<Said>) => number | undefined): Estimate | undefined {
  const values = runs.flatMap((run) => finite(of(run)));
  return values.length < 2 ? undefined : jackknife(values, (kept) => Math.sqrt(sampleVariance(kept)), 2);
}

const connections = ["residual", "hc", "mhc", "mhc:residualMap=identity"] as const;
const runs = (base: StudyRuns["base"], seeds: number): StudyRuns => ({
  base: { data: "sotu", learningRate: 2e-3, ...base },
  axes: { connection: connections, seed: seedsTo(seeds) },
});

function page(studied: readonly StudiedRun<Said>[]): StudyPage {
  const arms = armsOf(studied, ({ connection }) => String(connection));
  const lossOf = (arm: Arm<Said>): Estimate | undefined => spread(arm, bitsPerByte);
  const agreeing = (arm: Arm<Said>): Estimate | undefined => overPairs(arm, agreement);
  const diverging = (arm: Arm<Said>): Estimate | undefined => overPairs(arm, divergence);
  const phrases = arms.map(
    (arm) =>
      `\`${arm.label}\` ${showFound(lossOf(arm), 4)} bits per byte and ${showFound(agreeing(arm), 3)} of the tokens`,
  );
  const figure = (name: string, title: string, axis: string, of: (arm: Arm<Said>) => Estimate | undefined) =>
    estimatesFigure({
      name,
      title,
      caption: `${title}: the number over all seeds and its 95 % interval by the jackknife.`,
      axis,
      points: arms.map((arm) => ({ line: arm.label, found: of(arm) })),
    });
  return {
    answer: `The standard deviation of the loss over seeds, and the share of most likely tokens on which two seeds agree: ${phrases.join("; ")}.`,
    parts: [
      {
        title: "Loss and gain",
        text: [
          "Validation bits per byte and the largest composite gain at the end, and their standard deviations over seeds.",
        ],
        table: [
          ["connection", "bits per byte", "deviation", "composite gain", "deviation"],
          ...arms.map((arm) => [
            `\`${arm.label}\``,
            showFound(over(arm, bitsPerByte), 4),
            showFound(lossOf(arm), 4),
            showFound(over(arm, largestGain), 2),
            showFound(spread(arm, largestGain), 2),
          ]),
        ],
        figure: figure("loss", "Standard deviation of the loss over seeds", "bits per byte", lossOf),
      },
      {
        title: "What two seeds say",
        text: [
          "For all pairs of seeds: how often their most likely next tokens agree on validation text, and the divergence of their distributions, (KL(p ‖ q) + KL(q ‖ p)) / 2 in nats a token.",
        ],
        table: [
          ["connection", "agreement", "divergence"],
          ...arms.map((arm) => [`\`${arm.label}\``, showFound(agreeing(arm), 4), showFound(diverging(arm), 4)]),
        ],
        figure: figure("agreement", "Agreement of two seeds on the most likely token", "share of tokens", agreeing),
      },
    ],
    notShown: [
      "A seed changes the first weights and the order of the text together; which of them matters is not separated.",
      "A deviation of few seeds is known only roughly: of five normal ones the true deviation lies between 0.6 and 2.9 times the one that is found (95 %, by the chi-squared distribution), and the jackknife is too narrow where there are few.",
      "Rankings of models of this size do not carry over to large ones.",
    ],
  };
}

export const variability: Experiment<Said> = {
  kind: "experiment",
  question: "How much do runs vary that differ only in the seed, in loss, in gain and in what they say?",
  shows: "trains each connection with several seeds and compares what they say",
  minutes: 6,
  sizes: {
    tiny: runs(
      {
        ...modelShape(1, 16, 2, 16),
        learningRate: 1e-2,
        vocabulary: 300,
        batch: 4,
        steps: 20,
        gainsEvery: 10,
        evaluateBatches: 2,
      },
      3,
    ),
    small: runs({ ...modelShape(4, 64, 4, 64), vocabulary: 512, batch: 8, steps: 400, gainsEvery: 50 }, 5),
    medium: runs({ ...modelShape(4, 64, 4, 64), vocabulary: 512, batch: 8, steps: 1600, gainsEvery: 200 }, 8),
    full: runs({ ...modelShape(12, 128, 4, 128), vocabulary: 1024, batch: 16, steps: 2000, gainsEvery: 100 }, 8),
  },
  measurement: {
    schema,
    plan: planDisturbing,
    async of({ config, data, runtime, signal, checkpoint, onProgress }) {
      const { vocabulary: V } = config.model;
      const predictor = createPredictor(runtime, config, checkpoint());
      const batches = runBatches(config, data, BATCHES);
      try {
        const chosen: number[] = [];
        const logs: number[] = [];
        const rows = Math.max(1, Math.floor(MOST_LOGS / V));
        for (const [index, batch] of [...batches.validationBatches()].entries()) {
          if (signal.aborted) return undefined;
          const all = await predictor.predict(batch);
          const count = all.length / V;
          for (let row = 0; row < count; row++) chosen.push(mostLikely(all, row, V));
          const wanted = Math.min(count, rows - logs.length / V);
          for (const value of all.subarray(0, wanted * V)) logs.push(Math.round(1e4 * value) / 1e4);
          onProgress((index + 1) / batches.validationCount);
          await new Promise((resolve) => void setTimeout(resolve));
        }
        return { chosen, logs, vocabulary: V };
      } finally {
        batches.close();
        predictor.release();
      }
    },
  },
  page,
};
