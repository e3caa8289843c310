// Question: which options and fields does the config.json of a run stand for?
//
// All that repeats it, but for its name, its folder, and what its text decides. Where a number follows from the number
// of steps, it follows from that of the new run; a rate that is the usual one of its optimizer, from the new optimizer.

import type { Command } from "commander";
import { isObject } from "../basics/objects.ts";
import { isMixed } from "../model/overrides.ts";
import { connectionChoice } from "../report/reproduce.ts";
import { parseTrainingConfig, type TrainingConfig, withOlderMeanings } from "../training/config.ts";
import { optimizerEntry } from "../training/optimizers/table.ts";
import { warn } from "./warn.ts";

/** Whether a file is the config.json of a run. */
export const isRunConfig = (value: Readonly<Record<string, unknown>>): boolean => isObject(value["config"]);

/** The fields of a run's config.json as a file of options has them. */
export function runFields(
  description: Readonly<Record<string, unknown>>,
  file: string,
  command: Command,
): Record<string, unknown> {
  const config = parseTrainingConfig(withOlderMeanings(description["config"]), file);
  const origin = config.upcycledFrom?.run ?? config.startedFrom?.run ?? config.importedFrom;
  if (origin !== undefined)
    warn(
      `${file} is of a run that began with the weights of ${origin}. A configuration holds none: the new run begins anew (with weights: birkhoff train --from RUN)`,
    );
  return fieldsOf(config, command);
}

/** The fields of a configuration that a new run can take over. */
export function fieldsOf(config: TrainingConfig, command: Command): Record<string, unknown> {
  const { name: _, upcycledFrom: _u, importedFrom: _i, startedFrom: _s, data, model, optimizer, ...rest } = config;
  const { prepared: _p, shuffled: _h, ...text } = data;
  const { vocabulary: _v, connection, ...size } = model;
  const hasConnection = command.options.some((option) => option.attributeName() === "connection");
  return {
    ...rest,
    data: text,
    // A comparison has connections of its own.
    model: hasConnection
      ? { ...size, connection: isMixed(connection) ? connection : connectionChoice(connection) }
      : size,
    optimizer,
    ...derivedLeftOut(config),
  };
}

/** Without the numbers that `birkhoff train` derives from the steps and the optimizer, where they are those. */
function derivedLeftOut(config: TrainingConfig): Record<string, unknown> {
  const { steps, optimizer, evaluateEvery, checkpointEvery } = config;
  const { warmup, learningRate, ...others } = optimizer;
  return {
    optimizer: {
      ...others,
      ...(warmup === Math.ceil(steps / 20) ? {} : { warmup }),
      ...(learningRate === optimizerEntry(optimizer.kind).usual.learningRate ? {} : { learningRate }),
    },
    ...(evaluateEvery === Math.ceil(steps / 10) ? { evaluateEvery: undefined } : {}),
    ...(checkpointEvery === Math.ceil(steps / 5) ? { checkpointEvery: undefined } : {}),
  };
}
