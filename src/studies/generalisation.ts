// Question: does a connection generalise worse the more often it reads a text?
//
// Models of each connection learn from a share of a text, the same number of steps, so that a small share is read many
// times. Measured on windows of what was learned, on validation text, and on another text (Moby Dick, by the tokenizer
// of the first): bits per byte, accuracy and calibration. The gap is validation minus training.

import { z } from "zod";
import { createBatches, type Batch } from "../data/batches.ts";
import { readCorpus } from "../data/corpus.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { memoryTokens } from "../data/tokens.ts";
import { planDisturbing } from "../planning/here/model-memory.ts";
import { estimatesFigure } from "../report/figures/estimates.ts";
import { runBatches } from "../runs/batches.ts";
import { createJudge, createPredictor, type Judgement, type Predictor } from "../study/predictions.ts";
import type { TrainingConfig } from "../training/config.ts";
import { type Arm, armsOf, difference, excludesZero, over, type Quantity } from "./arms.ts";
import { briefly, modelShape, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

/** Batches of each text that are judged. */
const BATCHES = 16;
/** Bytes of the other text that are read; the beginning of a longer one. */
const OTHER_BYTES = 300_000;

const judgement: z.ZodType<Judgement> = z.object({
  bitsPerByte: z.number(),
  accuracy: z.number(),
  calibration: z.number(),
});
const schema: z.ZodType<Found> = z.object({
  training: judgement,
  validation: judgement,
  other: judgement,
  epochs: z.number(),
});

/** How right a model is on three texts, and how often it read what it learned from. */
interface Found {
  readonly training: Judgement;
  readonly validation: Judgement;
  readonly other: Judgement;
  readonly epochs: number;
}

type Judged = readonly [batch: Batch, bytes: number];

async function judge(predictor: Predictor, batches: Iterable<Judged>, vocabulary: number): Promise<Judgement> {
  const judged = createJudge(vocabulary);
  for (const [batch, bytes] of batches) {
    judged.add(await predictor.predict(batch), batch.targets, bytes);
    // Signals are delivered between batches, whose computation may be synchronous.
    await new Promise((resolve) => void setTimeout(resolve));
  }
  return judged.judgement();
}

/** Windows of the training text as steps read them. */
function* learned(config: TrainingConfig, data: PreparedFiles): Generator<Judged> {
  const batches = runBatches(config, data);
  const { byteLengths } = data.tokenizer;
  try {
    for (let step = 0; step < Math.min(BATCHES, config.steps); step++) {
      const batch = batches.trainingBatch(step);
      yield [batch, batch.targets.reduce((sum, id) => sum + byteLengths[id]!, 0)];
    }
  } finally {
    batches.close();
  }
}

function* validated(config: TrainingConfig, data: PreparedFiles): Generator<Judged> {
  const batches = runBatches(config, data, BATCHES);
  try {
    for (const batch of batches.validationBatches()) yield [batch, batch.bytes];
  } finally {
    batches.close();
  }
}

/** Windows of another text, with the tokens of the run's own. */
async function elsewhere({ batch, model, seed }: TrainingConfig, { tokenizer }: PreparedFiles): Promise<Judged[]> {
  const { documents } = await readCorpus({ kind: "moby-dick" });
  const text = documents
    .map((document) => document.text)
    .join("\n")
    .slice(0, OTHER_BYTES);
  const tokens = memoryTokens(tokenizer.encode(text), model.vocabulary, Buffer.byteLength(text));
  const batches = createBatches({
    train: tokens,
    validation: tokens,
    byteLengths: tokenizer.byteLengths,
    batchSize: batch,
    contextLength: model.context,
    seed,
    validationLimit: BATCHES,
  });
  return [...batches.validationBatches()].map((one) => [one, one.bytes]);
}

const gapOf: Quantity<Found> = ({ measured }) =>
  measured && measured.validation.bitsPerByte - measured.training.bitsPerByte;
const of =
  (text: "training" | "validation" | "other", what: keyof Judgement): Quantity<Found> =>
  ({ measured }) =>
    measured?.[text][what];

const connections = ["residual", "hc", "mhc"] as const;
const REFERENCE = "residual";

const runs = (base: StudyRuns["base"], shares: readonly number[], seeds: number): StudyRuns => ({
  base: { data: "sotu", learningRate: 2e-3, ...base },
  axes: { connection: connections, trainingShare: shares, seed: seedsTo(seeds) },
});

const shareOf = ({ values }: Pick<Arm<Found>, "values">): number => Number(values["trainingShare"]);
const showShare = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

function page(studied: readonly StudiedRun<Found>[]): StudyPage {
  const arms = armsOf(studied, ({ connection }) => String(connection));
  const shares = [...new Set(arms.map(shareOf))].sort((a, b) => a - b);
  const twin = (arm: Arm<Found>): Arm<Found> | undefined =>
    arms.find((other) => other.label === REFERENCE && shareOf(other) === shareOf(arm));
  const beside = (arm: Arm<Found>, quantity: Quantity<Found>): ReturnType<typeof difference> => {
    const reference = twin(arm);
    return reference && reference !== arm ? difference(arm, reference, quantity) : undefined;
  };
  const certain = (quantity: Quantity<Found>): string =>
    arms
      .flatMap((arm) => {
        const found = beside(arm, quantity);
        return found && excludesZero(found)
          ? [`\`${arm.label}\` at ${showShare(shareOf(arm))} of the text (${showFound(found, 4, true)})`]
          : [];
      })
      .join(", ") || "none";
  const epochs = (share: number): string => {
    const found = over(
      { runs: arms.filter((arm) => shareOf(arm) === share).flatMap((arm) => arm.runs) },
      ({ measured }) => measured?.epochs,
    );
    return found ? String(Number(found.mean.toPrecision(2))) : "–";
  };
  const rows = shares.flatMap((share) =>
    arms
      .filter((arm) => shareOf(arm) === share)
      .map((arm) => [
        showShare(share),
        epochs(share),
        `\`${arm.label}\``,
        showFound(over(arm, of("training", "bitsPerByte")), 3),
        showFound(over(arm, of("validation", "bitsPerByte")), 3),
        showFound(over(arm, gapOf), 3),
        showFound(beside(arm, gapOf), 4, true),
        showFound(over(arm, of("other", "bitsPerByte")), 3),
        showFound(beside(arm, of("other", "bitsPerByte")), 4, true),
      ]),
  );
  const calibrations = shares.flatMap((share) =>
    arms
      .filter((arm) => shareOf(arm) === share)
      .map((arm) => [
        showShare(share),
        `\`${arm.label}\``,
        showFound(over(arm, of("validation", "accuracy")), 4),
        showFound(over(arm, of("validation", "calibration")), 4),
        showFound(over(arm, of("other", "calibration")), 4),
      ]),
  );
  return {
    answer: `Beside \`${REFERENCE}\`, in bits per byte, those that differ with certainty: in the gap between training and validation ${certain(gapOf)}; on another text ${certain(of("other", "bitsPerByte"))}.`,
    parts: [
      {
        title: "Training, validation and another text",
        text: [
          `Bits per byte on windows of what was learned, on validation text, and on Moby Dick. The gap is validation minus training; beside it stands the difference of the gap from that of \`${REFERENCE}\`, seed by seed, and at last that of the loss on Moby Dick.`,
        ],
        table: [
          [
            "share",
            "times read",
            "connection",
            "training",
            "validation",
            "gap",
            `gap − ${REFERENCE}`,
            "Moby Dick",
            `− ${REFERENCE}`,
          ],
          ...rows,
        ],
        figure: estimatesFigure({
          name: "gap",
          title: "Gap between validation and training, by share of the text",
          caption: "Validation minus training bits per byte: means and 95 % intervals over seeds.",
          axis: "bits per byte",
          points: shares.flatMap((share) =>
            arms
              .filter((arm) => shareOf(arm) === share)
              .map((arm) => ({ line: showShare(share), series: arm.label, found: over(arm, gapOf) })),
          ),
        }),
      },
      {
        title: "Calibration",
        text: [
          "The expected calibration error of the most likely next token in 15 bins: 0 where a probability of 0.3 is right in 30 of 100 cases.",
        ],
        table: [["share", "connection", "accuracy", "calibration error", "on Moby Dick"], ...calibrations],
        figure: estimatesFigure({
          name: "calibration",
          title: "Calibration error on validation text, by share of the text",
          caption: "Expected calibration error of the most likely next token: means and 95 % intervals over seeds.",
          axis: "expected calibration error",
          points: shares.flatMap((share) =>
            arms
              .filter((arm) => shareOf(arm) === share)
              .map((arm) => ({
                line: showShare(share),
                series: arm.label,
                found: over(arm, of("validation", "calibration")),
              })),
          ),
        }),
      },
    ],
    notShown: [
      "Gaps are compared at every share: of twenty intervals one is expected to exclude 0 by chance.",
      "One learning rate and no regularisation beside weight decay are used for all.",
      "A share of the text is its beginning, the oldest addresses, and so is the validation text that is judged: a small share differs in its language too, and lies nearer to what is judged.",
      "Where a text is read less than once, the gap is no memory of it: the windows differ in how hard they are.",
      "Rankings of models of this size do not carry over to large ones.",
    ],
  };
}

export const generalisation: Experiment<Found> = {
  kind: "experiment",
  question: "Does a learned connection generalise worse, or better, than a residual one as the text gets smaller?",
  shows: "trains on shares of a text and measures the gap to validation, another text, and calibration",
  needs: ["mobyDick"],
  minutes: 4,
  sizes: {
    tiny: runs(
      { ...modelShape(1, 16, 2, 16), learningRate: 1e-2, vocabulary: 300, batch: 4, steps: 20, evaluateBatches: 2 },
      [0.1, 1],
      2,
    ),
    small: runs({ ...modelShape(3, 48, 4, 48), ...briefly(300), learningRate: 4e-3 }, [0.001, 0.01, 1], 5),
    medium: runs({ ...modelShape(4, 64, 4, 64), ...briefly(1200), learningRate: 4e-3 }, [0.001, 0.01, 0.1, 1], 5),
    full: runs(
      { ...modelShape(8, 128, 4, 128), vocabulary: 1024, batch: 16, steps: 2000 },
      [0.01, 0.03, 0.1, 0.3, 1],
      5,
    ),
  },
  measurement: {
    schema,
    plan: planDisturbing,
    async of({ config, data, runtime, signal, checkpoint, onProgress }) {
      const predictor = createPredictor(runtime, config, checkpoint());
      try {
        const { vocabulary, context } = config.model;
        const training = await judge(predictor, learned(config, data), vocabulary);
        onProgress(1 / 3);
        if (signal.aborted) return undefined;
        const validation = await judge(predictor, validated(config, data), vocabulary);
        onProgress(2 / 3);
        if (signal.aborted) return undefined;
        const other = await judge(predictor, await elsewhere(config, data), vocabulary);
        onProgress(1);
        const read = config.steps * config.batch * config.accumulate * context;
        return { training, validation, other, epochs: read / ((config.data.trainingShare ?? 1) * data.train.length) };
      } finally {
        predictor.release();
      }
    },
  },
  page,
};
