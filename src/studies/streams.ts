// Question: how many streams, and does depth pay where the connection is learned?
//
// Two parts, with the same seeds and the same text:
//
//   streams   one shape; a residual model, mHC with 1 to 16 streams, many streams of which four are active (xHC),
//             Frac-connections (streams of a part of the width)
//   shapes    from shallow and wide to deep and narrow, a residual model and mHC. All need the same operations a token,
//             forward and backward, those of attention and of the connection included, as their graphs count them: what a
//             connection or depth takes, the feed-forward blocks give

import { z } from "zod";
import { createParameters } from "../graph/parameters.ts";
import { input } from "../graph/state.ts";
import { ancestors, flopsOf } from "../graph/tensor.ts";
import { languageModel } from "../model/language-model.ts";
import { gradients } from "../ops/gradients.ts";
import { planStepMemory } from "../planning/step-memory.ts";
import { estimatesFigure } from "../report/figures/estimates.ts";
import { chooseRecompute, type StepMemory } from "../training/recomputation.ts";
import type { TrainingConfig } from "../training/config.ts";
import { type Arm, armsOf, bitsPerByte, difference, excludesZero, largestGain, over, type Quantity } from "./arms.ts";
import { briefly, NONE, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, Measurement, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

const REFERENCE = "residual";
const MHC = "mhc";
/** mHC has four streams unless it says otherwise. */
const STREAMS = 4;

const ofStreams = (count: number): string => (count === STREAMS ? MHC : `mhc:streams=${count}`);

/** A shape, and the inner widths of the feed-forward blocks with which all shapes of a size need the same operations. */
interface Shape {
  readonly layers: number;
  readonly width: number;
  readonly hidden: Readonly<Record<typeof REFERENCE | typeof MHC, number>>;
}

/**
 * @param connections beside the residual model, at the first shape and with its blocks
 */
function runs(
  base: StudyRuns["base"],
  connections: readonly string[],
  shapes: readonly [Shape, ...Shape[]],
  seeds: number,
): StudyRuns {
  const fields = ({ layers, width }: Shape, hidden: number): Readonly<Record<string, number>> => ({
    "model.layers": layers,
    "model.width": width,
    "model.hidden": hidden,
  });
  const equal = shapes.flatMap((shape) =>
    ([REFERENCE, MHC] as const).map((connection) => ({ ...fields(shape, shape.hidden[connection]), connection })),
  );
  const first = { ...fields(shapes[0], shapes[0].hidden[REFERENCE]), connection: [REFERENCE, ...connections] };
  const valuesOf = (field: string): number[] => [
    ...new Set([first, ...equal].map((one: Readonly<Record<string, unknown>>) => Number(one[field]))),
  ];
  return {
    base: { data: "sotu", learningRate: 2e-3, "model.heads": 2, "model.kvHeads": 2, ...base },
    axes: {
      connection: first.connection,
      "model.layers": valuesOf("model.layers"),
      "model.width": valuesOf("model.width"),
      "model.hidden": valuesOf("model.hidden"),
      seed: seedsTo(seeds),
    },
    where: [first, ...equal],
  };
}

/** What a model needs. */
interface Needs {
  /** Floating-point operations a token, forward and backward. */
  readonly operations: number;
  /** Bytes of a training step, with everything stored. */
  readonly stored: number;
  /** Bytes where the connection's own values are computed again. */
  readonly recomputed: number;
}

/** Floating-point operations a token of a forward and a backward pass, as the graph says them. */
export function countedOperations({ model }: Pick<TrainingConfig, "model">): number {
  const parameters = createParameters();
  const network = languageModel(model, parameters);
  const [tokens, targets] = ["tokens", "targets"].map((name) => input(name, [1, model.context], "i32"));
  const loss = network.loss(network.hidden(tokens!).hidden_NC, targets!);
  const nodes = ancestors(
    gradients(
      loss,
      parameters.all.map(({ tensor }) => tensor),
    ),
  );
  return nodes.reduce((total, node) => total + flopsOf(node), 0) / model.context;
}

const bytesOf = ({ stateBytes, arenaBytes }: StepMemory): number => stateBytes + arenaBytes;

const measurement: Measurement<Needs> = {
  schema: z.object({ operations: z.number(), stored: z.number(), recomputed: z.number() }),
  plan: () => ({ runtimeBytes: 0, machineBytes: 0 }),
  of({ config, runtime, onProgress }) {
    const { machine } = runtime;
    if (!machine)
      throw new Error(
        `study streams: the ${runtime.name} runtime plans no memory; take the wasm runtime (--runtime wasm).`,
      );
    const stored = bytesOf(planStepMemory(config, machine));
    const recomputed = bytesOf(planStepMemory(config, machine, chooseRecompute(config, machine)));
    onProgress(1);
    return Promise.resolve({ operations: countedOperations(config), stored, recomputed: Math.min(stored, recomputed) });
  },
};

const shapeOf = ({ values }: Pick<Arm<Needs>, "values">): string =>
  `${String(values["model.layers"])} × ${String(values["model.width"])}`;
const hiddenOf = ({ values }: Pick<Arm<Needs>, "values">): number => Number(values["model.hidden"]);
const milliseconds: Quantity<Needs> = ({ result }) => (1000 * result.seconds) / result.steps;
const mebibytes = (bytes: number | undefined): string => (bytes === undefined ? NONE : (bytes / 2 ** 20).toFixed(1));

/** The arms of both parts: all of the size that has the most, and of each shape the pair of equal operations. */
function parts(arms: readonly Arm<Needs>[]): { usual: Arm<Needs>[]; pairs: Arm<Needs>[][] } {
  const sizeOf = (arm: Arm<Needs>): string => `${shapeOf(arm)} × ${hiddenOf(arm)}`;
  const at = (size: string): Arm<Needs>[] => arms.filter((arm) => sizeOf(arm) === size);
  const usual = arms.map((arm) => at(sizeOf(arm))).toSorted((a, b) => b.length - a.length)[0] ?? [];
  const pairs = [...new Set(arms.map(shapeOf))].map((shape) =>
    [REFERENCE, MHC].flatMap((label) =>
      // mHC needs operations of its own, so that of equal operations has the narrower blocks.
      arms
        .filter((arm) => shapeOf(arm) === shape && arm.label === label)
        .toSorted((a, b) => hiddenOf(a) - hiddenOf(b))
        .slice(0, 1),
    ),
  );
  return { usual, pairs };
}

function page(studied: readonly StudiedRun<Needs>[]): StudyPage {
  const { usual, pairs } = parts(armsOf(studied, ({ connection }) => String(connection)));
  const shallowest = pairs.toSorted(
    (a, b) => Number(a[0]?.values["model.layers"]) - Number(b[0]?.values["model.layers"]),
  );
  const [first, deepest] = [shallowest[0] ?? [], shallowest.at(-1) ?? []];
  const named = (arms: readonly Arm<Needs>[], label: string): Arm<Needs> | undefined =>
    arms.find((arm) => arm.label === label);
  const beside = (arm: Arm<Needs> | undefined, from: Arm<Needs> | undefined): ReturnType<typeof difference> =>
    arm && from && arm !== from ? difference(arm, from, bitsPerByte) : undefined;
  const row = (arm: Arm<Needs>, from: Arm<Needs> | undefined): string[] => {
    const measured = arm.runs.find((run) => run.measured)?.measured;
    return [
      showFound(over(arm, bitsPerByte), 4),
      showFound(beside(arm, from), 4, true),
      showFound(over(arm, largestGain), 2),
      measured ? (measured.operations / 1e6).toFixed(2) : NONE,
      mebibytes(measured?.stored),
      mebibytes(measured?.recomputed),
      showFound(over(arm, milliseconds), 1),
    ];
  };
  const needed = ["composite gain", "MFLOP a token", "MiB a step", "MiB, streams computed again", "ms a step"];
  const reference = named(usual, REFERENCE);
  const best = usual
    .flatMap((arm) => {
      const found = over(arm, bitsPerByte);
      return found ? [{ arm, found }] : [];
    })
    .toSorted((a, b) => a.found.mean - b.found.mean)[0];
  const certain =
    usual
      .filter((arm) => excludesZero(beside(arm, reference)) && beside(arm, reference)!.mean < 0)
      .map((arm) => `\`${arm.label}\` (${showFound(beside(arm, reference), 4, true)})`)
      .join(", ") || "none";
  const shallow = named(first, REFERENCE);
  const says = (found: ReturnType<typeof difference>): string =>
    `${showFound(found, 4, true)}${excludesZero(found) ? "" : " (not certain)"}`;
  const shapeName = (arms: readonly Arm<Needs>[]): string => (arms[0] ? shapeOf(arms[0]) : NONE);
  const deep =
    deepest === first
      ? "only one shape was trained"
      : `a residual model ${says(beside(named(deepest, REFERENCE), shallow))}, mHC ${says(beside(named(deepest, MHC), shallow))}; mHC of the shallow shape ${says(beside(named(first, MHC), shallow))}`;
  return {
    answer: `At ${shapeName(usual)} (layers × width) the least loss is that of \`${best?.arm.label ?? NONE}\` (${showFound(best?.found, 4)} bits per byte${best && best.arm !== reference ? `; beside \`${REFERENCE}\` ${says(beside(best.arm, reference))}` : ""}); better than \`${REFERENCE}\` with certainty: ${certain}. Deep and narrow (${shapeName(deepest)}) at equal operations, beside the shallow and wide residual model (${shapeName(first)}): ${deep}.`,
    parts: [
      {
        title: "Streams",
        text: [
          `At ${shapeName(usual)}, with the same blocks, so that more streams need more operations. With \`active=4\` all streams are read, and four are mixed and written, as in xHC. Operations are those of a forward and a backward pass; memory is what a training step is planned to take, with everything stored and with the streams computed again ([recomputation](../recomputation.md)). The time of a step is that of training beside other runs, so it is rough.`,
        ],
        table: [
          ["connection", "bits per byte", `− ${REFERENCE}`, ...needed],
          ...usual.map((arm) => [`\`${arm.label}\``, ...row(arm, reference)]),
        ],
        figure: estimatesFigure({
          name: "loss",
          title: "Loss beside that of the residual model, by number of streams",
          caption: "Differences of the validation loss seed by seed: means and 95 % intervals. Left of 0 is better.",
          axis: "bits per byte beside residual",
          differences: true,
          points: usual.map((arm) => ({ line: arm.label, found: beside(arm, reference) })),
        }),
      },
      {
        title: "Deep and narrow, or shallow and wide",
        text: [
          `All need the same operations a token, those of attention, of the head and of mHC's projections counted: the inner width of the feed-forward blocks is chosen so. Differences are from the residual model of ${shapeName(first)}.`,
        ],
        table: [
          ["layers × width", "inner width", "connection", "bits per byte", "− shallow residual", ...needed],
          ...shallowest.flatMap((pair) =>
            pair.map((arm) => [shapeOf(arm), String(hiddenOf(arm)), `\`${arm.label}\``, ...row(arm, shallow)]),
          ),
        ],
        figure: estimatesFigure({
          name: "shapes",
          title: "Loss by shape, at the same operations a token",
          caption: "Validation loss: means and 95 % intervals over seeds.",
          axis: "bits per byte",
          points: shallowest.flatMap((pair) =>
            pair.map((arm) => ({ line: shapeOf(arm), series: arm.label, found: over(arm, bitsPerByte) })),
          ),
        }),
      },
    ],
    documents: [
      `KromHC (arXiv 2601.21579) improves from 4 to 8 to 16 streams, and mHC gains 0.006 nats from 4 to 16 by the paper on xHC (arXiv 2607.14530). Here 8 streams have ${says(beside(named(usual, ofStreams(8)), named(usual, MHC)))} bits per byte beside 4.`,
      `A public comparison (hyper-connection-factory) finds mHC 0.040 to 0.062 nats better than a pre-norm model by the same recipe at 38M to 304M parameters, and 0.035 worse at 9.6M. Here mHC has ${says(beside(named(usual, MHC), reference))} bits per byte beside it.`,
      `The same comparison finds Frac 0.035 to 0.039 nats worse than mHC. Here it has ${says(beside(named(usual, "frac"), named(usual, MHC)))} bits per byte beside it.`,
    ],
    notShown: [
      "One learning rate is used for all shapes; a deep model may want a lower one.",
      "A narrow model has fewer parameters in its embedding and its head, and its blocks fewer than their operations suggest where mHC's projections take a large part of them.",
      "The narrower a model, the larger the part of its operations that mHC's projections take; at equal operations that weighs on mHC here far more than in a large model.",
      "The paper on xHC also writes features of earlier tokens; this is its sparse update alone, with this library's choice of the active streams.",
      "Rankings of models of this size do not carry over to large ones.",
    ],
  };
}

