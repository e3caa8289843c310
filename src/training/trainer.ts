// Question: how is one model trained, step by step?
//
// A trainer holds a model's compiled programs and the position in the run. It touches no files: what
// is written where is run.ts. Given the same configuration, data and checkpoint it does the same bits.

import { given } from "../basics/given.ts";
import type { Batches } from "../data/batches.ts";
import { type Parameter, parameterCount, trainedParameters } from "../graph/parameters.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import type { SamplingOptions } from "../model/generate.ts";
import type { Call } from "../runtime/plan/calls.ts";
import type { Runtime } from "../runtime/program.ts";
import type { WasmProgram, WasmRuntime } from "../runtime/wasm/runtime.ts";
import type { Instruments } from "../stability/instruments.ts";
import { adamwSchedule } from "./adamw-updates.ts";
import type { TrainingConfig } from "./config.ts";
import { type Evaluation, meanLoss } from "./evaluation.ts";
import { initialise } from "./initialise.ts";
import { compileTraining } from "./programs.ts";
import { learningRate } from "./schedule.ts";
import { measureUpdate } from "./update-norms.ts";

/** What one training step did. */
export interface StepResult {
  /** From 1. */
  readonly step: number;
  /** Mean cross-entropy of the batch before the update, in nats a token. */
  readonly loss: number;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Time of the step, writing its batch and reading its loss included. */
  readonly seconds: number;
  /** Tokens of the batch, all microbatches together. */
  readonly tokens: number;
  /** Tokens of each expert, for each layer with a mixture of experts; absent without one. */
  readonly expertLoad?: readonly (readonly number[])[];
  /** What the instruments saw, if they were asked to look; not counted in `seconds`. */
  readonly instruments?: Instruments;
}

/** What is asked of one training step. */
export interface StepWishes {
  /** Share of the learning rate that the schedule has for the step; 1 by default. */
  readonly rateFactor?: number;
  /** Read the instruments: the forward pass of the batch's first sequence once more, and what the update does. */
  readonly instruments?: boolean;
}

/** A tensor as it is saved. */
export interface SavedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Everything a trainer needs to go on bit by bit: the step, the parameters, the moments. */
export interface TrainerState {
  readonly step: number;
  readonly model: readonly SavedTensor[];
  readonly optimizer: readonly SavedTensor[];
}

/** A model in training: its compiled step, and its position in the run. */
export interface Trainer {
  readonly config: TrainingConfig;
  readonly parameterCount: number;
  /** State and the largest arena, in bytes: what the plan says this model needs while it trains. */
  readonly memoryBytes: number;
  /** Sublayers between stored states; undefined when everything is stored. */
  readonly storeEvery: number | undefined;
  /** Steps done. */
  readonly step: number;
  /** The compiled step, for looking at its plan. */
  readonly program: WasmProgram;
  /** Train on the next batch; a step whose gradients have no finite norm changes nothing and does not count. */
  trainStep(wishes?: StepWishes): StepResult;
  /** Measure all validation batches; changes no parameter. */
  evaluate(): Evaluation;
  /** After a step that was not finite: the first tensor of it, in order of execution, with a value that is not. */
  findNotFinite(): string | undefined;
  /** Write on from token ids with the parameters as they are; see `Generator`. */
  generate(prompt: readonly number[], options: SamplingOptions): Iterable<number>;
  /** A copy of all that is trained and kept. */
  save(): TrainerState;
  /** The same without copying: the values where they lie, until the next step. Not to be written to. */
  view(): TrainerState;
  /** Go on from a saved state; throws an Error when a tensor is missing or has another shape. */
  restore(state: TrainerState): void;
  /** Give its memory back to the runtime: programs, parameters and moments. All else then throws an Error. */
  release(): void;
}

/**
 * Compile a model's training step and write its first values. It touches no files; `openRun` does.
 *
 * @param batches what each step learns from and what validation measures
 */
