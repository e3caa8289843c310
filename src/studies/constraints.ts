// Question: can the constraint on H_res be learned?
//
// The same model with H_res from different sets: fixed ones (identity, rows only, Sinkhorn-Knopp, exact) and ones that
// learn something of the constraint. Compared are the validation loss and how far the composite gains leave 1.

import { estimatesFigure } from "../report/figures/estimates.ts";
import { type Arm, armsOf, bitsPerByte, difference, divergedIn, excludesZero, over } from "./arms.ts";
import { modelShape, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

const connections = [
  "residual",
  "hc",
  "mhc",
  "mhc:residualMap=identity",
  "mhc:residualMap=row-softmax",
  "mhc:residualMap=birkhoff-newton",
] as const;

/** What all the others are compared with. */
const REFERENCE = "mhc";

const runs = (base: StudyRuns["base"], seeds: number): StudyRuns => ({
  base: { data: "sotu", learningRate: 2e-3, ...base },
  axes: { connection: connections, seed: seedsTo(seeds) },
});
/** The last composite gain of the streams: the largest over all sublayers and both directions. */
export function largestGain<M>({ run }: StudiedRun<M>): number | undefined {
  const composite = run.gains.findLast((record) => record.composite)?.composite;
  return composite && Math.max(...composite.forward, ...composite.backward);
}

function page(studied: readonly StudiedRun<unknown>[]): StudyPage {
  const arms = armsOf(studied, ({ connection }) => String(connection));
  const reference = arms.find(({ label }) => label === REFERENCE);
  const losses = (arm: Arm<unknown>) => over(arm, bitsPerByte);
  const gap = (arm: Arm<unknown>) =>
    reference && arm !== reference ? difference(arm, reference, bitsPerByte) : undefined;
  const better = arms.filter((arm) => {
    const found = gap(arm);
    return found && excludesZero(found) && found.mean < 0;
  });
  const worse = arms.filter((arm) => {
    const found = gap(arm);
    return found && excludesZero(found) && found.mean > 0;
  });
  const names = (list: readonly Arm<unknown>[]): string =>
    list.map((arm) => `\`${arm.label}\` (${showFound(gap(arm), 4, true)})`).join(", ") || "none";
  return {
    answer: `Beside \`${REFERENCE}\` (${showFound(reference && losses(reference), 4)} bits per byte), better with certainty: ${names(better)}; worse with certainty: ${names(worse)}.`,
    parts: [
      {
        title: "Loss and gain",
        text: [
          `Validation bits per byte at the end, the difference from \`${REFERENCE}\` seed by seed, and the largest composite gain of the last measurement.`,
        ],
        table: [
          ["connection", "bits per byte", `− ${REFERENCE}`, "composite gain", "diverged"],
          ...arms.map((arm) => [
            `\`${arm.label}\``,
            showFound(losses(arm), 4),
            showFound(gap(arm), 4, true),
            showFound(over(arm, largestGain), 2),
            `${divergedIn(arm)} of ${arm.runs.length}`,
          ]),
        ],
        figure: estimatesFigure({
          name: "loss",
          title: "Loss beside that of mHC, by connection",
          caption: "Differences of the validation loss seed by seed: means and 95 % intervals. Left of 0 is better.",
          axis: "bits per byte beside mhc",
          differences: true,
          points: arms.map((arm) => ({ line: arm.label, found: gap(arm) })),
        }),
      },
    ],
    notShown: [
      "Rankings of models of this size do not carry over to large ones.",
      "One learning rate is used for all.",
    ],
  };
}

export const constraints: Experiment = {
  kind: "experiment",
  question: "Can the constraint on the mixing be learned while its guarantee is kept?",
  shows: "trains mHC with fixed and with learned constraints",
  sizes: {
    tiny: runs(
      {
        ...modelShape(2, 16, 2, 16),
        learningRate: 1e-2,
        vocabulary: 300,
        batch: 4,
        steps: 40,
        gainsEvery: 20,
        evaluateBatches: 2,
      },
      2,
    ),
    small: runs({ ...modelShape(8, 64, 4, 64), vocabulary: 512, batch: 8, steps: 300, gainsEvery: 50 }, 3),
    full: runs({ ...modelShape(24, 128, 8, 128), vocabulary: 1024, batch: 16, steps: 2000, gainsEvery: 100 }, 5),
  },
  page,
};
