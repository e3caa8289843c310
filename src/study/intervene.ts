// Question: how much does a part of a trained model's connections contribute?
//
// The model is measured on its validation text, as its trainer did, once unchanged and once for each intervention
// (study/interventions.ts). One program does all of them except the number of iterations: every sublayer that mixes
// streams passes its coefficients through h' = h A + s, and A and s are written before a run.
//
//   change = loss with the intervention − loss, nats a token;  perplexity × exp(change)
//
// Shapes: h [N, M], A [M, M], s [M]. N tokens of a batch, M = n² + 2n coefficients.

import { expectTrainingConfig } from "../training/config.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import path from "node:path";
import type { Adjust } from "../connections/connection.ts";
import type { Batch, Batches } from "../data/batches.ts";
import { add } from "../ops/elementwise.ts";
import { createParameters, existingParameters, type ParameterSet } from "../graph/parameters.ts";
import { input } from "../graph/state.ts";
import { lastAxis, rowCount, type Tensor } from "../graph/tensor.ts";
import { type ConnectionConfig, mapsOf } from "../connections/table.ts";
import type { ModelConfig } from "../model/config.ts";
import { isMixed, type MixedConnectionConfig, sublayerConnections, sublayerRole } from "../model/overrides.ts";
import { languageModel } from "../model/language-model.ts";
import { streamsOf } from "../ops/manifold-coefficients.ts";
import { matmul } from "../ops/matmul.ts";
import { scale, subtract } from "../ops/elementwise.ts";
import { broadcast, sumLeading } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";
import { inPrecision } from "../runtime/precision.ts";
import type { ProgramSpec } from "../runtime/program.ts";
import type { Program, Runtime } from "../runtime/runtime.ts";
import {
  coefficientMap,
  type Intervention,
  interventionName,
  type MapIntervention,
  type MixedSublayers,
  planInterventions,
} from "./interventions.ts";
import { sampleVariance } from "../basics/numbers.ts";
import type { TrainingConfig } from "../training/config.ts";
import { type BatchConfig, type BatchInputs, batchInputs, writeBatch } from "../training/inputs.ts";
import { meanLoss } from "../training/evaluation.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { formatRecord } from "../files/json.ts";
import { interventionsFile } from "../runs/run-folder.ts";
import type { TrainerState } from "../training/state.ts";
import { restoreTensors } from "../training/restore.ts";

/** What one intervention does to the loss. */
export interface InterventionRow {
  /** The change and its sublayers, such as "identity, late". */
  readonly name: string;
  /** The change, in the form that `parseIntervention` takes. */
  readonly intervention: string;
  /** The requested sublayers: "all", "early", "late", "3" or "0-5,8". */
  readonly set: string;
  /** Positions of the changed sublayers, from 0. */
  readonly sublayers: readonly number[];
  /** In nats a token. */
  readonly loss: number;
  /** `loss` minus the loss of the unchanged model. */
  readonly change: number;
  /** Standard error of `change`, from its values on the single batches; absent when there is only one batch. */
  readonly error?: number;
}

/** What interventions do to a trained model. */
export interface InterventionReport {
  /** The step of the checkpoint. */
  readonly step: number;
  /** The loss of the unchanged model, nats a token. */
  readonly loss: number;
  readonly rows: readonly InterventionRow[];
  /** The number of validation tokens that every loss is averaged over. */
  readonly tokens: number;
  /** The number of training tokens that the maps are averaged over. */
  readonly meanTokens: number;
}

/** Which interventions to try, and where. */
export interface InterveneOptions {
  /** Default: all, each stream left out, neighbours swapped, 1 to 100 iterations. */
  readonly interventions?: readonly Intervention[];
  /**
   * Sets of sublayers, "all", "early", "late", "each" or a list such as "0-5,8,10-last", counted from 0. Default:
   * all, early, late and each; only all where streams are left out or iterations changed, and only the middle
   * sublayer where streams are swapped.
   */
  readonly sublayers?: readonly string[];
  /** Training batches over which the maps are averaged. Default 8. */
  readonly meanBatches?: number;
  /** Called with every row as it is measured. */
  readonly onRow?: (row: InterventionRow, done: number, total: number) => void;
  /** Ends the measuring after the row in progress; the report then has the rows up to there. */
  readonly signal?: AbortSignal;
}

const optionRules: FieldRules<InterveneOptions> = {
  interventions: "list",
  sublayers: "list",
  meanBatches: "number",
  onRow: "function",
  signal: "anything",
};

/**
 * Measure a trained model unchanged and changed in many ways, on the validation batches. A change that does
 * nothing gives the loss that the trainer measured, to the last bit.
 *
 * @param runtime any runtime; the trainer's for the same bits
 * @param checkpoint step and parameters, such as `trainer.save()`
 * @param batches the validation text to measure on, and the training text for the means
 * @throws RangeError when the model mixes no streams, and for interventions or sublayers that it does not have
 */
