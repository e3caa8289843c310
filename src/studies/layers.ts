// Question: which sublayers need mHC, and which of its maps?
//
// The same model with mHC in all sublayers, in none, in early or late ones, in attention or feed-forward; with one or two
// of its maps (connections/learned-maps.ts); and a search that adds or removes one sublayer at a time (layers-search.ts).
// Compared is the validation loss, and what it costs: parameters of the connections, and the time of a step beside that of
// the residual model, both steps timed in turns. Of the models with mHC in all sublayers also what they lose when H_res
// becomes the identity, or all maps their means, in some sublayers without training again.

import { z } from "zod";
import { given } from "../basics/given.ts";
import type { Estimate } from "../basics/interval.ts";
import { sum } from "../basics/numbers.ts";
import { sizeOf } from "../graph/tensor.ts";
import { modelParameters } from "../model/language-model.ts";
import { isMixed, type SublayerRole, sublayerRole } from "../model/overrides.ts";
import { planIntervening, planOneStep } from "../planning/here/model-memory.ts";
import { compareStepTimes } from "../planning/step-time.ts";
import { estimatesFigure } from "../report/figures/estimates.ts";
import { runBatches } from "../runs/batches.ts";
import { intervene } from "../study/intervene.ts";
import { parseIntervention } from "../study/interventions.ts";
import type { TrainingConfig } from "../training/config.ts";
import { type Arm, armsOf, bitsPerByte, difference, excludesZero, over, type Quantity } from "./arms.ts";
import { type Direction, mhcIn, type Round, walk } from "./layers-search.ts";
import { modelShape, NONE, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, Measurement, PagePart, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

const RESIDUAL = "residual";
/**
 * Each map left out, and writing alone. Reading or mixing alone need no runs: where H_post is 1, n copies of the embedding
 * stay copies, so that rows of H_res that sum to one change nothing, and what is read is Σ H_pre times one of them, whose
 * scale the block's norm removes. That holds for both together too; "pre-res" shows it.
 */
const maps = ["post", "pre-post", "post-res", "pre-res"].map((one) => `mhc:maps=${one}`);

const some = (count: number, holds: (sublayer: number) => boolean): number[] =>
  Array.from({ length: count }, (_, sublayer) => sublayer).filter(holds);
const inRole = (count: number, role: SublayerRole): number[] => some(count, (one) => sublayerRole(one) === role);

/** mHC in none of L sublayers, in early and late ones, in attention and feed-forward, and in all. */
const placesOf = (L: number): readonly string[] =>
  [
    [],
    some(L, (one) => one < L / 2),
    some(L, (one) => one >= L / 2),
    inRole(L, "attention"),
    inRole(L, "feedForward"),
    some(L, () => true),
  ].map((set) => mhcIn(set, L));

const runs = (layers: number, seeds: number, base: StudyRuns["base"]): StudyRuns => ({
  base: { data: "sotu", learningRate: 2e-3, ...base, "model.layers": layers },
  axes: { connection: [...new Set([RESIDUAL, ...placesOf(2 * layers), ...maps])], seed: seedsTo(seeds) },
});

/** What is measured of a run. */
interface Measured {
  /**
   * Milliseconds of a step, and of that of the residual model beside it; of runs with the first seed, because a step takes
   * as long with another.
   */
  readonly step?: number;
  readonly residualStep?: number;
  /** Of mHC in all sublayers: the change of the loss, nats a token, by intervention and sublayers. */
  readonly changes?: Readonly<Record<string, number>>;
}

const interventions = ["identity", "freeze"] as const;
const sets = ["early", "late"] as const;
const schema: z.ZodType<Measured> = z.object({
  step: z.number().exactOptional(),
  residualStep: z.number().exactOptional(),
  changes: z.record(z.string(), z.number()).exactOptional(),
});

const hasMhc = ({ model: { connection } }: TrainingConfig): boolean =>
  !isMixed(connection) && connection.kind === "mhc" && connection.maps === undefined;
const residualTwin = (config: TrainingConfig): TrainingConfig => ({
  ...config,
  model: { ...config.model, connection: { kind: "residual" } },
});

/** Milliseconds that this program has had of the processors: what else the machine does is not counted. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const measurement: Measurement<Measured> = {
  schema,
  plan(config, machine) {
    const own = planOneStep(config, machine);
    const needs = [
      own,
      planOneStep(residualTwin(config), machine),
      ...(hasMhc(config) ? [planIntervening(config, machine)] : []),
    ];
    return {
      runtimeBytes: sum(needs.map(({ runtimeBytes }) => runtimeBytes)),
      machineBytes: sum(needs.map(({ machineBytes }) => machineBytes)),
    };
  },
  async of({ config, data, runtime, checkpoint, onProgress, signal }) {
    const clock = runtime.asynchronous ? undefined : processorTime;
    const [step, residualStep] =
      config.seed === 1 ? await compareStepTimes(runtime, [config, residualTwin(config)], clock) : [];
    const times = given({ step, residualStep });
    onProgress(hasMhc(config) ? 0.5 : 1);
    if (!hasMhc(config)) return times;
    const batches = runBatches(config, data, config.evaluateBatches);
    try {
      const { rows } = await intervene(runtime, config, checkpoint(), batches, {
        interventions: interventions.map(parseIntervention),
        sublayers: [...sets],
        signal,
        onRow: (_, done, total) => onProgress((1 + done / total) / 2),
      });
      return {
        ...times,
        changes: Object.fromEntries(rows.map((row) => [`${row.intervention} ${row.set}`, row.change])),
      };
    } finally {
      batches.close();
    }
  },
};

type Runs = Arm<Measured>;

/** How far each walk goes: through half of the sublayers. */
const roundsOf = (count: number): number => Math.ceil(count / 2);
const directions: readonly Direction[] = ["adding", "removing"];

const byConnection = (studied: readonly StudiedRun<Measured>[]): ReadonlyMap<string, Runs> =>
  new Map(armsOf(studied, ({ connection }) => String(connection)).map((arm) => [arm.label, arm]));

function next(studied: readonly StudiedRun<Measured>[], before: StudyRuns): StudyRuns | undefined {
  const arms = byConnection(studied);
  const count = 2 * Number(before.base["model.layers"]);
  const lacking = directions.flatMap((direction) => walk(arms, direction, count, roundsOf(count)).lacking);
  const { connection = [] } = before.axes;
  const added = [...new Set(lacking)].filter((label) => !connection.includes(label));
  return added.length === 0
    ? undefined
    : { ...before, axes: { ...before.axes, connection: [...connection, ...added] } };
}

/** Parameters of the connections of a run. */
const parametersOf: Quantity<Measured> = ({ run: { config } }) =>
  config &&
  sum(
    modelParameters(config.model)
      .all.filter(({ role }) => role === "connection")
      .map(({ tensor }) => sizeOf(tensor.shape)),
  );
const extraTime: Quantity<Measured> = ({ measured }) =>
  measured?.step === undefined || measured.residualStep === undefined
    ? undefined
    : measured.step - measured.residualStep;

/** Loss is bought for so many parameters in the tables. */
const PER = 10_000;
const times = ({ mean, half }: Estimate, factor: number): Estimate => ({
  mean: mean * factor,
  ...(half === undefined ? {} : { half: half * factor }),
});

/** What an arm buys beside another: bits per byte (positive is better), for its parameters and for its time. */
function bought(arm: Runs, from: Runs): { loss: Estimate | undefined; parameters: string; time: string } {
  const loss = difference(from, arm, bitsPerByte);
  const cost = (quantity: Quantity<Measured>): number =>
    (over(arm, quantity)?.mean ?? NaN) - (over(from, quantity)?.mean ?? NaN);
  const per = (by: number): string => (loss && by > 0 ? showFound(times(loss, 1 / by), 4, true) : NONE);
  return { loss, parameters: per(cost(parametersOf) / PER), time: per(cost(extraTime)) };
}

const HEAD = [
  "bits per byte",
  "buys",
  `per ${PER.toLocaleString("en")} parameters`,
  "per ms",
  "parameters",
  "ms a step more",
];

function costRow(arm: Runs, from: Runs | undefined): string[] {
  const gain = from && arm !== from ? bought(arm, from) : undefined;
  return [
    showFound(over(arm, bitsPerByte), 4),
    showFound(gain?.loss, 4, true),
    gain?.parameters ?? NONE,
    gain?.time ?? NONE,
    (over(arm, parametersOf)?.mean ?? 0).toLocaleString("en"),
    arm.label === RESIDUAL ? NONE : showFound(over(arm, extraTime), 2, true),
  ];
}

/** "1 feed-forward": a sublayer by its layer and role. */
const sublayerText = (sublayer: number): string =>
  `${sublayer >> 1} ${sublayerRole(sublayer) === "attention" ? "attention" : "feed-forward"}`;

function comparison(
  title: string,
  name: string,
  text: string,
  arms: readonly Runs[],
  residual: Runs | undefined,
): PagePart {
  return {
    title,
    text: [text],
    table: [["connection", ...HEAD], ...arms.map((arm) => [`\`${arm.label}\``, ...costRow(arm, residual)])],
    figure: estimatesFigure({
      name,
      title: `${title}: loss beside that of the residual model`,
      caption: "Differences of the validation loss seed by seed: means and 95 % intervals. Left of 0 is better.",
      axis: "bits per byte beside residual",
      differences: true,
      points: arms
        .filter((arm) => arm !== residual)
        .map((arm) => ({ line: arm.label, found: residual && difference(arm, residual, bitsPerByte) })),
    }),
  };
}

/** What the chosen sublayer of a round buys; of one that is removed, what it had bought. */
function worthOf({ before, candidates }: Round<Measured>, direction: Direction): ReturnType<typeof bought> {
  const { arm } = candidates[0]!;
  return direction === "adding" ? bought(arm, before) : bought(before, arm);
}

function walkPart(direction: Direction, rounds: readonly Round<Measured>[]): PagePart[] {
  const [first] = rounds;
  if (!first) return [];
  const verb = direction === "adding" ? "added" : "removed";
  const worth = (candidate: Round<Measured>["candidates"][number]): Estimate | undefined =>
    worthOf({ before: first.before, candidates: [candidate] }, direction).loss;
  return [
    {
      title: direction === "adding" ? "Adding one sublayer at a time" : "Removing one sublayer at a time",
      text: [
        direction === "adding"
          ? "From a model without mHC whose streams pass through: in each round mHC in every other sublayer is tried, and the one with the least loss is kept. What it buys is the loss before minus the loss after, seed by seed. In one sublayer alone mHC can only weigh, for each token, what this sublayer adds: all others read the mean of the streams. So the first round says what such a weight buys, and streams that differ are read from the second round on."
          : "From mHC in all sublayers: in each round mHC is taken from every one that has it, and the one whose loss is least is left without. What it bought is the loss without it minus the loss with it, seed by seed; below 0 the model is better without it.",
        "The choice is the best of several by the same seeds, so what the chosen one buys is an optimistic estimate.",
      ],
      table: [
        [
          "round",
          verb,
          "of",
          "bits per byte",
          direction === "adding" ? "buys" : "bought",
          HEAD[2]!,
          "per ms",
          "last choice",
        ],
        ...rounds.map((round, at) => {
          const { loss, parameters, time } = worthOf(round, direction);
          return [
            String(at + 1),
            sublayerText(round.candidates[0]!.sublayer),
            String(round.candidates.length),
            showFound(over(round.candidates[0]!.arm, bitsPerByte), 4),
            showFound(loss, 4, true),
            parameters,
            time,
            sublayerText(round.candidates.at(-1)!.sublayer),
          ];
        }),
      ],
      figure: estimatesFigure({
        name: direction,
        title:
          direction === "adding"
            ? "What mHC buys in one sublayer alone"
            : "What mHC buys in one sublayer beside all others",
        caption:
          "The first round: validation loss without mHC in the sublayer minus that with it, seed by seed: means and 95 % intervals. Right of 0 is better with it.",
        axis: "bits per byte bought",
        differences: true,
        points: [...first.candidates]
          .sort((a, b) => a.sublayer - b.sublayer)
          .map((candidate) => ({ line: sublayerText(candidate.sublayer), found: worth(candidate) })),
      }),
    },
  ];
}

/** What mHC in the sublayers that removing leaves has, beside mHC in all. */
function leftText(rounds: readonly Round<Measured>[], all: Runs | undefined): string {
  const left = rounds.at(-1)?.candidates[0]?.arm;
  const found = left && all && difference(left, all, bitsPerByte);
  if (!found) return "";
  return `; what the removals leave, \`${left.label}\`, has ${showFound(found, 4, true)} bits per byte beside mHC in all${excludesZero(found) ? "" : " (not certain)"}`;
}

function page(studied: readonly StudiedRun<Measured>[]): StudyPage {
  const arms = byConnection(studied);
  const layers = studied.find(({ run }) => run.config)?.run.config?.model.layers ?? 0;
  const L = 2 * layers;
  const residual = arms.get(RESIDUAL);
  const [none, early, late, attention, feedForward, all] = placesOf(L).map((label) => arms.get(label));
  const present = (list: readonly (Runs | undefined)[]): Runs[] => [...new Set(list.flatMap((arm) => arm ?? []))];
  const walks = directions.map((direction) => ({ direction, ...walk(arms, direction, L, roundsOf(L)) }));
  const gain = (arm: Runs | undefined): Estimate | undefined => arm && residual && bought(arm, residual).loss;
  const certainty = (found: Estimate | undefined): string => (excludesZero(found) ? "" : " (not certain)");
  const say = (what: string, found: Estimate | undefined): string =>
    `${what} ${showFound(found, 4, true)}${certainty(found)}`;
  const between = (a: Runs | undefined, b: Runs | undefined): Estimate | undefined =>
    a && b && difference(b, a, bitsPerByte);
  const order = ({ rounds }: (typeof walks)[number]): string =>
    rounds.map(({ candidates }) => sublayerText(candidates[0]!.sublayer)).join(", ") || NONE;
  const changed = (intervention: string, set: string): Estimate | undefined =>
    all && over(all, ({ measured }) => measured?.changes?.[`${intervention} ${set}`]);
  return {
    answer: `Beside the residual model, mHC buys these bits per byte: ${[say("in all sublayers", gain(all)), say("in the first half", gain(early)), say("in the second half", gain(late)), say("in attention", gain(attention)), say("in feed-forward", gain(feedForward)), say("in all sublayers that learn only to write", gain(arms.get("mhc:maps=post")))].join(", ")}; ${say("the first half buys more than the second by", between(early, late))}. The search adds first ${order(walks[0]!)}, and removes first ${order(walks[1]!)} (layer and role, layers counted from 0)${leftText(walks[1]!.rounds, all)}.`,
    parts: [
      comparison(
        "Where mHC is",
        "places",
        "What a connection *buys* is the residual model's loss minus its own, seed by seed: above 0 is better. `mhc:at=none` carries four streams and learns no map: it computes the residual model up to rounding, so it shows what rounding alone does to a loss. The time of a step is processor time (on a GPU the clock's), the best of forty, taken in turns with the residual model's.",
        present([residual, none, early, late, attention, feedForward, all]),
        residual,
      ),
      comparison(
        "Some of the maps",
        "maps",
        "`pre` reads, `post` writes, `res` mixes; a map that is not learned is a residual connection's (1/n, 1 and the identity). All sublayers have them. Where no sublayer learns to write, all streams stay copies of each other: rows of `H_res` sum to one, and the block's norm removes the scale of what `H_pre` reads. So `pre-res`, and `pre` and `res` alone, compute the residual model whatever they learn. Only mHC with all three maps has kernels of its own; the times of the others are those of composed operations. In the mHC paper's ablation of HC (its Table 1) `res` alone buys the most: HC's `H_res` need not have rows that sum to one, so it alone makes streams differ.",
        present([residual, ...maps.map((label) => arms.get(label)), all]),
        residual,
      ),
      ...walks.flatMap(({ direction, rounds }) => walkPart(direction, rounds)),
      {
        title: "What a trained model loses, early and late",
        text: [
          "Of the models with mHC in all sublayers: the change of the validation loss in nats a token when `H_res` becomes the identity (`identity`), or all maps their means over tokens (`freeze`), in the first or in the second half of the sublayers, without training again. Above 0 is worse. In DeepSeek-V4-Flash the identity costs 41 % of perplexity in early layers and 1.9 % in late ones (arXiv 2609.05309).",
        ],
        table: [
          ["change", ...sets],
          ...interventions.map((name) => [`\`${name}\``, ...sets.map((set) => showFound(changed(name, set), 5, true))]),
        ],
      },
    ],
    notShown: [
      "A search of this kind finds no pairs of sublayers that help only together, and it goes through half of the sublayers in each direction.",
      "Every set is trained from the start with one learning rate; a model that begins with mHC and loses it while it trains is not tried.",
      "The models are not made equal in parameters or in time; the tables say what each buys for both.",
      "Rankings of models of this size do not carry over to large ones.",
    ],
  };
}

export const layers: Experiment<Measured> = {
  kind: "experiment",
  question: "Which sublayers need mHC, and which of its maps?",
  shows: "searches for the sublayers with mHC one at a time, and trains some of its maps alone",
  minutes: 12,
  sizes: {
    tiny: runs(1, 2, {
      ...modelShape(1, 16, 2, 16),
      learningRate: 1e-2,
      vocabulary: 300,
      batch: 4,
      steps: 20,
      gainsEvery: 20,
      evaluateBatches: 2,
    }),
    small: runs(3, 3, { ...modelShape(3, 48, 4, 48), vocabulary: 512, batch: 8, steps: 250, gainsEvery: 250 }),
    medium: runs(3, 5, { ...modelShape(3, 64, 4, 64), vocabulary: 512, batch: 8, steps: 800, gainsEvery: 400 }),
    full: runs(4, 5, { ...modelShape(4, 96, 4, 96), vocabulary: 1024, batch: 16, steps: 1500, gainsEvery: 500 }),
  },
  measurement,
  next,
  page,
};
