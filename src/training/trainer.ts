// Question: how is one model trained, step by step?
//
// A trainer holds a model's compiled programs and the position in the run. It touches no files: what
// is written where is run.ts. Given the same configuration, data and checkpoint it does the same bits.

import { expectTrainingConfig } from "./config.ts";
import { given } from "../basics/given.ts";
import type { Batch, Batches } from "../data/batches.ts";
import { parameterCount, trainedParameters } from "../graph/parameters.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import type { SamplingOptions } from "../model/generate.ts";
import { alone } from "../runtime/collective/alone.ts";
import type { Collective } from "../runtime/collective/collective.ts";
import { floatsOf, type TensorValues } from "../runtime/program.ts";
import { type Program, type Runtime, runWhole } from "../runtime/runtime.ts";
import type { Instruments } from "../stability/instruments.ts";
import { type BegunStep, createSteps, secondsOf } from "./ahead.ts";
import type { TrainingConfig } from "./config.ts";
import { type Evaluation, meanLoss } from "./evaluation.ts";
import { writeBatch } from "./inputs.ts";
import { initialise } from "./initialise.ts";
import { listenBetween } from "./listen.ts";
import { fixedLimit } from "./optimizers/clipping.ts";
import { optimizerSchedule } from "./optimizers/table.ts";
import { createOwnSteps, firstNotFinite, type OwnStepTold } from "./own-steps.ts";
import { meanOfRanks } from "./parallel/evaluation.ts";
import { ownOf } from "./parallel/own.ts";
import { createSharedSteps, type SharedStepTold } from "./parallel/shared-steps.ts";
import { bringTogether, sumOf, inWholeTensors, partOfState, wholeTensors } from "./parallel/experts.ts";
import { createMesh, type Mesh } from "./parallel/mesh.ts";
import type { RankWork } from "./parallel/told.ts";
import { compileTraining } from "./programs.ts";
import type { MicroOutputs } from "./step.ts";
import { learningRate } from "./schedule.ts";
import { restoreTensors } from "./restore.ts";
import type { OwnState, SavedTensor, TensorPiece, TrainerState } from "./state.ts";
import { measureUpdate, squaresOf } from "./update-norms.ts";

/** What one training step did. */
export interface StepResult {
  /** From 1. */
  readonly step: number;
  /** Mean cross-entropy of the batch before the update, in nats a token. */
  readonly loss: number;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Time of the step, writing its batch and reading its loss included; of one begun ahead, since the one before. */
  readonly seconds: number;
  /** Tokens of the batch, all microbatches together. */
  readonly tokens: number;
  /** Tokens of each expert, for each layer with a mixture of experts; absent without one. */
  readonly expertLoad?: readonly (readonly number[])[];
  /** What each rank did since the step before, of a training that several share. */
  readonly ranks?: readonly RankWork[];
  /** What the instruments saw, if they were asked to look; not counted in `seconds`. */
  readonly instruments?: Instruments;
}

/** What is asked of one training step. */
export interface StepWishes {
  /** Share of the learning rate that the schedule has for the step; 1 by default. */
  readonly rateFactor?: number;
  /** Read the instruments: the forward pass of the batch's first sequence once more, and what the update does. */
  readonly instruments?: boolean;
  /** See `Interruptible`: a step that it ends changes nothing and does not count. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Begin the step after this one, too, before this one's loss is waited for, if the runtime is asynchronous and no
   * instruments are read. The next `trainStep` tells of it; until then the trainer can do nothing else, for its
   * parameters are already those of that step. If this one does not count, a saved state must be restored.
   */
  readonly ahead?: Pick<StepWishes, "rateFactor"> | undefined;
}

