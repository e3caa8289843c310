// Question: how many streams, and does depth pay where the connection is learned?
//
// Two parts, with the same seeds and the same text:
//
//   streams   one shape; a residual model, mHC with 1 to 16 streams, Frac-connections (streams of a part of the width)
//   shapes    layers × width² is the same, so that all shapes need about the same operations a token: from shallow and
//             wide to deep and narrow; a residual model and mHC

import { estimatesFigure } from "../report/figures/estimates.ts";
import { type Arm, armsOf, bitsPerByte, difference, excludesZero, largestGain, over, type Quantity } from "./arms.ts";
import { NONE, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

const REFERENCE = "residual";
const MHC = "mhc";

/** mHC has four streams unless it says otherwise. */
const ofStreams = (count: number): string => (count === 4 ? MHC : `mhc:streams=${count}`);

interface Shape {
  readonly layers: number;
  readonly width: number;
}

const fieldsOf = ({ layers, width }: Shape): Readonly<Record<string, number>> => ({
  "model.layers": layers,
  "model.width": width,
  "model.hidden": 3 * width,
});

/** @param shapes the first is the one at which streams are varied */
function runs(base: StudyRuns["base"], streams: readonly number[], shapes: readonly Shape[], seeds: number): StudyRuns {
  const [usual] = shapes;
  const connections = [REFERENCE, ...streams.map(ofStreams), "frac"];
  const valuesOf = (field: string): number[] => [...new Set(shapes.map((shape) => fieldsOf(shape)[field]!))];
  return {
    base: { data: "sotu", learningRate: 2e-3, "model.heads": 2, "model.kvHeads": 2, ...base },
    axes: {
      connection: connections,
      "model.layers": valuesOf("model.layers"),
      "model.width": valuesOf("model.width"),
      "model.hidden": valuesOf("model.hidden"),
      seed: seedsTo(seeds),
    },
    where: [
      { ...fieldsOf(usual!), connection: connections },
      ...shapes.map((shape) => ({ ...fieldsOf(shape), connection: [REFERENCE, MHC] })),
    ],
  };
}

const shapeOf = ({ values }: Pick<Arm<unknown>, "values">): string =>
  `${String(values["model.layers"])} × ${String(values["model.width"])}`;
const milliseconds: Quantity<unknown> = ({ result }) => (1000 * result.seconds) / result.steps;

function page(studied: readonly StudiedRun<unknown>[]): StudyPage {
  const arms = armsOf(studied, ({ connection }) => String(connection));
  const shapes = [...new Set(arms.map(shapeOf))];
  const at = (shape: string): Arm<unknown>[] => arms.filter((arm) => shapeOf(arm) === shape);
  // The shape with the most connections.
  const usual = shapes.toSorted((a, b) => at(b).length - at(a).length)[0]!;
  const beside = (arm: Arm<unknown>, quantity: Quantity<unknown>): ReturnType<typeof difference> => {
    const reference = at(shapeOf(arm)).find(({ label }) => label === REFERENCE);
    return reference && reference !== arm ? difference(arm, reference, quantity) : undefined;
  };
  const row = (arm: Arm<unknown>): string[] => [
    `\`${arm.label}\``,
    showFound(over(arm, bitsPerByte), 4),
    showFound(beside(arm, bitsPerByte), 4, true),
    showFound(over(arm, largestGain), 2),
    showFound(over(arm, milliseconds), 1),
  ];
  const head = ["connection", "bits per byte", `− ${REFERENCE}`, "composite gain", "ms a step"];
  const gains = shapes.flatMap((shape) => {
    const mhc = at(shape).find(({ label }) => label === MHC);
    const found = mhc && beside(mhc, bitsPerByte);
    return found ? [`${showFound(found, 4, true)} at ${shape}${excludesZero(found) ? "" : " (not certain)"}`] : [];
  });
  const best = at(usual)
    .flatMap((arm) => {
      const found = over(arm, bitsPerByte);
      return found ? [{ arm, found }] : [];
    })
    .toSorted((a, b) => a.found.mean - b.found.mean)[0];
  return {
    answer: `At ${usual} (layers × width) the least loss is that of \`${best?.arm.label ?? NONE}\` (${showFound(best?.found, 4)} bits per byte${best && best.arm.label !== REFERENCE ? `; beside \`${REFERENCE}\` ${showFound(beside(best.arm, bitsPerByte), 4, true)}` : ""}). mHC beside a residual model of the same shape: ${gains.join("; ") || "not measured"}.`,
    parts: [
      {
        title: "Streams",
        text: [`At ${usual}. The time of a step is that of training beside other runs, so it is rough.`],
        table: [head, ...at(usual).map(row)],
        figure: estimatesFigure({
          name: "loss",
          title: "Loss beside that of the residual model, by number of streams",
          caption: "Differences of the validation loss seed by seed: means and 95 % intervals. Left of 0 is better.",
          axis: "bits per byte beside residual",
          differences: true,
          points: at(usual).map((arm) => ({ line: arm.label, found: beside(arm, bitsPerByte) })),
        }),
      },
      {
        title: "Deep and narrow, or shallow and wide",
        text: [
          "Layers × width² is the same for all, so the matrices need the same operations a token; attention over the context does not count.",
        ],
        table: [
          ["layers × width", ...head],
          ...shapes.flatMap((shape) =>
            at(shape)
              .filter(({ label }) => label === REFERENCE || label === MHC)
              .map((arm) => [shape, ...row(arm)]),
          ),
        ],
        figure: estimatesFigure({
          name: "shapes",
          title: "Loss by shape, at the same operations a token",
          caption: "Validation loss: means and 95 % intervals over seeds.",
          axis: "bits per byte",
          points: shapes.flatMap((shape) =>
            at(shape)
              .filter(({ label }) => label === REFERENCE || label === MHC)
              .map((arm) => ({ line: shape, series: arm.label, found: over(arm, bitsPerByte) })),
          ),
        }),
      },
    ],
    notShown: [
      "One learning rate is used for all shapes; a deep model may want a lower one.",
      "A narrow model has fewer parameters in its embedding and its head.",
      "Rankings of models of this size do not carry over to large ones.",
    ],
  };
}

export const streams: Experiment = {
  kind: "experiment",
  question: "How many streams pay, and does a deep and narrow model with mHC beat a shallow and wide one?",
  shows: "trains mHC with 1 to 16 streams, and shapes of equal operations",
  sizes: {
    tiny: runs(
      { context: 16, learningRate: 1e-2, vocabulary: 300, batch: 4, steps: 20, gainsEvery: 10, evaluateBatches: 2 },
      [1, 4],
      [
        { layers: 1, width: 32 },
        { layers: 4, width: 16 },
      ],
      2,
    ),
    small: runs(
      { context: 64, vocabulary: 512, batch: 8, steps: 250, gainsEvery: 50 },
      [1, 2, 4, 8],
      [
        { layers: 6, width: 64 },
        { layers: 24, width: 32 },
      ],
      3,
    ),
    full: runs(
      { context: 128, vocabulary: 1024, batch: 16, steps: 2000, gainsEvery: 100 },
      [1, 2, 3, 4, 6, 8, 12, 16],
      [
        { layers: 16, width: 128 },
        { layers: 4, width: 256 },
        { layers: 64, width: 64 },
      ],
      5,
    ),
  },
  page,
};