export function createTrainer(runtime: WasmRuntime, config: TrainingConfig, batches: Batches): Trainer {
  const { batch, accumulate, optimizer } = config;
  const { context } = config.model;
  const programs = compileTraining(runtime, config);
  const { parameters, graph, micro, update } = programs;
  initialise(runtime, parameters, config.seed);

  const trained = trainedParameters(parameters);
  const loadNames = Object.keys(graph.micro.outputs).filter((name) => name.startsWith("load."));
  let step = 0;
  let released = false;
  const expectThere = (): void => {
    if (released) throw new Error("This trainer has been released; make another, or read its checkpoint.");
  };

  const feed = ({ tokens, targets }: { tokens: Int32Array; targets: Int32Array }): void => {
    runtime.write(graph.tokens, tokens);
    runtime.write(graph.targets, targets);
  };
  const readTrained = (): Float32Array[] => trained.map(({ tensor }) => runtime.read(tensor) as Float32Array);
  /** Of the next step's first sequence. */
  const observe = (): Instruments =>
    programs.observer().observe(batches.trainingBatch(step, 0).tokens.subarray(0, context));
  const stateOf = (values: (tensor: Tensor) => Float32Array | Int32Array): TrainerState => {
    expectThere();
    const saved = ({ name, tensor }: { name: string; tensor: Tensor }): SavedTensor => ({
      name,
      shape: tensor.shape,
      data: values(tensor) as Float32Array,
    });
    return { step, model: parameters.all.map(saved), optimizer: graph.moments.map(saved) };
  };

  const stateBytes =
    [...parameters.all, ...graph.moments].reduce((sum, { tensor }) => sum + 4 * sizeOf(tensor.shape), 0) +
    (update ? 4 * parameterCount(parameters) : 0);

  return {
    config,
    parameterCount: parameterCount(parameters),
    memoryBytes: stateBytes + Math.max(micro.arenaBytes, update?.arenaBytes ?? 0),
    storeEvery: programs.storeEvery,
    program: micro,
    get step() {
      return step;
    },
    trainStep({ instruments: asked = false, rateFactor = 1 } = {}) {
      expectThere();
      const forward = asked ? observe() : undefined;
      const before = asked ? readTrained() : undefined;
      const started = performance.now();
      const current = step + 1;
      const rate = rateFactor * learningRate(optimizer, current, config.steps);
      runtime.write(graph.schedule, adamwSchedule(rate, current, optimizer));
      let loss = 0;
      let expertLoad = loadNames.map((): number[] => []);
      for (let index = 0; index < accumulate; index++) {
        feed(batches.trainingBatch(step, index));
        micro.run();
        loss += micro.read("loss")[0]! / accumulate;
        expertLoad = loadNames.map((name, at) => Array.from(micro.read(name), (x, e) => x + (expertLoad[at]![e] ?? 0)));
      }
      update?.run();
      const last = update ?? micro;
      const gradientNorm = last.read("clip")[0]!;
      if (Number.isFinite(gradientNorm)) step = current;
      const seconds = (performance.now() - started) / 1000;
      const instruments = before && {
        ...forward,
        ...measureUpdate(trained, {
          squares: trained.map((_, index) => last.read(`squares.${index}`)[0]!),
          before,
          after: (index) => runtime.view(trained[index]!.tensor),
        }),
      };
      return {
        step: current,
        loss,
        gradientNorm,
        learningRate: rate,
        seconds,
        tokens: batch * context * accumulate,
        ...(loadNames.length > 0 ? { expertLoad } : {}),
        ...given({ instruments }),
      };
    },
    evaluate() {
      expectThere();
      const { tokens, targets, program } = programs.evaluation();
      return meanLoss(batches.validationBatches(), (next) => {
        runtime.write(tokens, next.tokens);
        runtime.write(targets, next.targets);
        program.run();
        return program.read("loss")[0]!;
      });
    },
    findNotFinite() {
      expectThere();
      let found: string | undefined;
      for (let index = 0; index < accumulate && found === undefined; index++) {
        feed(batches.trainingBatch(step, index));
        found = firstNotFinite(micro);
      }
      // Empties the sums of the gradients; they are not finite, so it changes nothing else.
      update?.run();
      return found;
    },
    generate(prompt, options) {
      expectThere();
      return programs.generator().generate(prompt, options);
    },
    save: () => stateOf(runtime.read),
    view: () => stateOf(runtime.view),
    restore(state) {
      expectThere();
      restoreTensors(runtime, parameters.all, state.model, "model");
      restoreTensors(runtime, graph.moments, state.optimizer, "optimizer");
      step = state.step;
    },
    release() {
      released = true;
      programs.release();
    },
  };
}

/** The first call of a program, run once more, that writes a value which is not finite. */
function firstNotFinite(program: WasmProgram): string | undefined {
  const bad = new Set<Call>();
  program.trace((call, values) => {
    if (!bad.has(call) && !values.every(Number.isFinite)) bad.add(call);
  });
  const calls = program.plan.phases.flat().flatMap((group) => group.calls);
  return calls.find((call) => bad.has(call))?.label;
}

export function restoreTensors(
  runtime: Runtime,
  wanted: readonly Pick<Parameter, "name" | "tensor">[],
  saved: readonly SavedTensor[],
  file: string,
): void {
  const byName = new Map(saved.map((tensor) => [tensor.name, tensor]));
  for (const { name, tensor } of wanted) {
    const found = byName.get(name);
    if (!found) throw new Error(`The checkpoint's ${file} file has no tensor "${name}"; it belongs to another model.`);
    if (found.shape.join() !== tensor.shape.join()) {
      throw new Error(
        `The checkpoint's "${name}" has shape [${found.shape.join(", ")}], the model needs [${tensor.shape.join(", ")}].`,
      );
    }
    runtime.write(tensor, found.data);
  }
}
