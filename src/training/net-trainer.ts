// Question: how is a network of one's own trained, step by step?
//
// A network is a loss over a set of parameters. Its training is one program: gradients, clipping, an optimizer. Each step
// takes the inputs of its batch and the rate of its schedule; what the connections mix is looked at by another program, so
// that looking changes no bit. It touches no files; runs/train-net.ts records what it does.

import { MOST_COUNT } from "../basics/bounds.ts";
import { expectFields, expectGiven, expectName, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { expectWhole } from "../basics/ranges.ts";
import { showValue } from "../basics/show.ts";
import { type ParameterSet, parameterCount } from "../graph/parameters.ts";
import { stateOf } from "../graph/state.ts";
import { ancestors, showShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Instruments } from "../stability/instruments.ts";
import { measureMixing } from "../stability/measure.ts";
import { type BegunStep, createSteps, secondsOf } from "./ahead.ts";
import { adamwFields, type AdamwOptions, adamwUpdates } from "./adamw-updates.ts";
import { optimizerEntry, optimizerKinds } from "./optimizers/table.ts";
import { type OptimizerChoice, optimizerUpdates } from "./optimizers/updates.ts";
import type { ScheduleConfig } from "./config.ts";
import { learningRate as scheduledRate, scheduleKinds } from "./schedule.ts";
import type { SavedTensor, TrainerState } from "./state.ts";
import { restoreTensors } from "./restore.ts";

/** A network of one's own, as far as its training sees it. */
export interface Net {
  readonly parameters: ParameterSet;
  /** What is minimised: one element. */
  readonly loss: Tensor;
  /**
   * The coefficients [tokens, n² + 2n] of its sublayers that mix n streams, in order of depth, as
   * `SublayerResult.coefficients` has them: their gains are then measured. Absent: nothing is.
   */
  readonly mixing?: readonly Tensor[];
}

/** The inputs of a step, each with its values, row-major: a list of pairs or a Map. */
export type NetBatch = Iterable<readonly [input: Tensor, values: ArrayLike<number>]>;

/** How a network is trained: AdamW's settings, or another optimizer, and what each step learns from. */
export interface NetTraining extends AdamwOptions {
  /** An optimizer with its settings, such as { kind: "muon" }, in place of AdamW and of AdamW's settings here. */
  readonly optimizer?: OptimizerChoice;
  /** How many steps the training has. */
  readonly steps: number;
  /** The inputs of a step, from 1. Let it depend on the step alone, and a resumed run has the bits of one that never ended. */
  readonly batch: (step: number) => NetBatch | Promise<NetBatch>;
  /** Steps over which the rate rises linearly from zero. Default 0. */
  readonly warmup?: number;
  /**
   * How the rate goes on: "constant" (the default), "step" (× 0.316 from 80 % of the steps, × 0.1 from 90 %), "cosine"
   * (down to a tenth) or { kind: "cosine", final: 0 }.
   */
  readonly schedule?: ScheduleConfig["kind"] | ScheduleConfig;
}

const netRules: FieldRules<Net> = { parameters: "group", loss: "group", mixing: "list" };

/** The kinds of the fields, for those that add to them. */
export const netTrainingRules: FieldRules<NetTraining> = {
  ...adamwFields,
  optimizer: "group",
  steps: "number",
  batch: "function",
  warmup: "number",
  schedule: "anything",
};

/** What one step did. */
export interface NetStep {
  /** From 1. */
  readonly step: number;
  /** The loss of the batch before the update. */
  readonly loss: number;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Time of the step, its batch included; what is measured besides is not. Of one begun ahead, since the one before. */
  readonly seconds: number;
  /** What the connections mix, if it was asked for and the network has `mixing`. */
  readonly instruments?: Instruments;
}

/** A network in training. */
export interface NetTrainer {
  readonly parameterCount: number;
  /** Steps done. */
  readonly step: number;
  /** Whether a step has been begun ahead that `trainStep` has not told of. */
  readonly begun: boolean;
  /**
   * Train on the next batch. A step whose gradients have no finite norm changes nothing and does not count.
   *
   * @param look measure what the connections mix, on the batch before the update; of a step that was begun ahead it is
   *   too late
   * @param ahead begin the step after it, too, before this one's loss is waited for, if the runtime is asynchronous. The
   *   next `trainStep` tells of it; until then the parameters are already those of that step. If this one does not
   *   count, a saved state must be restored
   */
  trainStep(look?: boolean, ahead?: boolean): Promise<NetStep>;
  /** A copy of all that is trained and kept: the step, the parameters, what the optimizer keeps. */
  save(): Promise<TrainerState>;
  /** Go on from a saved state; throws an Error when a tensor is missing or has another shape. */
  restore(state: TrainerState): void;
  /** Give the programs and the moments back to the runtime; the parameters stay. */
  release(): void;
}

/** What a step tells, and when it began. */
type Told = Omit<NetStep, "seconds"> & { readonly started: number };

/** The instruments read at most so many rows of a batch. */
const MOST_ROWS = 1024;

/**
 * Compile the training of a network of one's own. The parameters must have values before the first step: call
 * `initialise(runtime, parameters)` or `loadParameters`. With a folder, a report and a page: `trainNet` of birkhoff/runs.
 *
 * @throws TypeError for a field that there is not or that is missing; RangeError for settings with which AdamW cannot
 *   work, and for coefficients of another shape; from `trainStep` an Error when an input of the loss is in no batch, a
 *   batch has a tensor that the loss does not depend on, or `initialise` was forgotten
 */
export function createNetTrainer(runtime: Runtime, net: Net, training: NetTraining): NetTrainer {
  expectFields("createNetTrainer", training, netTrainingRules);
  expectGiven("createNetTrainer", training, netTrainingRules, ["steps", "batch"]);
  const { parameters, loss, mixing = [] } = net;
  // The program may keep more in the same object, such as its inputs.
  expectFields("createNetTrainer", { parameters, loss, mixing }, netRules, "field");
  expectGiven("createNetTrainer", net, netRules, ["parameters", "loss"]);
  const { steps, batch, warmup, schedule, learningRate, ...settings } = training;
  expectWhole("createNetTrainer", "steps", steps, 1, MOST_COUNT);
  const optimizer = netOptimizer(settings);
  const usual = optimizer && optimizerEntry(optimizer.kind).usual.learningRate;
  const rate = rateOf({ steps, ...given({ warmup, schedule, learningRate: learningRate ?? usual }) });
  const rows = mixing.map(expectCoefficients);
  const updates = optimizer
    ? optimizerUpdates(parameters, loss, { ...optimizer, learningRate: rate })
    : adamwUpdates(parameters, loss, { ...settings, learningRate: rate });
  const program = runtime.compile({ outputs: { loss, clip: updates.clip }, updates: updates.updates });
  const looking = mixing.length > 0 ? runtime.compile({ outputs: { mixing } }) : undefined;
  const inputs = inputsOf([loss, ...mixing]);
  let step = 0;
  let first = true;

  const feed = async (current: number): Promise<void> => {
    const written = new Set<Tensor>();
    for (const [tensor, values] of await batch(current)) {
      expectInput(inputs, tensor, current);
      runtime.write(tensor, values);
      written.add(tensor);
    }
    if (first) for (const tensor of inputs) if (!written.has(tensor)) expectWritten(runtime, tensor);
    first = false;
  };
  const look = async (): Promise<Instruments | undefined> => {
    if (!looking) return undefined;
    looking.run();
    const values = await looking.read("mixing");
    const tokens = Math.min(...rows, MOST_ROWS);
    const observed = values.map((coefficients, index) => {
      const width = coefficients.length / rows[index]!;
      return { index, run: 0, coefficients: coefficients.subarray(0, tokens * width) };
    });
    return measureMixing(observed, observed.length, tokens);
  };
  const saved = async ({ name, tensor }: { name: string; tensor: Tensor }): Promise<SavedTensor> => ({
    name,
    shape: tensor.shape,
    data: Float32Array.from(await runtime.read(tensor)),
  });

  /** Give all orders of a step. */
  const begin = async (current: number, wanted: boolean): Promise<BegunStep<Told>> => {
    const started = performance.now();
    await feed(current);
    const fed = performance.now() - started;
    const instruments = wanted ? await look() : undefined;
    const computing = performance.now() - fed;
    updates.write(runtime, current);
    program.run();
    const told = Promise.all([program.read("loss"), program.read("clip")]).then(
      ([[value = NaN], [gradientNorm = NaN]]): Told => ({
        step: current,
        loss: value,
        gradientNorm,
        learningRate: rate(current),
        started: computing,
        ...given({ instruments }),
      }),
    );
    return { told };
  };
  const ahead = createSteps(runtime, begin);

  return {
    parameterCount: parameterCount(parameters),
    get step() {
      return step;
    },
    get begun() {
      return ahead.begun;
    },
    async trainStep(wanted = false, goesOn = false) {
      const { started, ...told } = await ahead.take(step + 1, wanted, goesOn ? false : undefined);
      if (Number.isFinite(told.gradientNorm)) step = told.step;
      return { ...told, seconds: secondsOf(runtime, started) };
    },
    async save() {
      ahead.expectEnded("save");
      const [model, optimizer] = await Promise.all([
        Promise.all(parameters.all.map(saved)),
        Promise.all(updates.moments.map(saved)),
      ]);
      return { step, model, optimizer };
    },
    restore(state) {
      ahead.drop();
      restoreTensors(runtime, parameters.all, state.model, "model");
      restoreTensors(runtime, updates.moments, state.optimizer, "optimizer");
      step = state.step;
    },
    release() {
      ahead.drop();
      program.release();
      looking?.release();
      for (const { tensor } of updates.moments) runtime.forget(tensor);
    },
  };
}

/** The optimizer that is named, without AdamW's settings beside it; undefined where AdamW is meant. */
export function netOptimizer({
  optimizer,
  ...settings
}: Omit<AdamwOptions, "learningRate"> & Pick<NetTraining, "optimizer">): OptimizerChoice | undefined {
  if (!optimizer) return undefined;
  const [beside] = Object.keys(given(settings));
  expectName("createNetTrainer", "optimizer.kind", optimizer.kind, optimizerKinds);
  if ("learningRate" in optimizer)
    throw new TypeError(
      "createNetTrainer: optimizer.learningRate is given; the rate is one of the training, as are warmup and schedule. Give it beside optimizer.",
    );
  if (beside === undefined) return optimizer;
  throw new TypeError(
    `createNetTrainer: optimizer is given, and ${beside} beside it; the optimizer has its own settings. Give { optimizer: { kind: …, ${beside}: … } }.`,
  );
}

/** The learning rate of each step, from 1. */
function rateOf({
  steps,
  warmup,
  schedule,
  learningRate = 3e-3,
}: Pick<NetTraining, "steps" | "warmup" | "schedule" | "learningRate">): (step: number) => number {
  if (typeof learningRate === "function") {
    const other = warmup === undefined ? (schedule === undefined ? undefined : "schedule") : "warmup";
    if (other === undefined) return learningRate;
    throw new TypeError(
      `createNetTrainer: learningRate is a function of the step, and ${other} is given, too; the function says the whole rate. Leave out one of the two.`,
    );
  }
  expectWhole("createNetTrainer", "warmup", warmup ?? 0, 0, MOST_COUNT);
  const optimizer = { learningRate, warmup: warmup ?? 0, schedule: scheduleOf(schedule ?? "constant") };
  return (step) => scheduledRate(optimizer, step, steps);
}

/** A schedule with its fields; that of a name has the defaults. */
export function scheduleOf(schedule: Required<NetTraining>["schedule"]): ScheduleConfig {
  const chosen: ScheduleConfig =
    typeof schedule === "string"
      ? schedule === "cosine"
        ? { kind: schedule, final: 0.1 }
        : { kind: schedule }
      : schedule;
  expectFields(
    "createNetTrainer",
    chosen as { readonly kind: ScheduleConfig["kind"]; readonly final?: number },
    { kind: "text", final: "number" },
    "field of schedule",
  );
  expectName("createNetTrainer", "schedule", chosen.kind, scheduleKinds);
  const { final } = chosen as { readonly final?: number };
  if (chosen.kind === "cosine" ? final !== undefined && final >= 0 && final <= 1 : final === undefined) return chosen;
  throw new RangeError(
    `createNetTrainer: schedule is ${showValue(schedule)}; only "cosine" has a final share of the rate, from 0 to 1, such as { kind: "cosine", final: 0.1 }. Give one of these.`,
  );
}

/** The rows of the coefficients of a sublayer. */
function expectCoefficients(tensor: Tensor, index: number): number {
  const [rows = 0, width = 0, ...more] = tensor?.shape ?? [];
  const streams = Math.sqrt(width + 1) - 1;
  if (tensor?.shape.length === 2 && more.length === 0 && Number.isInteger(streams) && streams >= 1) return rows;
  throw new RangeError(
    `createNetTrainer: mixing[${index}] is ${tensor?.shape ? showShape(tensor.shape) : showValue(tensor)}; it must be the coefficients [tokens, n² + 2n] of a sublayer that mixes n streams. Give apply(…).coefficients of hc or mhc, or leave mixing out.`,
  );
}

/** The inputs on which tensors depend. */
const inputsOf = (tensors: readonly Tensor[]): ReadonlySet<Tensor> =>
  new Set(
    ancestors(tensors)
      .flatMap(({ outputs }) => outputs)
      .filter((tensor) => stateOf(tensor)?.kind === "input"),
  );

const named = (tensor: Tensor): string => `"${stateOf(tensor)?.name ?? "a tensor that is no input"}"`;

function expectInput(inputs: ReadonlySet<Tensor>, tensor: Tensor, step: number): void {
  if (inputs.has(tensor)) return;
  throw new Error(
    `createNetTrainer: the batch of step ${step} gives ${named(tensor)}, on which the loss does not depend; its inputs are ${[...inputs].map(named).join(", ") || "none"}. Give those.`,
  );
}

/** An input that no batch gives must have been written before, or the network would learn from zeros. */
function expectWritten(runtime: Runtime, tensor: Tensor): void {
  if (runtime.readNow === undefined || runtime.readNow(tensor).some((value) => value !== 0)) return;
  throw new Error(
    `createNetTrainer: the input ${named(tensor)} of shape ${showShape(tensor.shape)} is in no batch and holds only zeros; give its ${sizeOf(tensor.shape)} values in the batch, or write them to the runtime before.`,
  );
}
