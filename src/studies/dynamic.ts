// Question: what are maps that depend on the token worth?
//
// mHC whose maps depend on each token (the paper), on the sequence so far, on nothing, or are read once for groups of
// sublayers. Compared are the losses after training; and of each trained model, what it loses when its dynamic maps are
// replaced by their means over tokens without training it again, and how the maps vary over tokens (study/routes.ts).

import { z } from "zod";
import { mean } from "../basics/numbers.ts";
import { sublayerConnections } from "../model/overrides.ts";
import { planIntervening } from "../planning/here/model-memory.ts";
import type { Estimate } from "../basics/interval.ts";
import { estimatesFigure } from "../report/figures/estimates.ts";
import { showEstimate } from "../report/reasoning-tables.ts";
import { runBatches } from "../runs/batches.ts";
import { intervene } from "../study/intervene.ts";
import { parseIntervention } from "../study/interventions.ts";
import { measureRoutes, type Routes } from "../study/routes.ts";
import { type Arm, armsOf, bitsPerByte, difference, divergedIn, excludesZero, over } from "./arms.ts";
import { briefly, modelShape, seedsTo, showFound } from "./shapes.ts";
import type { Experiment, Measurement, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

const REFERENCE = "mhc";
const connections = ["residual", REFERENCE, "mhc:dynamic=sequence", "mhc:group=4", "mhc:dynamic=none"];

const runs = (steps: number, seeds: number, base: StudyRuns["base"]): StudyRuns => ({
  base: { data: "sotu", learningRate: 2e-3, steps, ...base },
  axes: { connection: connections, seed: seedsTo(seeds) },
});

/** What is measured of a run; of a residual model nothing. */
interface Measured {
  /** Change of the loss in nats a token: all maps at their means; only H_res at its mean; H_res the identity. */
  readonly changes?: { readonly freeze: number; readonly mean: number; readonly identity: number };
  readonly routes?: Omit<Routes, "most"> & {
    readonly most: { readonly sublayer: number; readonly tokens: readonly Routed[] };
  };
}
interface Routed {
  readonly text: string;
  readonly distance: number;
  readonly count: number;
}

const interventions = ["freeze", "mean", "identity"] as const;
const variation = z.object({ variation: z.number(), byToken: z.number(), byPlace: z.number() });
const schema = z.object({
  changes: z.object({ freeze: z.number(), mean: z.number(), identity: z.number() }).exactOptional(),
  routes: z
    .object({
      tokens: z.number(),
      sublayers: z.array(z.number()),
      pre: z.array(variation),
      post: z.array(variation),
      res: z.array(variation),
      most: z.object({
        sublayer: z.number(),
        tokens: z.array(z.object({ text: z.string(), distance: z.number(), count: z.number() })),
      }),
    })
    .exactOptional(),
});

const measurement: Measurement<Measured> = {
  schema,
  plan: (config, machine) =>
    sublayerConnections(config.model).some(({ kind }) => kind !== "residual")
      ? planIntervening(config, machine)
      : { runtimeBytes: 0, machineBytes: 0 },
  async of({ config, data, runtime, checkpoint, onProgress, signal }) {
    const batches = runBatches(config, data, config.evaluateBatches);
    try {
      const trained = checkpoint();
      const routes = await measureRoutes(runtime, config, trained, batches, (share) => onProgress(share / 2));
      if (!routes) {
        onProgress(1);
        return {};
      }
      const { rows } = await intervene(runtime, config, trained, batches, {
        interventions: interventions.map(parseIntervention),
        sublayers: ["all"],
        signal,
        onRow: (_, done, total) => onProgress((1 + done / total) / 2),
      });
      const change = (name: string): number => rows.find(({ intervention }) => intervention === name)?.change ?? NaN;
      const tokens = routes.most.tokens.map(({ id, ...others }) => ({ text: data.tokenizer.decode([id]), ...others }));
      return {
        changes: { freeze: change("freeze"), mean: change("mean"), identity: change("identity") },
        routes: { ...routes, most: { ...routes.most, tokens } },
      };
    } finally {
      batches.close();
    }
  },
};

type Maps = "pre" | "post" | "res";

/** A number of a map over the sublayers of a run. */
const overSublayers =
  (map: Maps, of: keyof Routes["res"][number]) =>
  ({ measured }: StudiedRun<Measured>): number | undefined =>
    measured?.routes && mean(measured.routes[map].map((one) => one[of]));

/** A token as it is shown in a table: spaces and line ends visible. */
const shown = (text: string): string =>
  `\`${text.replaceAll("`", "'").replaceAll("\n", "⏎").replaceAll(" ", "␣") || "∅"}\``;

function page(studied: readonly StudiedRun<Measured>[]): StudyPage {
  const arms = armsOf(studied, ({ connection }) => String(connection));
  const reference = arms.find(({ label }) => label === REFERENCE);
  const none = arms.find(({ label }) => label === "mhc:dynamic=none");
  const gap = (arm: Arm<Measured>) =>
    reference && arm !== reference ? difference(arm, reference, bitsPerByte) : undefined;
  const trained = none && gap(none);
  const frozen = reference && over(reference, ({ measured }) => measured?.changes?.freeze);
  const mixed = reference && over(reference, ({ measured }) => measured?.changes?.mean);
  const verdict = excludesZero(trained)
    ? trained!.mean > 0
      ? "static maps are worse"
      : "static maps are better"
    : "no certain difference";
  const percent = (map: Maps, of: "byToken" | "byPlace", arm: Arm<Measured>): string => {
    const found = over(arm, overSublayers(map, of));
    return found ? `${showEstimate({ mean: 100 * found.mean }, 0)} %` : "–";
  };
  const mixing = arms.filter((arm) => over(arm, overSublayers("res", "variation")));
  const example = reference?.runs.find(({ measured }) => measured?.routes)?.measured?.routes;
  return {
    answer: `Trained without dynamic maps, mHC ends ${showFound(trained, 4, true)} bits per byte beside dynamic ones (${verdict}); a model trained with them loses ${showFound(frozen, 4, true)} nats a token when they are replaced by their means, and ${showFound(mixed, 4, true)} when only those of the mixing are.`,
    parts: [
      {
        title: "Trained with and without",
        text: [`Validation bits per byte at the end, and the difference from \`${REFERENCE}\` seed by seed.`],
        table: [
          ["connection", "bits per byte", `− ${REFERENCE}`, "diverged"],
          ...arms.map((arm) => [
            `\`${arm.label}\``,
            showFound(over(arm, bitsPerByte), 4),
            showFound(gap(arm), 4, true),
            `${divergedIn(arm)} of ${arm.runs.length}`,
          ]),
        ],
        figure: estimatesFigure({
          name: "loss",
          title: "Loss beside that of dynamic mHC",
          caption: "Differences of the validation loss seed by seed: means and 95 % intervals. Left of 0 is better.",
          axis: "bits per byte beside mhc",
          differences: true,
          points: arms.map((arm) => ({ line: arm.label, found: gap(arm) })),
        }),
      },
      {
        title: "What a trained model loses without them",
        text: [
          "Change of the validation loss in nats a token, without training again: all maps at their means over tokens (`freeze`), only `H_res` at its mean (`mean`), `H_res` the identity (`identity`).",
        ],
        table: [
          ["connection", ...interventions],
          ...mixing.map((arm) => [
            `\`${arm.label}\``,
            ...interventions.map((name) =>
              showFound(
                over(arm, ({ measured }) => measured?.changes?.[name]),
                4,
                true,
              ),
            ),
          ]),
        ],
        figure: estimatesFigure({
          name: "frozen",
          title: "Loss of a trained model without its dynamic maps",
          caption: "Change of the validation loss: means over seeds and 95 % intervals. Right of 0 is worse.",
          axis: "change of the loss, nats a token",
          differences: true,
          points: mixing.flatMap((arm) =>
            interventions.map((name) => ({
              line: arm.label,
              series: name,
              found: over(arm, ({ measured }) => measured?.changes?.[name]),
            })),
          ),
        }),
      },
      {
        title: "How the maps vary over tokens",
        text: [
          "Variation is the standard deviation over tokens as a share of a map's size, the mean over sublayers. By token and by place are the shares of the variance of `H_res` that the token's id and its position explain (corrected for how many ids and places there are, so noise has 0).",
        ],
        table: [
          ["connection", "read", "write", "`H_res`", "of it by token", "by place"],
          ...mixing.map((arm) => [
            `\`${arm.label}\``,
            ...(["pre", "post", "res"] as const).map((map) => showFound(over(arm, overSublayers(map, "variation")), 4)),
            percent("res", "byToken", arm),
            percent("res", "byPlace", arm),
          ]),
        ],
      },
      ...(example && example.most.tokens.length > 0
        ? [
            {
              title: "Tokens on another route",
              text: [
                `In \`${REFERENCE}\` of the first seed, \`H_res\` varies most in sublayer ${example.most.sublayer} (counted from 0). These tokens have means of \`H_res\` there that are furthest from the mean of all (Frobenius).`,
              ],
              table: [
                ["token", "distance", "met"],
                ...example.most.tokens.map(({ text, distance, count }) => [
                  shown(text),
                  distance.toPrecision(2),
                  String(count),
                ]),
              ],
            },
          ]
        : []),
    ],
    documents: documentsOf({
      trained,
      identity: reference && over(reference, ({ measured }) => measured?.changes?.identity),
    }),
    notShown: [
      "Dynamic maps have φ, n (n² + 2n) C parameters a sublayer; static ones have none of them, and the models are not made equal in parameters.",
      "What a trained model loses without its dynamic maps is not what they are worth: it has adapted to them, and a model trained without has not.",
      "Maps start with α = 0.01, nearly static; a longer training may make more of them.",
      "Rankings of models of this size do not carry over to large ones.",
    ],
  };
}

interface Compared {
  /** Loss of static maps minus that of dynamic ones, both trained, in bits per byte. */
  readonly trained: Estimate | undefined;
  /** What a trained model loses with H_res the identity, in nats a token. */
  readonly identity: Estimate | undefined;
}

function documentsOf({ trained, identity }: Compared): string[] {
  const found = !excludesZero(trained)
    ? "Here no difference is certain, so that is not borne out."
    : trained!.mean > 0
      ? "Here static maps are worse too."
      : "Here static maps are better, which contradicts it.";
  const worse = excludesZero(identity) && identity!.mean > 0;
  return [
    `A public comparison of connections (hyper-connection-factory, 38M to 304M parameters) finds static HC 0.004 to 0.038 nats worse than dynamic HC; the mHC paper does not compare the two. ${found}`,
    `Of a trained DeepSeek-V4-Flash (arXiv 2609.05309), perplexity rises by 41 % when the early H_res become the identity, and by 0.2 % when they become their means. Here the identity costs all sublayers together ${showFound(identity, 4, true)} nats a token${worse ? "" : ", which is no certain loss"}: ${worse ? `${(100 * Math.expm1(identity!.mean)).toPrecision(2)} % of perplexity` : "a small, briefly trained model does not rely on its mixing as that one does"}.`,
  ];
}

export const dynamic: Experiment<Measured> = {
  kind: "experiment",
  question: "What are maps that depend on the token worth, and what do they depend on?",
  shows: "trains mHC with maps that depend on the token, on the sequence, or on nothing",
  minutes: 4,
  sizes: {
    tiny: runs(40, 2, {
      ...modelShape(2, 16, 2, 16),
      learningRate: 1e-2,
      vocabulary: 300,
      batch: 4,
      gainsEvery: 20,
      evaluateBatches: 2,
    }),
    small: runs(300, 5, { ...modelShape(6, 48, 4, 48), ...briefly(300), learningRate: 4e-3 }),
    medium: runs(1000, 5, { ...modelShape(6, 64, 4, 64), ...briefly(1000), learningRate: 4e-3 }),
    full: runs(2000, 5, { ...modelShape(24, 128, 8, 128), vocabulary: 1024, batch: 16, gainsEvery: 200 }),
  },
  measurement,
  page,
};
