// Question: which prepared experiments does `birkhoff compare` offer?
//
// An experiment is a table of options for `birkhoff compare`: sizes, seeds and figures. Options on the command
// line override it, so that every experiment can be tried at a small size.

import type { Command } from "commander";
import { type ConnectionChoice, parseChoices } from "./connections.ts";
import { isGiven, type TrainingOptions } from "./options.ts";

/** One size of model in an experiment. */
export interface ExperimentSize {
  /** Part of the names of the runs; absent where an experiment has one size. */
  readonly name?: string;
  readonly steps: number;
  /** Fields of the configuration, as --set takes them. */
  readonly set: readonly string[];
}

export interface Experiment {
  /** What the experiment shows, in one line for --help. */
  readonly shows: string;
  readonly options: Partial<Pick<TrainingOptions, "data" | "vocabulary" | "batch" | "learningRate">> & {
    readonly connections: readonly ConnectionChoice[];
    readonly seeds: readonly number[];
  };
  readonly sizes: readonly ExperimentSize[];
  /** Whether all models get as many parameters as the largest, by a wider feed-forward. */
  readonly equalParameters?: boolean;
  /** Whether the trained models answer generated questions at the end; the data must be generated then. */
  readonly asksQuestions?: boolean;
}

const shape = (layers: number, width: number, heads: number, context: number): string[] =>
  Object.entries({ layers, width, heads, kvHeads: heads, hidden: 3 * width, context }).map(
    ([name, value]) => `model.${name}=${value}`,
  );

export type ExperimentName = "stability" | "scaling" | "reasoning";

export const experiments: Readonly<Record<ExperimentName, Experiment>> = {
  stability: {
    shows:
      "the mHC paper's stability experiment at a small size: deep, narrow models, its figures 2, 3, 5, 7 and 8 from our runs",
    options: {
      connections: parseChoices("residual,hc,mhc"),
      seeds: [1, 2, 3],
      vocabulary: 512,
      batch: 16,
      learningRate: 2e-3,
    },
    sizes: [{ steps: 600, set: [...shape(24, 64, 4, 64), "gainsEvery=10"] }],
  },
  scaling: {
    shows: "loss against compute, residual beside mHC, at four sizes: the form of the paper's figure 6",
    options: {
      connections: parseChoices("residual,mhc"),
      seeds: [1],
      vocabulary: 512,
      batch: 16,
      learningRate: 2e-3,
    },
    sizes: [
      { name: "S1", steps: 300, set: shape(2, 64, 4, 64) },
      { name: "S2", steps: 500, set: shape(4, 96, 4, 64) },
      { name: "S3", steps: 700, set: shape(6, 128, 4, 64) },
      { name: "S4", steps: 1000, set: shape(8, 192, 6, 64) },
    ],
  },
  reasoning: {
    shows:
      "loss and exact match on generated tasks by difficulty, at equal parameters: the form of the paper's table 4",
    options: {
      connections: parseChoices("residual,hc,mhc"),
      seeds: [1, 2, 3],
      data: [
        "generated:recall:2-6,khop:1-2,permutation_three:2-3,boolean:2-4,listops:1-2,dyck:1-4,bbh_boolean_expressions:2-4",
      ],
      vocabulary: 400,
      batch: 16,
      learningRate: 2e-3,
    },
    sizes: [{ steps: 300, set: [...shape(4, 64, 4, 96), "gainsEvery=50", "evaluateEvery=100"] }],
    equalParameters: true,
    asksQuestions: true,
  },
};

/** The experiment's options, except those that the user has given. */
export function withExperiment<O extends TrainingOptions>(options: O, experiment: Experiment, command: Command): O {
  const given = (name: string): boolean => isGiven(command, name);
  const changed = Object.entries(experiment.options).filter(
    ([name]) => !given(name) && !(name === "seeds" && given("seed")),
  );
  return { ...options, ...Object.fromEntries(changed) };
}

/** The options for the models of one size. The user's own assignments come last, so they win. */
export function withSize<O extends TrainingOptions>(options: O, size: ExperimentSize, command: Command): O {
  const steps = isGiven(command, "steps") ? options.steps : size.steps;
  const own = isGiven(command, "context") ? "model.context=" : undefined;
  const set = size.set.filter((field) => own === undefined || !field.startsWith(own));
  return { ...options, steps, set: [...set, ...options.set] };
}
