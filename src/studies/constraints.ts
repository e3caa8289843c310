// Question: can the constraint on H_res be learned?
//
// The same model with H_res from different sets: free (HC), fixed ones (identity, rows only, Sinkhorn-Knopp, exact), and
// ones that learn something of the constraint while a bound on the composite gain holds (connections/manifolds/learned-*).
// Compared are the validation loss, the composite gains beside their bound, and what was learned of the constraint.

import { z } from "zod";
import { mean } from "../basics/numbers.ts";
import type { Estimate } from "../basics/interval.ts";
import { MOST_FORGOTTEN } from "../connections/manifolds/learned-marginals.ts";
import { learnedSlack } from "../connections/manifolds/learned-slack.ts";
import { gainBound, type ResidualMap } from "../connections/manifolds/residual-map.ts";
import { type ResidualMapName, residualMaps } from "../connections/manifolds/table.ts";
import type { ConnectionConfig } from "../connections/table.ts";
import { sublayerConnections } from "../model/overrides.ts";
import { estimatesFigure } from "../report/figures/estimates.ts";
import type { SavedTensor } from "../training/state.ts";
import { type Arm, armsOf, bitsPerByte, difference, divergedIn, excludesZero, largestGain, over } from "./arms.ts";
import { modelShape, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, Measurement, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

/** What all the others are compared with. */
const REFERENCE = "mhc";

/** The slack falls to zero over the first half of the training where it falls. */
const connections = (steps: number): string[] => [
  "residual",
  "hc",
  REFERENCE,
  "mhc:residualMap=identity",
  "mhc:residualMap=row-softmax",
  "mhc:residualMap=birkhoff-newton",
  "mhc:residualMap=learned-temperature",
  "mhc:residualMap=learned-marginals",
  "mhc:residualMap=learned-mixture",
  "mhc:residualMap=learned-slack",
  "mhc:residualMap=learned-slack:slackPenalty=0.01",
  `mhc:residualMap=learned-slack:slackSteps=${steps / 2}`,
];

const runs = (steps: number, seeds: number, base: StudyRuns["base"]): StudyRuns => ({
  base: { data: "sotu", learningRate: 2e-3, steps, ...base },
  axes: { connection: connections(steps), seed: seedsTo(seeds) },
});

/** What a sublayer learned of its constraint, from the fixed logits of its map, one number each. */
const learned: Partial<
  Record<ResidualMapName, Readonly<Record<string, (fixed: readonly number[], n: number) => number>>>
> = {
  "learned-temperature": { "temperature τ": ([t = 0]) => 8 ** -Math.tanh(t) },
  "learned-marginals": {
    "share that is forgotten, m/n": (fixed, n) => MOST_FORGOTTEN / (1 + Math.exp(-fixed[2 * n]!)) / n,
  },
  "learned-mixture": {
    "weight of the token's own matrix": (fixed) => softmax(fixed)[0]!,
    "weight of the identity": (fixed) => softmax(fixed)[1]!,
  },
  "learned-slack": {
    "slack in use, root of the mean of tanh²": (fixed, n) =>
      Math.sqrt(mean(fixed.slice(0, 2 * n).map((value) => Math.tanh(value) ** 2))),
  },
};

function softmax(values: readonly number[]): number[] {
  const powers = values.map((value) => Math.exp(value - Math.max(...values)));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/** Of each quantity its value in every sublayer. */
type Learned = Readonly<Record<string, readonly number[]>>;

const measurement: Measurement<Learned> = {
  schema: z.record(z.string(), z.array(z.number())),
  plan: () => ({ runtimeBytes: 0, machineBytes: 0 }),
  of({ config, checkpoint, onProgress }) {
    const biases = checkpoint().model.filter(({ name }) => name.endsWith(".connection.bias"));
    const found: Record<string, number[]> = {};
    for (const [index, connection] of sublayerConnections(config.model).entries()) {
      const quantities = connection.kind === "mhc" ? (learned[connection.residualMap ?? "sinkhorn"] ?? {}) : {};
      for (const [name, of] of Object.entries(quantities))
        (found[name] ??= []).push(of(...fixedOf(connection, biases[index])));
    }
    onProgress(1);
    return Promise.resolve(found);
  },
};

/** The learned ones of the fixed logits of a sublayer, and its number of streams. */
function fixedOf(connection: ConnectionConfig, bias: SavedTensor | undefined): [readonly number[], number] {
  const { map, n } = mapOf(connection)!;
  const count = (map.fixed?.(n) ?? 0) - (map.annealed ? 1 : 0);
  return [[...(bias?.data ?? [])].slice(-count), n];
}

/** The map of a connection with streams on a manifold, and their number. */
function mapOf(
  connection: ConnectionConfig | undefined,
): { readonly map: ResidualMap; readonly n: number } | undefined {
  if (connection?.kind !== "mhc") return undefined;
  const { residualMap = "sinkhorn", streams: n, slack } = connection;
  return { map: residualMap === "learned-slack" ? learnedSlack(slack) : residualMaps[residualMap], n };
}

/** The largest that the gain can be, whatever is learned; undefined for a connection without such matrices. */
function boundOf({ run }: StudiedRun<Learned>): number | undefined {
  const { model } = run.config ?? {};
  const made = model && mapOf(sublayerConnections(model)[0]);
  if (!made) return undefined;
  const { forward, backward } = gainBound(made.map.guarantee, made.n, 2 * model.layers);
  return Math.max(forward, backward);
}

/** Rounding of the float32 kernels that measured gains come from. */
const ROUNDING = 1e-3;
const exceedsBound = (run: StudiedRun<Learned>): boolean =>
  (largestGain(run) ?? 0) > (boundOf(run) ?? Infinity) * (1 + ROUNDING);

function page(studied: readonly StudiedRun<Learned>[]): StudyPage {
  const arms = armsOf(studied, ({ connection }) => String(connection));
  const reference = arms.find(({ label }) => label === REFERENCE);
  const losses = (arm: Arm<Learned>) => over(arm, bitsPerByte);
  const gap = (arm: Arm<Learned>) =>
    reference && arm !== reference ? difference(arm, reference, bitsPerByte) : undefined;
  const certain = (sign: 1 | -1): string => {
    const found = arms.filter((arm) => excludesZero(gap(arm)) && Math.sign(gap(arm)!.mean) === sign);
    return found.map((arm) => `\`${arm.label}\` (${showFound(gap(arm), 4, true)})`).join(", ") || "none";
  };
  const quantities = Object.values(learned).flatMap((of) => Object.keys(of));
  const rows = arms.flatMap((arm) =>
    quantities.flatMap((name) => {
      const values = arm.runs.flatMap(({ measured }) => (measured?.[name] ? [measured[name]] : []));
      if (values.length === 0) return [];
      const all = values.flat();
      const across = over({ runs: arm.runs }, ({ measured }) => measured?.[name] && mean(measured[name]));
      return [
        [`\`${arm.label}\``, name, showFound(across, 4), Math.min(...all).toFixed(4), Math.max(...all).toFixed(4)],
      ];
    }),
  );
  return {
    answer: `${studied.some(exceedsBound) ? "No: a measured gain exceeds its bound." : "Yes: no measured gain exceeds its bound."} Whether it pays: beside \`${REFERENCE}\` (${showFound(reference && losses(reference), 4)} bits per byte), better with certainty: ${certain(-1)}; worse with certainty: ${certain(1)}.`,
    parts: [
      {
        title: "Loss and gain",
        text: [
          `Validation bits per byte at the end, the difference from \`${REFERENCE}\` seed by seed, the largest composite gain at the last measurement, and the most that the gain can be at this depth, whatever is learned ([manifolds](../manifolds.md#learned-constraints)). \`slackSteps\` lets the slack fall to zero over the first half of the training.`,
        ],
        table: [
          ["connection", "bits per byte", `− ${REFERENCE}`, "composite gain", "bound", "diverged"],
          ...arms.map((arm) => [
            `\`${arm.label}\``,
            showFound(losses(arm), 4),
            showFound(gap(arm), 4, true),
            showFound(over(arm, largestGain), 3),
            boundOf(arm.runs[0]!)?.toPrecision(3) ?? (largestGain(arm.runs[0]!) === undefined ? "–" : "none"),
            `${divergedIn(arm)} of ${arm.runs.length}`,
          ]),
        ],
        figure: estimatesFigure({
          name: "loss",
          title: "Loss beside that of mHC, by connection",
          caption: "Differences of the validation loss seed by seed: means and 95 % intervals. Left of 0 is better.",
          axis: "bits per byte beside mhc",
          differences: true,
          points: arms.map((arm) => ({ line: arm.label.replace("residualMap=", ""), found: gap(arm) })),
        }),
      },
      ...(rows.length === 0
        ? []
        : [
            {
              title: "What was learned",
              text: [
                "Means over sublayers, then over seeds; the smallest and the largest of all sublayers and seeds. At the start τ is 1, m/n is 0.0019 for four streams, the weights are 0.49 and 0.49, and no slack is in use.",
              ],
              table: [["connection", "quantity", "mean", "smallest", "largest"], ...rows],
            },
          ]),
    ],
    documents: documentsOf(reference, arms, gap),
    notShown: [
      "Rankings of models of this size do not carry over to large ones.",
      "One learning rate is used for all, which may suit some better than others.",
      "That bounds hold is proved and tested; that they matter would show only where a model without them (HC) fails.",
      "All connections are compared with one reference: of twenty intervals one is expected to exclude 0 by chance.",
    ],
  };
}

/** What papers say of free mixing and of none, beside what was found. */
function documentsOf(
  reference: Arm<Learned> | undefined,
  arms: readonly Arm<Learned>[],
  gap: (arm: Arm<Learned>) => Estimate | undefined,
): string[] {
  const beside = (label: string, words: readonly [better: string, worse: string, neither: string]): string => {
    const arm = reference && arms.find((one) => one.label === label);
    const found = arm && gap(arm);
    if (!found) return "no loss to compare";
    return `${showFound(found, 4, true)} bits per byte beside mHC, ${excludesZero(found) ? words[found.mean < 0 ? 0 : 1] : words[2]}`;
  };
  return [
    `The mHC paper (arXiv 2512.24880) finds HC 0.005 nats worse than mHC at 27B parameters, with noisy gradient norms and composite gains near 3,000. Here HC has ${beside("hc", ["which does not agree: at this size and rate free mixing is the better one, whatever its gain", "which agrees with it", "which neither agrees nor contradicts"])}.`,
    `Several reports find H_res = I as good as mHC or better (iHC; SimpleHC; oHC, arXiv 2609.02672). Here the identity has ${beside("mhc:residualMap=identity", ["which agrees", "which contradicts them", "no certain difference, which agrees with “as good”"])}.`,
  ];
}

export const constraints: Experiment<Learned> = {
  kind: "experiment",
  question: "Can the constraint on the mixing be learned while its guarantee is kept?",
  shows: "trains mHC with fixed and with learned constraints",
  minutes: 12,
  sizes: {
    tiny: runs(40, 2, {
      ...modelShape(2, 16, 2, 16),
      learningRate: 1e-2,
      vocabulary: 300,
      batch: 4,
      gainsEvery: 20,
      evaluateBatches: 2,
    }),
    small: runs(300, 3, { ...modelShape(8, 64, 4, 64), vocabulary: 512, batch: 8, gainsEvery: 100 }),
    medium: runs(1000, 5, { ...modelShape(8, 64, 4, 64), vocabulary: 512, batch: 8, gainsEvery: 250 }),
    full: runs(2000, 5, { ...modelShape(24, 128, 8, 128), vocabulary: 1024, batch: 16, gainsEvery: 200 }),
  },
  measurement,
  page,
};
