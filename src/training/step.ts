// Question: what happens in one training step?
//
// Everything, inside one compiled program: forward, backward, the norm of all gradients, clipping and
// the optimizer. With gradient accumulation there are two programs: one adds a microbatch's gradients to a
// sum, the other updates from the sum. A step whose gradient norm is not finite changes nothing.

import { given } from "../basics/given.ts";
import { fill } from "../ops/fill.ts";
import { gradients } from "../ops/gradients.ts";
import { createParameters, type Parameter, type ParameterSet, trainedParameters } from "../graph/parameters.ts";
import { input, persistent } from "../graph/state.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { SublayerResult } from "../connections/connection.ts";
import { type LanguageModel, languageModel } from "../model/language-model.ts";
import type { MixtureConfig, Routing } from "../model/mixture.ts";
import { add, relu, scale, subtract } from "../ops/elementwise.ts";
import { finite } from "../ops/masks.ts";
import { slice } from "../ops/slice.ts";
import { balanceBias } from "../ops/balance-bias.ts";
import { mean } from "../ops/reductions.ts";
import { type ComputePrecision, programInPrecision } from "../runtime/precision.ts";
import type { Outputs, ProgramSpec } from "../runtime/program.ts";
import { type BatchConfig, type BatchInputs, batchInputs } from "./inputs.ts";
import type { KeptState } from "./optimizers/rule.ts";
import { type OptimizerStep, optimizerStep } from "./optimizers/step.ts";
import type { OptimizerConfig, TrainingConfig } from "./config.ts";

export interface StepGraph extends BatchInputs {
  /** [3]: the learning rate, and two numbers of the optimizer; see `optimizerSchedule`. */
  readonly schedule: Tensor;
  /** Optimizer state, saved beside the parameters. */
  readonly moments: readonly KeptState[];
  readonly programs: StepPrograms;
}

/** What a microbatch tells: its loss [], and of each layer with a mixture of experts the tokens of each expert [E]. */
export type MicroOutputs = { readonly loss: Tensor; readonly loads: readonly Tensor[] };

/**
 * What an update tells: clip [2] (norm and factor), and of each trained parameter the sum of the squares of its
 * gradient before clipping [].
 */
export type UpdateOutputs = { readonly clip: Tensor; readonly squares: readonly Tensor[] };

/** Either one program that does it all, or two where gradients accumulate: `micro` adds to a sum, `update` takes it. */
export type StepPrograms =
  | { readonly micro: ProgramSpec<MicroOutputs & UpdateOutputs>; readonly update: undefined }
  | { readonly micro: ProgramSpec<MicroOutputs>; readonly update: ProgramSpec<UpdateOutputs> };

/** The programs of a step, in the order in which they run. */
export function listPrograms({ micro, update }: StepPrograms): readonly ProgramSpec[] {
  return update ? [micro, update] : [micro];
}

export interface StepOptions {
  readonly batch: number;
  readonly accumulate: number;
  /** Which tokens the loss counts; absent: all. */
  readonly data?: BatchConfig["data"];
  readonly optimizer: OptimizerConfig;
  /** Default: float32. */
  readonly precision?: ComputePrecision | undefined;
  /** Sublayers between stored states; undefined stores everything. See `LanguageModel.hidden`. */
  readonly storeEvery?: number | undefined;
}

/** What a step's graph depends on. */
export type StepConfig = Pick<TrainingConfig, "model" | "batch" | "accumulate" | "optimizer" | "precision"> &
  BatchConfig;

/** The graph of a step over parameters of its own. `storeEvery`: see `LanguageModel.hidden`. */
export function makeStep(
  { model, batch, accumulate, optimizer, precision, data }: StepConfig,
  storeEvery?: number,
): { parameters: ParameterSet; graph: StepGraph } {
  const parameters = createParameters();
  const graph = buildStep(languageModel(model, parameters), parameters, {
    batch,
    accumulate,
    optimizer,
    precision,
    storeEvery,
    ...given({ data }),
  });
  return { parameters, graph };
}

/** What of a step is the same however its gradients are added up. */
export interface StepHead {
  readonly inputs: BatchInputs;
  readonly schedule: Tensor;
  readonly trained: readonly Parameter[];
  readonly loss: Tensor;
  /** The tokens of each expert, of each layer with a mixture of experts. */
  readonly loads: readonly Tensor[];
  /** Of each trained parameter. */
  readonly gradients: readonly Tensor[];
  /** The next biases of the experts, from their loads in the whole batch, and the next shares of what falls. */
  balanced(loads: readonly Tensor[], clip: Tensor): readonly (readonly [state: Tensor, value: Tensor])[];
}

/**
 * The forward and the backward pass of a microbatch over a model's parameters.
 *
 * @param parts equal parts of the rows that pass through the model apart, so that one computes while another waits for
 *   other ranks; a divisor of the batch
 */
