// Question: what are constraints inside attention worth?
//
// mHC constrains how residual streams mix. The same sets of matrices can mix the heads of attention (model/head-mixing.ts),
// and the same connections can carry its keys and values from layer to layer (model/key-values.ts). Compared are the
// losses after training of models that differ in one of these, and what each costs in parameters and time.

import { estimatesFigure } from "../report/figures/estimates.ts";
import type { SweepCondition, SweepValue } from "../runs/sweep/definition.ts";
import { type Arm, armsOf, bitsPerByte, difference, divergedIn, excludesZero, over } from "./arms.ts";
import { briefly, modelShape, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

/** The fields of a model that are varied, each absent (null) or not. */
const fields = ["model.headMixing", "model.keyValues", "model.valueResidual"] as const;
type Change = Readonly<Partial<Record<(typeof fields)[number], SweepValue>>>;

const PLAIN = "plain";
const mhc = { kind: "mhc", streams: 4, iterations: 20 };
/** What is added to plain attention, by its name. */
const changes: Readonly<Record<string, Change>> = {
  [PLAIN]: {},
  "values of heads": { "model.headMixing": { of: "values", dynamic: true } },
  "logits of heads": { "model.headMixing": { of: "logits", dynamic: true } },
  "logits of heads, static": { "model.headMixing": { of: "logits", dynamic: false } },
  "logits of heads, unconstrained": { "model.headMixing": { of: "logits", dynamic: true, map: "unconstrained" } },
  "value residual": { "model.valueResidual": true },
  "values by residual": { "model.keyValues": { of: "values", connection: { kind: "residual" } } },
  "values by mHC": { "model.keyValues": { of: "values", connection: mhc } },
  "keys and values by mHC": { "model.keyValues": { of: "both", connection: mhc } },
};

const conditionOf = (change: Change): Record<string, SweepValue> =>
  Object.fromEntries(fields.map((field) => [field, change[field] ?? null]));
const conditions: readonly SweepCondition[] = Object.values(changes).map(conditionOf);
const textOf = (of: (field: string) => unknown): string => JSON.stringify(fields.map(of));
const names = new Map(
  Object.entries(changes).map(([name, change]) => [textOf((field) => conditionOf(change)[field]), name]),
);

const runs = (steps: number, seeds: number, base: StudyRuns["base"]): StudyRuns => ({
  base: { data: "sotu", connection: "residual", learningRate: 2e-3, steps, ...base },
  axes: {
    ...Object.fromEntries(
      fields.map((field) => {
        const values = conditions.map((condition) => JSON.stringify(condition[field]));
        return [field, [...new Set(values)].map((text) => JSON.parse(text) as SweepValue)];
      }),
    ),
    seed: seedsTo(seeds),
  },
  where: conditions,
});

/** Milliseconds of a step, the median of a run's last half. */
function stepTime({ run }: StudiedRun<unknown>): number | undefined {
  const times = run.metrics.map(({ seconds }, at) => 1000 * (seconds - (run.metrics[at - 1]?.seconds ?? 0)));
  const last = times.slice(Math.floor(times.length / 2)).sort((a, b) => a - b);
  return last[Math.floor(last.length / 2)];
}

function page(studied: readonly StudiedRun<unknown>[]): StudyPage {
  const arms = armsOf(studied, (values) => names.get(textOf((field) => values[field])) ?? "other");
  const plain = arms.find(({ label }) => label === PLAIN);
  const gapOf = (arm: Arm<unknown>) => (plain && arm !== plain ? difference(arm, plain, bitsPerByte) : undefined);
  const gaps = arms.map((arm) => ({ label: arm.label, gap: gapOf(arm) }));
  const certain = (sign: number): string[] =>
    gaps.filter(({ gap }) => excludesZero(gap) && Math.sign(gap!.mean) === sign).map(({ label }) => label);
  const [better, worse] = [certain(-1), certain(1)];
  const listed = (labels: readonly string[], what: string): string[] =>
    labels.length > 0 ? [`${what}: ${labels.join("; ")}`] : [];
  const settled = [...listed(better, "better with certainty"), ...listed(worse, "worse with certainty")];
  const shown = (label: string): string => showFound(gaps.find((one) => one.label === label)?.gap, 4, true);
  return {
    answer:
      `Beside plain attention, doubly stochastic mixing of the logits of heads ends ${shown("logits of heads")} bits per byte, ` +
      `of their values ${shown("values of heads")}, and values carried by mHC ${shown("values by mHC")} ` +
      `(${settled.length > 0 ? settled.join("; ") : "no difference is certain"}).`,
    parts: [
      {
        title: "Loss and cost",
        text: [
          "Validation bits per byte at the end, the difference from plain attention seed by seed, and the median time of a step where several runs share the machine. The connection of the sublayers is residual in all of them.",
        ],
        table: [
          ["attention", "bits per byte", `− ${PLAIN}`, "ms a step", "diverged"],
          ...arms.map((arm) => [
            arm.label,
            showFound(over(arm, bitsPerByte), 4),
            showFound(gapOf(arm), 4, true),
            showFound(over(arm, stepTime), 1),
            `${divergedIn(arm)} of ${arm.runs.length}`,
          ]),
        ],
        figure: estimatesFigure({
          name: "loss",
          title: "Loss beside that of plain attention",
          caption: "Differences of the validation loss seed by seed: means and 95 % intervals. Left of 0 is better.",
          axis: "bits per byte beside plain attention",
          differences: true,
          points: gaps.filter(({ label }) => label !== PLAIN).map(({ label, gap }) => ({ line: label, found: gap })),
        }),
      },
    ],
    notShown: [
      "The models are not made equal in parameters or in time: each change adds its own.",
      "One learning rate is tried, the same for all.",
      "Sinkhorn attention is not among them: a causal model cannot have it. examples/encoder-decoder.ts compares it with the softmax.",
      "Rankings of models of this size do not carry over to large ones.",
    ],
  };
}

export const attention: Experiment = {
  kind: "experiment",
  question: "What are constraints inside attention worth: mixed heads, and keys and values that pass on?",
  shows: "trains models whose heads mix, or whose keys and values pass from layer to layer",
  sizes: {
    tiny: runs(40, 2, {
      ...modelShape(2, 16, 2, 16),
      ...briefly(40),
      learningRate: 1e-2,
      vocabulary: 300,
      batch: 4,
      evaluateBatches: 2,
    }),
    small: runs(300, 3, { ...modelShape(4, 64, 4, 64), ...briefly(300) }),
    medium: runs(1200, 5, { ...modelShape(4, 64, 4, 64), ...briefly(1200) }),
    full: runs(2000, 5, { ...modelShape(8, 128, 8, 128), ...briefly(2000), vocabulary: 1024, batch: 16 }),
  },
  minutes: 4,
  page,
};