/** What may be ended before it is done. */
export interface Interruptible {
  /** Looked at between batches; when it is aborted, the call rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What is asked of a saved state. */
export interface StateWishes {
  /** The one rank that needs it, of a training that several share: the others get it without moments. Default: all do. */
  readonly for?: number;
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
  /** Whether a step has been begun ahead that `trainStep` has not told of. */
  readonly begun: boolean;
  /** The compiled step, for looking at its plan; of a stage of a pipeline the forward pass of its first piece. */
  readonly program: Program<MicroOutputs>;
  /** Train on the next batch; a step whose gradients have no finite norm changes nothing and does not count. */
  trainStep(wishes?: StepWishes): Promise<StepResult>;
  /**
   * Measure all validation batches; changes no parameter. With a signal that is aborted it ends early, unless it is
   * done in a few seconds.
   */
  evaluate(wishes?: Interruptible): Promise<Evaluation>;
  /**
   * After a step that was not finite: the first tensor of it, in order of execution, with a value that is not;
   * undefined where the runtime cannot look, and where the parameters are those of a step that was begun ahead.
   */
  findNotFinite(): Promise<string | undefined>;
  /**
   * Write on from token ids with the parameters as they are; see `Generator`. Where ranks share experts, rank 0 alone can,
   * after `gatherExperts`; where they share layers, all call it with the same, and each gets the text.
   */
  generate(prompt: readonly number[], options: SamplingOptions): AsyncIterable<number>;
  /**
   * The scores of the token after these, [V], for which all ranks ask at once; absent where each rank has all layers.
   *
   * @param window at least one token, at most the model's context
   */
  nextScores?(window: readonly number[]): Promise<ArrayLike<number>>;
  /** Whether all ranks read the instruments together, for none has the whole model; else each can alone. */
  readonly observesTogether?: boolean;
  /** Bring the experts together on rank 0, so that it can write; absent where each rank has all experts. */
  gatherExperts?(): Promise<void>;
  /** A copy of all that is trained and kept. */
  save(wishes?: StateWishes): Promise<TrainerState>;
  /** The same without copying where the runtime can: the values where they lie, until the next step. Not to be written to. */
  view(wishes?: StateWishes): Promise<TrainerState>;
  /**
   * This rank's part of what `view` shows, and nothing is sent: all parts together are the whole. Of a trainer that is
   * alone the whole.
   */
  viewOwn(): Promise<OwnState>;
  /** Go on from a saved state; throws an Error when a tensor is missing or has another shape. */
  restore(state: TrainerState): void;
  /** Give its memory back to the runtime: programs, parameters and moments. All else then throws an Error. */
  release(): void;
}

/**
 * Compile a model's training step and write its first values. It touches no files; `openRun` does.
 *
 * With a collective of several ranks each has such a trainer, and all call its methods in the same order (`generate`
 * alone is each one's own): they share every batch, keep the same parameters bit for bit, and each the moments of its
 * part of them. See src/training/parallel.
 *
 * @param batches what each step learns from and what validation measures: of the whole training, on every rank
 * @param ranks this process's way to the others, or its place in a mesh of them; by default it is alone
 */
export function createTrainer(
  runtime: Runtime,
  config: TrainingConfig,
  batches: Batches,
  ranks: Collective | Mesh = alone(),
): Trainer {
  expectTrainingConfig("createTrainer", config);
  const { batch, accumulate, optimizer } = config;
  const { context } = config.model;
  const mesh = "world" in ranks ? ranks : createMesh(ranks, { data: ranks.size, pipeline: 1, expert: 1 });
  const { rows, expert } = mesh;
  const sharesExperts = expert.size > 1;
  const programs = compileTraining(runtime, config, sharesExperts ? { ...rows, experts: expert.size } : rows, expert);
  const { parameters, graph, micro, last } = programs;
  initialise(runtime, parameters, config.seed);

  const shared =
    programs.shared &&
    createSharedSteps(runtime, mesh, batches, {
      ...programs.shared,
      limit: fixedLimit(optimizer.clip),
      reducePrecision: config.reducePrecision,
      micro,
      last,
    });

  const own = createOwnSteps(runtime, programs, batches, accumulate);

  const trained = trainedParameters(parameters);
  let step = 0;
  let released = false;
  const expectThere = (operation: string): void => {
    if (released)
      throw new Error(
        `${operation}: this trainer has been released and holds nothing any more; make another, or read its checkpoint.`,
      );
  };

  const readTrained = (): Promise<TensorValues[]> => Promise.all(trained.map(({ tensor }) => runtime.read(tensor)));
  /** Of a step's first sequence. */
  const observe = (current: number): Promise<Instruments> =>
    programs.observer().observe(batches.trainingBatch(current - 1, 0).tokens.subarray(0, context));
  const stateOf = async (
    operation: string,
    values: (tensor: Tensor) => TensorValues | Promise<TensorValues>,
    wishes: StateWishes = {},
  ): Promise<TrainerState> => {
    expectThere(operation);
    steps.expectEnded(operation);
    const arrived = shared?.arrived();
    if (arrived) await arrived;
    const saved = async ({ name, tensor }: { name: string; tensor: Tensor }): Promise<SavedTensor> => ({
      name,
      shape: tensor.shape,
      data: floatsOf(await values(tensor)),
    });
    // All are asked for before the first is awaited: no step comes between.
    const [model, optimizer] = await Promise.all([
      Promise.all(parameters.all.map(saved)),
      shared ? shared.moments(wishes.for) : Promise.all(graph.moments.map(saved)),
    ]);
    return { step, model: await wholeFor(model, wishes), optimizer: await wholeFor(optimizer, wishes) };
  };
  /** Whole tensors where they are wanted. */
  const wholeFor = async (saved: SavedTensor[], wishes: StateWishes): Promise<SavedTensor[]> => {
    const replicaOf = (rank: number): number => Math.floor(rank / expert.size);
    if (!sharesExperts || (wishes.for !== undefined && replicaOf(wishes.for) !== mesh.replica)) return saved;
    return await wholeTensors(parameters.all, expert, saved);
  };

  const viewOf = (tensor: Tensor): TensorValues | Promise<TensorValues> =>
    runtime.view?.(tensor) ?? runtime.read(tensor);

  /** What has changed in the parameters, one after another, so that no two copies are held. */
  const movesSince = async (before: readonly TensorValues[]): Promise<[weight: number, update: number][]> => {
    const moves: [number, number][] = [];
    for (const [index, { tensor, share }] of trained.entries()) {
      const own = squaresOf(before[index]!, await viewOf(tensor));
      const [weight = 0, update = 0] = sharesExperts && share ? await sumOf(expert, own) : own;
      moves.push([weight, update]);
    }
    return moves;
  };

  /** Give all orders of a step. */
  const begin = async (
    current: number,
    {
      instruments: asked = false,
      rateFactor = 1,
      signal,
      follows = false,
    }: StepWishes & { readonly follows?: boolean },
  ): Promise<BegunStep<Told>> => {
    if (asked) await shared?.arrived();
    const forward = asked ? await observe(current) : undefined;
    const before = asked ? await readTrained() : undefined;
    const started = performance.now();
    const rate = rateFactor * learningRate(optimizer, current, config.steps);
    runtime.write(graph.schedule, optimizerSchedule(rate, current, optimizer));
    const tokens = batch * context * accumulate;
    const toldOf = ({ expertLoad, ...rest }: OwnStepTold | SharedTold): Told => ({
      ...rest,
      step: current,
      learningRate: rate,
      started,
      tokens,
      ...(expertLoad.length > 0 ? { expertLoad } : {}),
      forward,
      before,
    });
    if (shared) {
      const { squares, ...rest } = await shared.run(current, follows);
      return { told: Promise.resolve(toldOf({ ...rest, squares: squares.map((square) => Float32Array.of(square)) })) };
    }
    const { told } = await own.begin(current, { squares: asked, signal });
    return { told: told.then(toldOf) };
  };
  // A step of several ranks waits for them before it ends, so that nothing is won by beginning the next; and all ranks
  // must begin it or none, whatever their runtimes.
  const steps = createSteps(shared ? {} : runtime, begin);

  const stateBytes =
    [...parameters.all, ...graph.moments].reduce((sum, { tensor }) => sum + 4 * sizeOf(tensor.shape), 0) +
    (programs.single ? 0 : trained.reduce((sum, { tensor }) => sum + 4 * sizeOf(tensor.shape), 0));

  return {
    config,
    parameterCount: parameterCount(parameters),
    memoryBytes: stateBytes + Math.max(...[micro, last].map(({ bytes, plan }) => bytes ?? plan?.arena.bytes ?? 0)),
    storeEvery: programs.storeEvery,
    program: micro,
    get step() {
      return step;
    },
    get begun() {
      return steps.begun;
    },
    async trainStep({ ahead, ...wishes } = {}) {
      expectThere("trainStep");
      const next = wishes.instruments ? undefined : ahead;
      const told = await steps.take(step + 1, { ...wishes, follows: next !== undefined }, next);
      const { before, forward, squares, started, ...rest } = told;
      const result = { ...rest, seconds: secondsOf(runtime, started) };
      if (Number.isFinite(result.gradientNorm)) step = result.step;
      const instruments = before && {
        ...forward,
        ...measureUpdate(trained, {
          squares: squares.map(([square = NaN]) => square),
          moves: await movesSince(before),
        }),
      };
      return { ...result, ...given({ instruments }) };
    },
    async evaluate({ signal } = {}) {
      expectThere("evaluate");
      steps.expectEnded("evaluate");
      await shared?.arrived();
      const { inputs, program } = programs.evaluation();
      const lossOf = async (next: Batch): Promise<number> => {
        writeBatch(runtime, inputs, next);
        await runWhole(program);
        return (await program.read("loss"))[0] ?? NaN;
      };
      if (shared) return await meanOfRanks(rows, batches, lossOf, sharesExperts);
      const interrupted = listenBetween(signal);
      const started = performance.now();
      let done = 0;
      return meanLoss(batches.validationBatches(), async (next) => {
        const left = ((performance.now() - started) / done) * (batches.validationCount - done);
        if ((await interrupted()) && done > 0 && left > PATIENCE_MS) throw signal!.reason;
        done++;
        return await lossOf(next);
      });
    },
    async findNotFinite() {
      expectThere("findNotFinite");
      if (steps.begun) return undefined;
      if (shared) return await shared.findNotFinite(step + 1, () => firstNotFinite(micro));
      return await own.findNotFinite(step + 1);
    },
    generate(prompt, options) {
      expectThere("generate");
      steps.expectEnded("generate");
      const write = (): AsyncIterable<number> => programs.generator().generate(prompt, options);
      return shared ? after(shared.arrived, write) : write();
    },
    ...(sharesExperts && {
      observesTogether: true,
      async gatherExperts() {
        await shared?.arrived();
        await bringTogether(runtime, parameters, expert, rows.rank === 0 ? programs.wholeParameters() : undefined);
      },
    }),
    save: (wishes) => stateOf("save", (tensor) => runtime.read(tensor), wishes),
    view: (wishes) => stateOf("view", viewOf, wishes),
    async viewOwn() {
      expectThere("viewOwn");
      steps.expectEnded("viewOwn");
      await shared?.arrived();
      const { rank, size } = rows;
      const whole = async ({ name, tensor }: { name: string; tensor: Tensor }): Promise<TensorPiece> => ({
        name,
        shape: tensor.shape,
        from: 0,
        data: floatsOf(await viewOf(tensor)),
      });
      const everywhere = parameters.all.filter(({ share }) => !share);
      const parts = ownOf(
        parameters.all.filter(({ share }) => share),
        ({ tensor }) => sizeOf(tensor.shape),
        mesh.data,
      );
      const [model, optimizer] = await Promise.all([
        Promise.all([...ownOf(everywhere, ({ tensor }) => sizeOf(tensor.shape), { rank, size }), ...parts].map(whole)),
        shared ? shared.ownMoments() : Promise.all(graph.moments.map(whole)),
      ]);
      const placed = (pieces: readonly TensorPiece[]): TensorPiece[] => inWholeTensors(parameters.all, pieces);
      return { step, model: placed(model), optimizer: placed(optimizer) };
    },
    restore(whole) {
      expectThere("restore");
      steps.drop();
      const state = partOfState(parameters.all, whole);
      restoreTensors(runtime, parameters.all, state.model, "model");
      if (shared) shared.restore(state);
      else restoreTensors(runtime, graph.moments, state.optimizer, "optimizer");
      step = state.step;
    },
    release() {
      released = true;
      steps.drop();
      shared?.release();
      programs.release();
    },
  };
}

async function* after<T>(wait: () => Promise<void> | undefined, then: () => AsyncIterable<T>): AsyncGenerator<T> {
  await wait();
  yield* then();
}

type SharedTold = Omit<SharedStepTold, "squares"> & Pick<OwnStepTold, "squares">;

/** What a step tells, and of one with instruments what they have seen and what the update is compared with. */
interface Told extends Omit<StepResult, "instruments" | "seconds"> {
  readonly started: number;
  readonly forward: Instruments | undefined;
  readonly before: readonly TensorValues[] | undefined;
  readonly squares: readonly TensorValues[];
}

/** An evaluation that takes no longer than this is not ended early. */
const PATIENCE_MS = 5000;