export function buildHead(
  model: LanguageModel,
  parameters: ParameterSet,
  { batch, storeEvery, data }: Pick<StepOptions, "batch" | "storeEvery" | "data">,
  parts = 1,
): StepHead {
  const { feedForward } = model.config;
  const trained = trainedParameters(parameters);
  const inputs = batchInputs({ batch, model: model.config, ...given({ data }) });
  const { tokens, targets, weights } = inputs;
  const schedule = input("schedule", [3]);

  const pass = (part: number) => {
    const rows = (all: Tensor): Tensor => (parts === 1 ? all : slice(all, 0, (part * batch) / parts, batch / parts));
    const { hidden_NC, routing, sublayers } = model.hidden(rows(tokens), storeEvery);
    const loss = model.loss(hidden_NC, rows(targets), weights && rows(weights));
    const penalties = sublayers.flatMap(({ penalty }) => penalty ?? []);
    const falling = sublayers.flatMap((sublayer) => sublayer.falling ?? []);
    const minimised = routing.reduce(
      (sum, { unevenness_B }) => (unevenness_B ? add(sum, scale(mean(unevenness_B), feedForward!.balanceLoss!)) : sum),
      penalties.reduce(add, loss),
    );
    return { loss, minimised, routing, falling };
  };
  const passes = Array.from({ length: parts }, (_, part) => pass(part));
  const meanOf = (losses: readonly Tensor[]): Tensor =>
    losses.length === 1 ? losses[0]! : scale(losses.reduce(add), 1 / losses.length);
  const { routing, falling } = passes[0]!;
  const byParameter = gradients(
    meanOf(passes.map(({ minimised }) => minimised)),
    trained.map(({ tensor }) => tensor),
  );
  return {
    inputs,
    schedule,
    trained,
    loss: meanOf(passes.map(({ loss }) => loss)),
    loads: routing.map((_, layer) => passes.map((each) => each.routing[layer]!.load_E).reduce(add)),
    gradients: byParameter,
    balanced: balancedBy({ routing, falling }, feedForward),
  };
}

/** A share that falls while the model trains. */
export type Falling = NonNullable<SublayerResult["falling"]>;

/** How the states change that no gradient moves: the biases of the experts, and the shares of what falls. */
export const balancedBy =
  (
    { routing, falling }: { readonly routing: readonly Routing[]; readonly falling: readonly Falling[] },
    mixture: MixtureConfig | undefined,
  ): StepHead["balanced"] =>
  (loads, clip) => [
    ...routing.map(
      ({ bias_E }, index) => [bias_E, balanceBias(bias_E, loads[index]!, clip, mixture!.balanceRate)] as const,
    ),
    ...falling.map(({ share, steps }) => [share, fallen(share, clip, steps)] as const),
  ];

/** A share [1] after a step that changes something: less by 1 / steps, and never below 0. */
const fallen = (share: Tensor, clip: Tensor, steps: number): Tensor =>
  relu(subtract(share, scale(finite(slice(clip, 0, 0, 1)), 1 / steps)));

/** The graph of a step over a model's parameters. */
export function buildStep(model: LanguageModel, parameters: ParameterSet, options: StepOptions): StepGraph {
  const { accumulate, optimizer, precision } = options;
  const rounded = <O extends Outputs>(spec: ProgramSpec<O>): ProgramSpec<O> => programInPrecision(spec, precision);
  const head = buildHead(model, parameters, options);
  const { inputs, schedule, trained, loss, loads, gradients: byParameter } = head;

  const updateFrom = (
    byParameter: readonly Tensor[],
    loads: readonly Tensor[],
  ): { outputs: UpdateOutputs; updates: OptimizerStep["updates"]; moments: StepGraph["moments"] } => {
    const { updates, clip, squares, moments } = optimizerStep(trained, byParameter, schedule, optimizer);
    return { outputs: { clip, squares }, updates: [...updates, ...head.balanced(loads, clip)], moments };
  };

  if (accumulate === 1) {
    const { outputs, updates, moments } = updateFrom(byParameter, loads);
    return {
      ...inputs,
      schedule,
      moments,
      programs: { micro: rounded({ outputs: { loss, loads, ...outputs }, updates }), update: undefined },
    };
  }
  const sums = trained.map(({ tensor, name }) => persistent(`${name}.gradient`, tensor.shape));
  const loadSums = loads.map((load_E, index) => persistent(`load.${index}`, load_E.shape));
  const additions = [...byParameter, ...loads];
  const accumulated = [...sums, ...loadSums].map((sum, index): [Tensor, Tensor] => [sum, add(sum, additions[index]!)]);
  const { outputs, updates, moments } = updateFrom(
    sums.map((sum) => scale(sum, 1 / accumulate)),
    loadSums,
  );
  const cleared = [...sums, ...loadSums].map((sum): [Tensor, Tensor] => [sum, fill(sum.shape, 0)]);
  return {
    ...inputs,
    schedule,
    moments,
    programs: {
      micro: rounded({ outputs: { loss, loads }, updates: accumulated }),
      update: rounded({ outputs, updates: [...updates, ...cleared] }),
    },
  };
}
