// Question: does mHC replace gradient clipping?
//
// The same model without clipping, with the usual limit and with adaptive clipping, by connection: over learning rates,
// and at one high rate over depth, warm-up and precision. If a constraint on H_res replaced clipping, mHC would lose
// nothing without it where the others do.

import { showMany } from "../basics/show.ts";
import { estimatesFigure } from "../report/figures/estimates.ts";
import { showRate } from "../report/sweep-table.ts";
import { groupBy } from "../runs/sweep/analysis.ts";
import type { SweepCondition } from "../runs/sweep/definition.ts";
import { type Arm, armsOf, bitsPerByte, difference, divergedIn, excludesZero, over } from "./arms.ts";
import { briefly, modelShape, NONE, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

/** The usual one is the second. */
const clips = ["none", 1, "adaptive"] as const;
const connections = ["residual", "hc", "mhc"] as const;

/** The middle of the star, and its arms. */
interface Star {
  readonly layers: number;
  readonly warmup: number;
  readonly rates: readonly number[];
  /** The rate at which the others vary. */
  readonly rate: number;
  readonly depths: readonly number[];
  readonly warmups: readonly number[];
  readonly seeds: number;
}

function runs(base: StudyRuns["base"], { layers, warmup, rates, rate, depths, warmups, seeds }: Star): StudyRuns {
  const middle = { "model.layers": layers, warmup, precision: "float32", learningRate: rate };
  const where: SweepCondition[] = [
    { ...middle, learningRate: [...rates] },
    { ...middle, "model.layers": [...depths] },
    { ...middle, warmup: [...warmups] },
    { ...middle, precision: ["float32", "bfloat16"] },
  ];
  return {
    base: { data: "sotu", ...base },
    axes: {
      connection: connections,
      "optimizer.clip": clips,
      "model.layers": [...new Set([layers, ...depths])].sort((a, b) => a - b),
      warmup: [...new Set([warmup, ...warmups])].sort((a, b) => a - b),
      precision: ["float32", "bfloat16"],
      learningRate: [...new Set([rate, ...rates])].sort((a, b) => a - b),
      seed: seedsTo(seeds),
    },
    where,
  };
}

/** The depth is an axis. */
function shape(width: number, heads: number, context: number): StudyRuns["base"] {
  const { "model.layers": _, ...fields } = modelShape(0, width, heads, context);
  return fields;
}

/** Of one connection: its arms, by clipping. */
type ByClip = ReadonlyMap<unknown, Arm<unknown>>;

const clipOf = ({ values }: Arm<unknown>): unknown => values["optimizer.clip"];
const connectionOf = ({ values }: Arm<unknown>): string => String(values["connection"]);
const spikesIn = ({ runs: all }: Arm<unknown>): number => all.reduce((sum, { result }) => sum + result.lossSpikes, 0);

/** What differs between the parts of the page. */
interface Part {
  readonly title: string;
  /** The axis that varies, and how a value of it is shown. */
  readonly axis: string;
  readonly show: (value: unknown) => string;
}

const parts: readonly Part[] = [
  { title: "Learning rate", axis: "learningRate", show: (value) => showRate(Number(value)) },
  { title: "Depth", axis: "model.layers", show: (value) => `${2 * Number(value)} sublayers` },
  { title: "Warm-up", axis: "warmup", show: (value) => `${Number(value)} steps` },
  { title: "Precision", axis: "precision", show: String },
];
const varied = parts.map(({ axis }) => axis);

/** The most frequent value of each axis: the middle of the star, at which all but one of the others stay. */
function middleOf(arms: readonly Arm<unknown>[]): ReadonlyMap<string, unknown> {
  return new Map(
    varied.map((axis) => {
      const [most] = [...groupBy(arms, ({ values }) => values[axis]).entries()].sort(
        (a, b) => b[1].length - a[1].length,
      );
      return [axis, most?.[0]] as const;
    }),
  );
}

function page(studied: readonly StudiedRun<unknown>[]): StudyPage {
  const arms = armsOf(studied, (values) => `${String(values["connection"])}, clip ${String(values["optimizer.clip"])}`);
  const middle = middleOf(arms);
  /** Arms that differ from the middle in one axis at most. */
  const along = (axis: string): Arm<unknown>[] =>
    arms.filter(({ values }) => varied.every((other) => other === axis || values[other] === middle.get(other)));
  const cost = (own: ByClip) => {
    const [none, usual] = [own.get("none"), own.get(1)];
    return none && usual && difference(none, usual, bitsPerByte);
  };
  const byClip = (list: readonly Arm<unknown>[]): ByClip => new Map(list.map((arm) => [clipOf(arm), arm]));
  const all = groupBy(arms, connectionOf);
  const center = groupBy(
    arms.filter(({ values }) => varied.every((axis) => values[axis] === middle.get(axis))),
    connectionOf,
  );
  const found = [...all].map(([connection, own]) => {
    const count = (clip: unknown, of: (arm: Arm<unknown>) => number): number =>
      own.filter((arm) => clipOf(arm) === clip).reduce((sum, arm) => sum + of(arm), 0);
    const loss = cost(byClip(center.get(connection) ?? []));
    const diverged = { none: count("none", divergedIn), usual: count(1, divergedIn) };
    const worse = excludesZero(loss) && loss!.mean > 0;
    return { connection, count, loss, diverged, needs: worse || diverged.none > diverged.usual };
  });
  const answers = found.map(({ connection, count, loss, diverged }) => {
    const shown = loss
      ? `${showFound(loss, 4, true)} bits per byte${excludesZero(loss) ? "" : ", which is not certain,"}`
      : "no comparable loss";
    return `\`${connection}\` without clipping has ${shown} beside a limit of 1, ${showMany(diverged.none, "diverged run")} beside ${diverged.usual}, and ${showMany(count("none", spikesIn), "loss spike")} beside ${count(1, spikesIn)}`;
  });
  const losers = found.filter(({ needs }) => needs).map(({ connection }) => connection);
  return {
    answer: `${verdictOf(losers)} Losses are of the middle of the grid, diverged runs and spikes of all of it: ${answers.join("; ")}.`,
    parts: parts.flatMap(({ title, axis, show }) => {
      const own = along(axis);
      const values = [...new Set(own.map((arm) => arm.values[axis]))];
      if (values.length < 2) return [];
      const rows = connections.flatMap((connection) =>
        values.map((value) => {
          const here = byClip(own.filter((arm) => connectionOf(arm) === connection && arm.values[axis] === value));
          return { connection, value, here };
        }),
      );
      return [
        {
          title,
          text: [
            `Validation bits per byte by clipping, with how many seeds diverged and how often the loss spiked; then what it costs to leave clipping off, seed by seed. The rest is ${varied
              .filter((other) => other !== axis)
              .map((other) => `${other} ${String(middle.get(other))}`)
              .join(", ")}.`,
          ],
          table: [
            ["connection", title.toLowerCase(), ...clips.map((clip) => `clip ${clip}`), "none − 1"],
            ...rows.map(({ connection, value, here }) => [
              `\`${connection}\``,
              show(value),
              ...clips.map((clip) => cellOf(here.get(clip))),
              showFound(cost(here), 4, true),
            ]),
          ],
          figure: estimatesFigure({
            name: title.toLowerCase().replace(/\W/g, "-"),
            title: `What no clipping costs, by connection and ${title.toLowerCase()}`,
            caption:
              "Validation loss without clipping minus that with a limit of 1, seed by seed: means and 95 % intervals. Right of 0 clipping helps. A seed that diverged with or without it is left out.",
            axis: "bits per byte beside a limit of 1",
            differences: true,
            points: rows.map(({ connection, value, here }) => ({
              line: `${connection}, ${show(value)}`,
              found: cost(here),
            })),
          }),
        },
      ];
    }),
    documents: [
      "The papers on mHC and its relatives show gradient norms at one learning rate. What is said of stability there is not put to the test of training without clipping.",
    ],
    notShown: [
      "These models are small and trained briefly; the spikes for which large trainings clip may not occur in them at all.",
      "AdamW is the optimizer throughout: it divides a step by the size of its gradients, so a gradient that is larger throughout changes little even without clipping.",
      "One depth, one warm-up and one precision at a time leave the middle of the grid; how they act together is not shown.",
    ],
  };
}

/** @param losers the connections that lose without clipping: in loss with certainty, or by runs that diverge */
function verdictOf(losers: readonly string[]): string {
  if (losers.length === 0)
    return "There is nothing to replace at this size: no connection loses with certainty without clipping.";
  if (losers.includes("mhc")) return "No: mHC loses without clipping.";
  return `At this size it does: ${losers.map((one) => `\`${one}\``).join(" and ")} ${losers.length === 1 ? "loses" : "lose"} without clipping, and mHC does not with certainty.`;
}

function cellOf(arm: Arm<unknown> | undefined): string {
  if (!arm) return NONE;
  const found = over(arm, bitsPerByte);
  const [diverged, spikes] = [divergedIn(arm), spikesIn(arm)];
  return [
    found ? showFound(found, 4) : "",
    diverged > 0 ? `${diverged} of ${arm.runs.length} diverged` : "",
    spikes > 0 ? showMany(spikes, "spike") : "",
  ]
    .filter((part) => part !== "")
    .join(", ");
}

export const clipping: Experiment = {
  kind: "experiment",
  question: "Does mHC replace gradient clipping?",
  shows: "trains connections without clipping, with a limit and adaptively, by rate, depth, warm-up and precision",
  minutes: 12,
  sizes: {
    tiny: runs(
      { ...shape(16, 2, 16), vocabulary: 300, batch: 4, steps: 25, gainsEvery: 25, evaluateBatches: 2 },
      { layers: 2, warmup: 2, rates: [0.01], rate: 0.01, depths: [4], warmups: [0], seeds: 1 },
    ),
    small: runs(
      { ...shape(32, 2, 32), ...briefly(100) },
      {
        layers: 4,
        warmup: 6,
        rates: [3e-3, 1e-2, 3e-2, 1e-1],
        rate: 1e-2,
        depths: [16, 64],
        warmups: [0, 30],
        seeds: 3,
      },
    ),
    medium: runs(
      { ...shape(48, 4, 48), ...briefly(300) },
      {
        layers: 4,
        warmup: 15,
        rates: [3e-3, 1e-2, 3e-2, 1e-1],
        rate: 1e-2,
        depths: [16, 64],
        warmups: [0, 100],
        seeds: 5,
      },
    ),
    full: runs(
      { ...shape(64, 4, 64), vocabulary: 512, batch: 16, steps: 600, gainsEvery: 100 },
      {
        layers: 12,
        warmup: 30,
        rates: [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
        rate: 1e-2,
        depths: [4, 24, 48, 64],
        warmups: [0, 150],
        seeds: 3,
      },
    ),
  },
  page,
};
