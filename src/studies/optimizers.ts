// Question: which optimizer trains which connection, at which learning rates?
//
// Learning rate × optimizer × connection. Of each optimizer and connection: the best rate and its loss, the range of rates
// whose loss is nearly as good, the largest rate at which no seed diverges, and the spikes of all its runs. Each
// optimizer has rates of its own, around its usual one, the same number with the same steps between them.

import { estimatesFigure } from "../report/figures/estimates.ts";
import { showRate } from "../report/sweep-table.ts";
import { analyseSweep, groupBy } from "../runs/sweep/analysis.ts";
import { optimizerEntry, type OptimizerKind, optimizerKinds } from "../training/optimizers/table.ts";
import { type Arm, armsOf, bitsPerByte, difference, excludesZero, over } from "./arms.ts";
import { briefly, modelShape, NONE, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

/** What all others are compared with. */
const REFERENCE = "adamw";

/** Rates around the usual one of an optimizer, `factors` times it. */
const ratesOf = (kind: OptimizerKind, factors: readonly number[]): number[] =>
  factors.map((factor) => Number((optimizerEntry(kind).usual.learningRate * factor).toPrecision(3)));

/** Runs of every optimizer at its own rates. */
function runs(
  base: StudyRuns["base"],
  { factors, seeds, connections }: { factors: readonly number[]; seeds: number; connections: readonly string[] },
): StudyRuns {
  const rates = optimizerKinds.map((kind) => ratesOf(kind, factors));
  return {
    base: { data: "sotu", ...base },
    axes: {
      optimizer: optimizerKinds,
      connection: connections,
      learningRate: [...new Set(rates.flat())].sort((a, b) => a - b),
      seed: seedsTo(seeds),
    },
    where: optimizerKinds.map((kind, index) => ({ optimizer: kind, learningRate: rates[index]! })),
  };
}

/** The runs of one optimizer and connection at its best rate, and what all its rates say. */
interface Line {
  readonly optimizer: string;
  readonly connection: string;
  readonly group: ReturnType<typeof analyseSweep>[number];
  readonly best: Arm<unknown> | undefined;
}

function linesOf(studied: readonly StudiedRun<unknown>[]): Line[] {
  const arms = armsOf(studied, (values) => String(values["optimizer"]));
  return analyseSweep(studied.map(({ result }) => result)).map((group): Line => {
    const { optimizer, connection } = group.group;
    const best = arms.find(
      ({ values }) =>
        values["optimizer"] === optimizer &&
        values["connection"] === connection &&
        values["learningRate"] === group.optimum?.measured,
    );
    return { optimizer: String(optimizer), connection: String(connection), group, best };
  });
}

function page(studied: readonly StudiedRun<unknown>[]): StudyPage {
  const lines = linesOf(studied);
  const loss = ({ best }: Line) => best && over(best, bitsPerByte);
  const gap = ({ optimizer, connection, best }: Line) => {
    const from = lines.find((line) => line.optimizer === REFERENCE && line.connection === connection)?.best;
    return best && from && optimizer !== REFERENCE ? difference(best, from, bitsPerByte) : undefined;
  };
  const byConnection = groupBy(lines, ({ connection }) => connection);
  const answers = [...byConnection].map(([connection, own]) => {
    const ranked = own
      .flatMap((line) => {
        const found = loss(line);
        return found ? [{ line, found }] : [];
      })
      .sort((a, b) => a.found.mean - b.found.mean);
    const [first] = ranked;
    if (!first) return `of ${connection} every optimizer diverged`;
    const widest = own.reduce((a, b) =>
      (b.group.tolerance?.decades ?? 0) > (a.group.tolerance?.decades ?? 0) ? b : a,
    );
    const beside = gap(first.line);
    const certainly = excludesZero(beside) ? "" : ", which is not certain";
    // AdamW may have diverged at every rate.
    const better = beside ? `, ${showFound(beside, 4, true)} beside AdamW${certainly}` : "";
    const decades = widest.group.tolerance;
    const range = decades
      ? `; the widest range of good rates is ${widest.optimizer}'s, ${decades.openLow || decades.openHigh ? "at least " : ""}${decades.decades.toFixed(2)} decades`
      : "";
    return `${connection} is best with ${first.line.optimizer} at ${showRate(first.line.group.optimum!.measured)} (${showFound(first.found, 4)} bits per byte${better})${range}`;
  });
  return {
    answer: `At each one's best rate, ${answers.join("; ")}.`,
    parts: [
      {
        title: "Best rate and range",
        text: [
          "Validation bits per byte at the best rate that was tried, and the difference from AdamW at its own best rate, seed by seed. Good rates are those within 0.05 bits per byte of the best, with straight lines between the rates in log-rate; ≥ says that the rates end before the range does. The largest sound rate is the one below the first at which a seed diverged. Spikes and excursions are counted as [sweeps](../sweeps.md) count them, over all runs of the line.",
        ],
        table: [
          [
            "optimizer",
            "connection",
            "best rate",
            "bits per byte",
            `− ${REFERENCE}`,
            "good rates",
            "decades",
            "largest sound rate",
            "diverged",
            "loss spikes",
            "gradient excursions",
          ],
          ...lines.map((line) => {
            const { optimizer, connection, group } = line;
            const { optimum, tolerance, edge } = group;
            return [
              optimizer,
              `\`${connection}\``,
              optimum ? showRate(optimum.measured) : NONE,
              showFound(loss(line), 4),
              showFound(gap(line), 4, true),
              tolerance ? `${showRate(tolerance.low)} to ${showRate(tolerance.high)}` : NONE,
              tolerance
                ? `${tolerance.openLow || tolerance.openHigh ? "≥ " : ""}${tolerance.decades.toFixed(2)}`
                : NONE,
              edge === undefined ? NONE : showRate(edge),
              `${group.diverged} of ${group.runs}`,
              String(group.lossSpikes),
              String(group.gradientExcursions),
            ];
          }),
        ],
        figure: estimatesFigure({
          name: "best",
          title: "Loss at the best rate, by optimizer and connection",
          caption: "Means over seeds and 95 % intervals of the validation loss, each at the best rate that was tried.",
          axis: "bits per byte",
          points: lines.map((line) => ({
            line: `${line.optimizer}, ${line.connection}`,
            found: loss(line),
          })),
        }),
      },
      {
        title: "Every rate",
        text: ["Mean validation bits per byte over seeds; × where a seed diverged."],
        table: rateTable(lines),
      },
    ],
    documents: [ratesText(lines)],
    notShown: [
      "The best rate is chosen by the same runs whose loss is then shown, which flatters all alike, and those with an uneven curve more.",
      "Rankings of models of this size, trained this briefly, do not carry over to large ones; Muon's advantage in particular is published for long trainings.",
      "Only the learning rate is tuned; each optimizer's other settings are its usual ones.",
      "Rates are compared by steps, not by time: a step of Muon costs more.",
    ],
  };
}

/** What the rates say beside the only published sweep of rates. */
function ratesText(lines: readonly Line[]): string {
  const rate = (connection: string): string => {
    const line = lines.find((one) => one.optimizer === REFERENCE && one.connection === connection);
    const best = line?.group.optimum?.measured;
    return best === undefined ? "none" : showRate(best);
  };
  const [own, other] = [rate("mhc"), rate("residual")];
  return `DepthBench (arXiv 2609.32534) finds the same best rate for mHC as for a pre-norm model, at 400M parameters. Here, with AdamW, it is ${own} for mHC and ${other} for the residual model: ${own === other ? "the same as well" : "not the same"}, as far as steps between the rates can tell.`;
}

/** A row for each optimizer and connection, a column for each of its rates, the lowest first. */
function rateTable(lines: readonly Line[]): string[][] {
  const most = Math.max(...lines.map(({ group }) => group.rates.length));
  return [
    ["optimizer", "connection", ...Array.from({ length: most }, (_, index) => `rate ${index + 1}`)],
    ...lines.map(({ optimizer, connection, group }) => [
      optimizer,
      `\`${connection}\``,
      ...Array.from({ length: most }, (_, index) => {
        const rate = group.rates[index];
        if (!rate) return NONE;
        const value = rate.diverged > 0 || !rate.band ? "×" : rate.band.mean.toFixed(4);
        return `${showRate(rate.learningRate)}: ${value}`;
      }),
    ]),
  ];
}

export const optimizers: Experiment = {
  kind: "experiment",
  question: "Which optimizer trains which connection best, and over which learning rates?",
  shows: "trains connections by AdamW, Muon, Lion, gradient descent and Adafactor at many rates",
  minutes: 8,
  sizes: {
    tiny: runs(
      { ...modelShape(2, 16, 2, 16), vocabulary: 300, batch: 4, steps: 25, gainsEvery: 25, evaluateBatches: 2 },
      { factors: [1, 3], seeds: 1, connections: ["residual", "mhc"] },
    ),
    small: runs(
      { ...modelShape(3, 48, 4, 48), ...briefly(200) },
      { factors: [0.3, 1, 3, 10], seeds: 3, connections: ["residual", "hc", "mhc"] },
    ),
    medium: runs(
      { ...modelShape(4, 64, 4, 64), ...briefly(500) },
      { factors: [0.3, 1, 3, 10], seeds: 5, connections: ["residual", "hc", "mhc"] },
    ),
    full: runs(
      { ...modelShape(12, 128, 8, 128), vocabulary: 1024, batch: 16, steps: 1000, gainsEvery: 100 },
      { factors: [0.1, 0.3, 1, 3, 10, 30], seeds: 3, connections: ["residual", "hc", "mhc"] },
    ),
  },
  page,
};