export const streams: Experiment<Needs> = {
  kind: "experiment",
  question: "How many streams pay, and does a deep and narrow model with mHC beat a shallow and wide one?",
  shows: "trains mHC with 1 to 16 streams, and shapes of equal operations",
  minutes: 5,
  sizes: {
    tiny: runs(
      { context: 16, learningRate: 1e-2, vocabulary: 300, batch: 4, steps: 20, gainsEvery: 10, evaluateBatches: 2 },
      [ofStreams(1), MHC, "mhc:streams=6:active=4"],
      [
        { layers: 1, width: 32, hidden: { residual: 256, mhc: 148 } },
        { layers: 2, width: 16, hidden: { residual: 316, mhc: 188 } },
      ],
      2,
    ),
    small: runs(
      { ...briefly(200), context: 48, vocabulary: 512, learningRate: 4e-3 },
      [...[1, 2, 4, 8].map(ofStreams), "mhc:streams=16:active=4", "frac"],
      [
        { layers: 4, width: 48, hidden: { residual: 144, mhc: 48 } },
        { layers: 10, width: 24, hidden: { residual: 144, mhc: 32 } },
      ],
      5,
    ),
    medium: runs(
      { ...briefly(800), context: 48, vocabulary: 512, learningRate: 4e-3 },
      [...[1, 2, 4, 8, 16].map(ofStreams), "mhc:streams=16:active=4", "frac"],
      [
        { layers: 4, width: 48, hidden: { residual: 144, mhc: 48 } },
        { layers: 10, width: 24, hidden: { residual: 144, mhc: 32 } },
      ],
      5,
    ),
    full: runs(
      { context: 128, vocabulary: 1024, batch: 16, steps: 2000, gainsEvery: 100 },
      [
        ...[1, 2, 3, 4, 6, 8, 12, 16].map(ofStreams),
        "mhc:streams=8:active=4",
        "mhc:streams=16:active=4",
        "frac",
        "frac:fractions=2",
      ],
      [
        { layers: 16, width: 128, hidden: { residual: 384, mhc: 296 } },
        { layers: 4, width: 256, hidden: { residual: 780, mhc: 696 } },
        { layers: 48, width: 64, hidden: { residual: 272, mhc: 176 } },
      ],
      5,
    ),
  },
  measurement,
  page,
};