export async function intervene(
  runtime: Runtime,
  config: TrainingConfig,
  checkpoint: Pick<TrainerState, "step" | "model">,
  batches: Batches,
  options: InterveneOptions = {},
): Promise<InterventionReport> {
  expectFields("intervene", options, optionRules);
  expectTrainingConfig("intervene", config);
  const { interventions, sublayers, meanBatches = 8, onRow, signal } = options;
  const { batch, model: modelConfig } = config;
  const { parameters, inputs, changeable, network, spec, specWithIterations } = changeableModel(config);
  const planned = planInterventions(network, interventions, sublayers);

  restoreTensors(runtime, parameters.all, checkpoint.model, "model");
  const rounding = inPrecision(runtime, config.precision);
  const program = rounding.compile(spec);
  const feed = (next: Batch): void => writeBatch(runtime, inputs, next);
  const measure = async ({ run, read }: Program<LossOutput>): Promise<Measured> => {
    const each: number[] = [];
    const { loss } = await meanLoss(batches.validationBatches(), async (next) => {
      feed(next);
      run();
      const [loss = NaN] = await read("loss");
      each.push(loss);
      return loss;
    });
    return { loss, each };
  };
  const change = (intervention: MapIntervention | undefined, meant: readonly number[]): void => {
    for (const [index, { streams, matrix, shift }] of changeable) {
      const map = coefficientMap(meant.includes(index) ? intervention : undefined, streams, means.get(index) ?? []);
      runtime.write(matrix, map.matrix);
      runtime.write(shift, map.shift);
    }
  };

  const means = new Map<number, Float64Array>();
  change(undefined, []);
  for (let step = 0; step < meanBatches; step++) {
    feed(batches.trainingBatch(step));
    program.run();
    const batchMeans = await program.read("means");
    for (const [at, [index, { streams }]] of [...changeable].entries()) {
      const sum = means.get(index) ?? new Float64Array(streams * streams + 2 * streams);
      batchMeans[at]?.forEach((value, m) => (sum[m]! += value));
      means.set(index, sum);
    }
  }
  for (const sum of means.values()) sum.forEach((value, m) => (sum[m] = value / meanBatches));
  const asItIs = await measure(program);

  const measureWith = async (intervention: Intervention, meant: readonly number[]): Promise<Measured> => {
    if (intervention.kind !== "iterations") {
      change(intervention, meant);
      return measure(program);
    }
    const changed = rounding.compile(specWithIterations(meant, intervention.iterations));
    try {
      return await measure(changed);
    } finally {
      changed.release();
    }
  };
  const rows: InterventionRow[] = [];
  for (const { intervention, set } of planned) {
    if (signal?.aborted) break;
    const changed = await measureWith(intervention, set.sublayers);
    const name = interventionName(intervention);
    const row = {
      name: `${name}, ${set.name}`,
      intervention: name,
      set: set.name,
      sublayers: set.sublayers,
      loss: changed.loss,
      change: changed.loss - asItIs.loss,
      ...errorOf(changed.each.map((value, at) => value - asItIs.each[at]!)),
    };
    rows.push(row);
    onRow?.(row, rows.length, planned.length);
    // Signals are delivered between rows, whose computation may be synchronous.
    await new Promise((resolve) => void setTimeout(resolve));
  }
  program.release();
  for (const { tensor } of parameters.all) runtime.forget(tensor);
  const tokensOf = (count: number): number => count * batch * modelConfig.context;
  return {
    step: checkpoint.step,
    loss: asItIs.loss,
    rows,
    tokens: tokensOf(batches.validationCount),
    meanTokens: tokensOf(meanBatches),
  };
}

type LossOutput = { readonly loss: Tensor };

/** A model whose maps can be changed, and its programs. */
export interface ChangeableModel {
  readonly parameters: ParameterSet;
  readonly inputs: BatchInputs;
  readonly changeable: ReadonlyMap<number, ChangeableMaps>;
  readonly network: MixedSublayers;
  /** The loss, and the mean of the maps of every changeable sublayer, in order. */
  readonly spec: ProgramSpec<LossOutput & { readonly means: readonly Tensor[] }>;
  /** The loss with another number of Sinkhorn-Knopp iterations in some sublayers. */
  specWithIterations(sublayers: readonly number[], iterations: number): ProgramSpec<LossOutput>;
}

