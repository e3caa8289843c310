// Question: how much do a trained model's outputs change when something is slightly wrong with it?
//
// The model is measured on its validation text unchanged, and once for each disturbance:
//
//   noise:σ       every matrix W + σ rms(W) ε, ε standard normal                      (several draws)
//   bfloat16      every matrix rounded to bfloat16
//   int8          every matrix rounded to whole multiples of its largest magnitude / 127
//   input:p       a share p of the tokens that it reads replaced by random ones       (several draws)
//   drop:a        stream a is not read, carried on or written to, in all sublayers (interventions.ts)
//   skip:l        layer l adds nothing: its attention's and its feed-forward's last matrix are 0; streams are mixed still
//
//   loss          nats a token, as the trainer measures it
//   divergence    KL(p ‖ q) of the next token's distribution, p unchanged, q disturbed; nats a token
//   flips         the share of tokens whose most likely successor is another one
//
// A disturbance is bounded when its loss stays below ln V, that of guessing evenly among V tokens. A model that does worse
// is sure of what is wrong.
//
// Shapes: N tokens of a batch, V tokens of the vocabulary; logits [N, V].

import { expectTrainingConfig } from "../training/config.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { mean } from "../basics/numbers.ts";
import { expectWhole } from "../basics/ranges.ts";
import type { Batches, ValidationBatch } from "../data/batches.ts";
import { normal, streams as purposes, uniform, uniformInteger } from "../data/random.ts";
import { createParameters, type Parameter, type ParameterSet } from "../graph/parameters.ts";
import { languageModel } from "../model/language-model.ts";
import type { RobustnessData, RobustnessRow } from "../runs/robustness-data.ts";
import type { ProgramSpec } from "../runtime/program.ts";
import type { Tensor } from "../graph/tensor.ts";
import { inPrecision } from "../runtime/precision.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "../training/config.ts";
import { type BatchConfig, type BatchInputs, batchInputs, writeBatch } from "../training/inputs.ts";
import type { TrainerState } from "../training/state.ts";
import { restoreTensors } from "../training/restore.ts";
import { changeableMaps } from "./intervene.ts";
import { logSoftmax } from "./predictions.ts";
import { coefficientMap } from "./interventions.ts";

/** How many draws, and how large the disturbances are. */
export interface RobustnessOptions {
  /** How many draws of what is random; 3 by default. */
  readonly draws?: number;
  /** Sizes σ of noise; default 0.01, 0.03, 0.1, 0.3. */
  readonly noise?: readonly number[];
  /** Shares p of replaced tokens; default 0.01, 0.05, 0.2. */
  readonly inputs?: readonly number[];
  /** Called with every row as it is measured. */
  readonly onRow?: (row: RobustnessRow, done: number, total: number) => void;
  /** Ends the measuring after the row in progress. */
  readonly signal?: AbortSignal;
}

const optionRules: FieldRules<RobustnessOptions> = {
  draws: "number",
  noise: "list",
  inputs: "list",
  onRow: "function",
  signal: "anything",
};

/** One way to disturb a model; `parameter` and `tokens` say what stands in the place of what is there. */
interface Disturbance {
  readonly name: string;
  readonly kind: RobustnessRow["kind"];
  readonly draws: number;
  parameter?(of: Parameter, index: number, values: Float32Array, draw: number): Float32Array;
  tokens?(tokens: Int32Array, batch: number, draw: number): Int32Array;
  readonly stream?: number;
}

/** Far from the seeds of noise. */
const INPUT_SEED = 2 ** 50;

const isMatrix = ({ tensor, role }: Parameter): boolean => tensor.shape.length > 1 && role !== "norm";

const buffer = new DataView(new ArrayBuffer(4));

/** The nearest number with 8 bits of significand; of two, the even one. */
function toBfloat16(value: number): number {
  buffer.setFloat32(0, value);
  const bits = buffer.getUint32(0);
  buffer.setUint32(0, (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000);
  return buffer.getFloat32(0);
}

function toInt8(values: Float32Array): Float32Array {
  const step = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
  return step === 0 ? values : values.map((value) => Math.round(value / step) * step);
}

function withNoise(values: Float32Array, size: number, seed: number): Float32Array {
  const rms = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
  return values.map((value, at) => value + size * rms * normal(seed, purposes.studies, at));
}

/** The last matrix of a block: without it the block adds nothing. */
const endsBlock = (name: string, layer: number): boolean =>
  new RegExp(`^layers\\.${layer}\\.(attention\\.output|feedForward\\.(.*\\.)?down)$`).test(name);

function disturbances(
  { model: { layers, vocabulary } }: Pick<TrainingConfig, "model">,
  streams: number,
  { draws = 3, noise = [0.01, 0.03, 0.1, 0.3], inputs = [0.01, 0.05, 0.2] }: RobustnessOptions,
): Disturbance[] {
  const matrices =
    (change: (values: Float32Array, seed: number) => Float32Array): NonNullable<Disturbance["parameter"]> =>
    (of, index, values, draw) =>
      isMatrix(of) ? change(values, draw * 2 ** 20 + index) : values;
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
  return [
    ...noise.map((size): Disturbance => ({
      name: `noise:${size}`,
      kind: "noise",
      draws,
      parameter: matrices((values, seed) => withNoise(values, size, seed)),
    })),
    { name: "bfloat16", kind: "rounding", draws: 1, parameter: matrices((values) => values.map(toBfloat16)) },
    { name: "int8", kind: "rounding", draws: 1, parameter: matrices(toInt8) },
    ...inputs.map((share): Disturbance => ({
      name: `input:${share}`,
      kind: "input",
      draws,
      tokens: (tokens, batch, draw) =>
        tokens.map((token, at) => {
          const counter = 2 * (batch * 2 ** 26 + at);
          return uniform(INPUT_SEED + draw, purposes.studies, counter) < share
            ? uniformInteger(INPUT_SEED + draw, purposes.studies, counter + 1, vocabulary)
            : token;
        }),
    })),
    ...upTo(streams).map((stream): Disturbance => ({ name: `drop:${stream}`, kind: "drop", draws: 1, stream })),
    ...upTo(layers).map((layer): Disturbance => ({
      name: `skip:${layer}`,
      kind: "skip",
      draws: 1,
      parameter: ({ name }, _, values) => (endsBlock(name, layer) ? new Float32Array(values.length) : values),
    })),
  ];
}

/** What the model says of a batch, as far as it is compared. */
interface Said {
  readonly loss: number;
  /** log p [N, V]. */
  readonly logs: Float32Array;
}

/** Mean divergence and share of flips between what was said of the same tokens, over those that count. */
function compare(before: Float32Array, after: Float32Array, V: number, counts: (row: number) => boolean) {
  let [divergence, flips, rows] = [0, 0, 0];
  for (let row = 0; row * V < before.length; row++) {
    if (!counts(row)) continue;
    let [first, second] = [0, 0];
    for (let v = 0; v < V; v++) {
      const [p, q] = [before[row * V + v]!, after[row * V + v]!];
      divergence += Math.exp(p) * (p - q);
      if (p > before[row * V + first]!) first = v;
      if (q > after[row * V + second]!) second = v;
    }
    flips += first === second ? 0 : 1;
    rows++;
  }
  return { divergence: divergence / rows, flips: flips / rows };
}

/** A model that says its logits, and whose maps can be changed. */
export interface DisturbableModel {
  readonly parameters: ParameterSet;
  readonly inputs: BatchInputs;
  /** The maps of each sublayer that mixes streams; none of a residual model. */
  readonly changeable: ReturnType<typeof changeableMaps>["changeable"];
  readonly spec: ProgramSpec<{ readonly loss: Tensor; readonly logits: Tensor }>;
}

export function disturbableModel(config: BatchConfig): DisturbableModel {
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  const inputs = batchInputs(config);
  const { adjustments, changeable } = changeableMaps(2 * config.model.layers);
  const { hidden_NC } = model.hidden(inputs.tokens, undefined, undefined, adjustments);
  const loss = model.loss(hidden_NC, inputs.targets, inputs.weights);
  return { parameters, inputs, changeable, spec: { outputs: { loss, logits: model.logits(hidden_NC) } } };
}

/**
 * Disturb a trained model in many ways and measure what it says on the validation batches.
 *
 * @param checkpoint step and parameters, such as `trainer.save()`
 */
export async function measureRobustness(
  runtime: Runtime,
  config: TrainingConfig,
  checkpoint: Pick<TrainerState, "step" | "model">,
  batches: Batches,
  options: RobustnessOptions = {},
): Promise<RobustnessData> {
  expectFields("measureRobustness", options, optionRules);
  expectTrainingConfig("measureRobustness", config);
  if (options.draws !== undefined) expectWhole("measureRobustness", "draws", options.draws, 1, 1000);
  const V = config.model.vocabulary;
  const { parameters, inputs, changeable, spec } = disturbableModel(config);
  const program = inPrecision(runtime, config.precision).compile(spec);
  restoreTensors(runtime, parameters.all, checkpoint.model, "model");
  const saved = new Map(checkpoint.model.map(({ name, data }) => [name, data]));

  const setStream = (dropped: number | undefined): void => {
    for (const { streams, matrix, shift } of changeable.values()) {
      const isThere = dropped !== undefined && dropped < streams;
      const map = coefficientMap(isThere ? { kind: "drop", stream: dropped } : undefined, streams, []);
      runtime.write(matrix, map.matrix);
      runtime.write(shift, map.shift);
    }
  };
  /** Put every parameter in the place that a disturbance wants. */
  const setParameters = ({ parameter }: Pick<Disturbance, "parameter">, draw: number): void => {
    for (const [index, each] of parameters.all.entries()) {
      const values = saved.get(each.name)!;
      runtime.write(each.tensor, parameter?.(each, index, values, draw) ?? values);
    }
  };
  const say = async (batch: ValidationBatch, tokens: Int32Array): Promise<Said> => {
    writeBatch(runtime, inputs, { ...batch, tokens });
    program.run();
    const [[loss = NaN], logits] = await Promise.all([program.read("loss"), program.read("logits")]);
    return { loss, logs: logSoftmax(logits, V) };
  };
  const countedOf = ({ counted, targets }: ValidationBatch): number => counted ?? targets.length;

  setStream(undefined);
  const all = [...batches.validationBatches()];
  const tokens = all.reduce((sum, batch) => sum + countedOf(batch), 0);
  const meanOver = (values: readonly number[]): number =>
    values.reduce((sum, value, at) => sum + value * countedOf(all[at]!), 0) / tokens;
  const unchanged: Said[] = [];
  for (const batch of all) unchanged.push(await say(batch, batch.tokens));
  const loss = meanOver(unchanged.map((said) => said.loss));
  const guessing = Math.log(V);

  const measureDraw = async (disturbance: Disturbance, draw: number) => {
    const seen: { loss: number; divergence: number; flips: number }[] = [];
    if (disturbance.parameter) setParameters(disturbance, draw);
    if (disturbance.stream !== undefined) setStream(disturbance.stream);
    for (const [at, batch] of all.entries()) {
      const said = await say(batch, disturbance.tokens?.(batch.tokens, at, draw) ?? batch.tokens);
      const { weights } = batch;
      const counts = weights ? (row: number): boolean => weights[row]! > 0 : (): boolean => true;
      seen.push({ loss: said.loss, ...compare(unchanged[at]!.logs, said.logs, V, counts) });
    }
    if (disturbance.parameter) setParameters({}, 0);
    if (disturbance.stream !== undefined) setStream(undefined);
    return {
      loss: meanOver(seen.map((one) => one.loss)),
      divergence: meanOver(seen.map((one) => one.divergence)),
      flips: meanOver(seen.map((one) => one.flips)),
    };
  };

  const streams = Math.max(0, ...[...changeable.values()].map((maps) => maps.streams));
  const planned = disturbances(config, streams > 1 ? streams : 0, options);
  const rows: RobustnessRow[] = [];
  for (const disturbance of planned) {
    if (options.signal?.aborted) break;
    const seen: Awaited<ReturnType<typeof measureDraw>>[] = [];
    for (let draw = 0; draw < disturbance.draws; draw++) {
      seen.push(await measureDraw(disturbance, draw));
      // Signals are delivered between draws, whose computation may be synchronous.
      await new Promise((resolve) => void setTimeout(resolve));
    }
    const changed = mean(seen.map((one) => one.loss));
    const row = {
      name: disturbance.name,
      kind: disturbance.kind,
      loss: changed,
      change: changed - loss,
      divergence: mean(seen.map((one) => one.divergence)),
      flips: mean(seen.map((one) => one.flips)),
      draws: disturbance.draws,
      bounded: seen.every((one) => one.loss < guessing),
    };
    rows.push(row);
    options.onRow?.(row, rows.length, planned.length);
  }
  program.release();
  for (const { tensor } of parameters.all) runtime.forget(tensor);
  return { step: checkpoint.step, loss, guessing, rows, tokens };
}