/** @throws RangeError when the model mixes no streams */
export function changeableModel(training: BatchConfig): ChangeableModel {
  const { model: config } = training;
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const inputs = batchInputs(training);
  const { tokens, targets, weights } = inputs;
  const { adjustments, changeable } = changeableMaps(2 * config.layers);
  const { hidden_NC } = model.hidden(tokens, undefined, undefined, adjustments);
  return {
    parameters,
    inputs,
    changeable,
    network: networkOf(config, changeable),
    spec: {
      outputs: {
        loss: model.loss(hidden_NC, targets, weights),
        means: [...changeable.values()].map(({ mean_M }) => mean_M),
      },
    },
    specWithIterations(sublayers, iterations) {
      const other = languageModel(withIterations(config, sublayers, iterations), existingParameters(parameters));
      return { outputs: { loss: other.loss(other.hidden(tokens).hidden_NC, targets, weights) } };
    },
  };
}

/** The mean loss, and the loss of every batch. */
interface Measured {
  readonly loss: number;
  readonly each: readonly number[];
}

/** Standard error of the mean of differences. */
function errorOf(differences: readonly number[]): { error?: number } {
  const count = differences.length;
  if (count < 2) return {};
  return { error: Math.sqrt(sampleVariance(differences) / count) };
}

/** Whether a change could be zero: it lies within two of its standard errors. */
export function isUndecided({
  change,
  error,
}: {
  readonly change: number;
  readonly error?: number | undefined;
}): boolean {
  return error !== undefined && change !== 0 && Math.abs(change) <= 2 * error;
}

/** Write a report to a run folder, in place of an earlier one. */
export function writeInterventions(runFolder: string, report: InterventionReport): void {
  writeFileAtomically(path.join(runFolder, interventionsFile), formatRecord(report));
}

/** A sublayer's maps, and the inputs that change them. */
interface ChangeableMaps {
  readonly streams: number;
  readonly matrix: Tensor;
  readonly shift: Tensor;
  /** The mean over the tokens of a batch, before the change. */
  readonly mean_M: Tensor;
}

/** Adjustments for every sublayer; building the graph shows which of them mix streams. */
export function changeableMaps(depth: number): {
  adjustments: readonly Adjust[];
  changeable: ReadonlyMap<number, ChangeableMaps>;
} {
  const changeable = new Map<number, ChangeableMaps>();
  const adjustments = Array.from({ length: depth }, (_, index): Adjust => (h_NM) => {
    const M = lastAxis(h_NM.shape);
    const matrix = input(`intervention.${index}.matrix`, [M, M]);
    const shift = input(`intervention.${index}.shift`, [M]);
    changeable.set(index, { streams: streamsOf(M), matrix, shift, mean_M: tokenMean(h_NM) });
    return add(matmul(h_NM, matrix), broadcast(shift, h_NM.shape));
  });
  return { adjustments, changeable };
}

/** The mean, computed relative to the first token, so that equal tokens have exactly their value as the mean. */
function tokenMean(h_NM: Tensor): Tensor {
  const [rows, M] = [rowCount(h_NM.shape), lastAxis(h_NM.shape)];
  const first_M = reshape(slice(h_NM, 0, 0, 1), [M]);
  const apart_NM = subtract(h_NM, broadcast(first_M, h_NM.shape));
  return add(first_M, scale(sumLeading(apart_NM, 1), 1 / rows));
}

function networkOf(model: ModelConfig, changeable: ReadonlyMap<number, ChangeableMaps>): MixedSublayers {
  const connections = sublayerConnections(model);
  if (changeable.size === 0) {
    throw new RangeError(
      `the model mixes no streams (its connection is ${[...new Set(connections.map(({ kind }) => kind))].join(" and ")}), so there are no maps to change. ` +
        "Interventions are for models with hc or mhc in some sublayers.",
    );
  }
  return connections.map((connection, index) => {
    const maps = changeable.get(index);
    return maps && { streams: maps.streams, ...iterationsOf(connection) };
  });
}

function iterationsOf(connection: ConnectionConfig): { iterations?: number } {
  if (connection.kind !== "mhc" || !mapsOf(connection).res) return {};
  const { residualMap = "sinkhorn", iterations } = connection;
  // "sinkhorn-adaptive" ends by its error, whatever the number.
  return residualMap === "sinkhorn" || residualMap === "sinkhorn-implicit" ? { iterations } : {};
}

/** The model with another number of Sinkhorn-Knopp iterations in some sublayers. */
function withIterations(model: ModelConfig, sublayers: readonly number[], iterations: number): ModelConfig {
  const connections = sublayerConnections(model);
  const base: MixedConnectionConfig = isMixed(model.connection)
    ? model.connection
    : { default: model.connection, overrides: [] };
  const overrides = sublayers.map((index) => ({
    layers: [index >> 1],
    role: sublayerRole(index),
    connection: { ...connections[index]!, iterations } as ConnectionConfig,
  }));
  return { ...model, connection: { ...base, overrides: [...base.overrides, ...overrides] } };
}
