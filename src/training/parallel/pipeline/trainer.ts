// Question: how is a model trained whose layers are spread over ranks?
//
// Every rank has the parameters of its stage alone. A step is the stage's part of the schedule (run-schedule.ts), then the
// exchange among those that have the same parameters (../exchange.ts), whose norm is that of the gradients of all stages.
// Between steps it answers what any trainer does. Instruments are read by all stages together, and so are
// the scores of the next token of a text.

import { given } from "../../../basics/given.ts";
import type { Batches } from "../../../data/batches.ts";
import { type Parameter, parameterCount, trainedParameters } from "../../../graph/parameters.ts";
import { byteSize, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { generateByScores } from "../../../model/generate.ts";
import { mixtureOf } from "../../../model/mixture.ts";
import type { Collective } from "../../../runtime/collective/collective.ts";
import { gatherTexts } from "../../../runtime/collective/texts.ts";
import { floatsOf, statesOf, type TensorValues } from "../../../runtime/program.ts";
import type { Runtime } from "../../../runtime/runtime.ts";
import type { Instruments } from "../../../stability/instruments.ts";
import { fixedLimit } from "../../optimizers/clipping.ts";
import { optimizerSchedule } from "../../optimizers/table.ts";
import type { TrainingConfig } from "../../config.ts";
import { initialise } from "../../initialise.ts";
import { writeTargets } from "../../inputs.ts";
import { learningRate } from "../../schedule.ts";
import type { SavedTensor, TensorPiece, TrainerState } from "../../state.ts";
import { restoreTensors } from "../../restore.ts";
import type { StepResult, Trainer } from "../../trainer.ts";
import { measureUpdate, squaresOf } from "../../update-norms.ts";
import { createExchange } from "../exchange.ts";
import { inWholeTensors, partOfState, sumOf, wholeTensors } from "../experts.ts";
import { type Mesh, rankAt } from "../mesh.ts";
import { ownOf } from "../own.ts";
import { ownBatches } from "../share.ts";
import { COMPARE_EVERY, expectSameParameters } from "../shared-steps.ts";
import { createTelling } from "../told.ts";
import { evaluateStages } from "./evaluation.ts";
import { gatherTensors } from "./gather.ts";
import { observeStages } from "./observe.ts";
import { openMail } from "./mail.ts";
import type { PieceGraph } from "./piece.ts";
import { compileStage } from "./programs.ts";
import { runSchedule } from "./run-schedule.ts";
import { type PipelinePlan, stagePrograms } from "./stage.ts";
import type { Parcel } from "./stage-table.ts";
import type { StageRecord } from "./timeline.ts";
import { scoresOfStages } from "./write.ts";

/** A trainer of one stage, and of whoever has the same. */
export interface PipelinedTrainer extends Trainer {
  /** Microbatches of a step that pass through the stages of one replica. */
  readonly microBatches: number;
  /** What the stages of the first replica did in the last step, where the plan has it watched. */
  timeline(): readonly StageRecord[];
}

/**
 * Compile a stage's programs and write the first values of its parameters. All ranks of the mesh have such a trainer, and
 * call its methods in the same order.
 *
 * @param plan the schedule, and pieces of the model on a stage
 * @throws RangeError when the model, the batch or the schedule does not fit the mesh; it says what does
 */
export function createPipelinedTrainer(
  machine: Runtime,
  config: TrainingConfig,
  batches: Batches,
  mesh: Mesh,
  plan: Omit<PipelinePlan, "mesh">,
): PipelinedTrainer {
  const { batch, accumulate, optimizer } = config;
  const { context } = config.model;
  const { world, pipeline, expert, stage } = mesh;
  const row = mesh.rows.rank;
  // The order of the schedule decides who holds what; it is the same whatever the part.
  const programs = compileStage(machine, config, { ...plan, mesh: mesh.size }, { stage, row }, expert);
  const { runtime, graph, pieces, update } = programs;
  const { table, share, own, parameters, step: shared } = graph;
  const holders = holdersOf(mesh, table.holders);
  const limit = fixedLimit(optimizer.clip);
  initialise(runtime, { ...parameters, all: own }, config.seed);

  const everyTrained = trainedParameters(parameters);
  const indexOf = new Map(everyTrained.map((parameter, index) => [parameter, index]));
  /** A number of each of all stages' parameters, from those of this one's; where several stages have one, they say the same. */
  const everyNumber = async (mine: readonly number[]): Promise<number[]> => {
    const whole = new Float64Array(everyTrained.length).fill(-1);
    for (const [at, parameter] of shared.trained.entries()) whole[indexOf.get(parameter)!] = mine[at]!;
    const all = new Float64Array(pipeline.size * whole.length);
    await pipeline.allGather(new Uint8Array(whole.buffer), new Uint8Array(all.buffer)).done();
    return everyTrained.map((_, index) => {
      for (let at = index; at < all.length; at += whole.length) if (!(all[at]! < 0)) return all[at]!;
      return NaN;
    });
  };
  const exchange = createExchange(
    runtime,
    holders,
    shared,
    { total: share.total, ...given({ reducePrecision: config.reducePrecision }) },
    everyNumber,
  );
  const batchOf = ownBatches(batches, share);
  const tell = createTelling(world, {
    total: share.total,
    tokens: share.batch * context * share.accumulate,
    runtime,
  });
  const layers = Array.from({ length: config.model.layers }, (_, layer) => layer).filter((layer) =>
    mixtureOf(config.model, layer),
  );
  const experts = config.model.feedForward?.experts ?? 0;
  const sizes = ({ kind, position }: Parcel): readonly number[] =>
    graph.boundaries[kind === "state" ? position : position + 1]!;

  let step = 0;
  let ready = false;
  let released = false;
  let records: readonly StageRecord[] = [];
  const expectThere = (operation: string): void => {
    if (released) throw new Error(`${operation}: this trainer has been released; make another.`);
  };
  const nextScores = (window: readonly number[]): Promise<Float32Array> => {
    expectThere("generate");
    return scoresOfStages(programs, mesh, window);
  };
  const viewOf = (tensor: Tensor): TensorValues | Promise<TensorValues> =>
    runtime.view?.(tensor) ?? runtime.read(tensor);
  const write = (tensors: readonly Tensor[], values: readonly Float32Array[]): void => {
    for (const [index, tensor] of tensors.entries()) runtime.write(tensor, values[index]!);
  };
  const feedOf =
    (current: number) =>
    ({ position, batch: inputs }: PieceGraph, microBatch: number): void => {
      if (position > 0 && position < table.pieces - 1) return;
      const next = batchOf(current - 1, microBatch);
      if (position === 0) runtime.write(inputs.tokens, next.tokens);
      if (position === table.pieces - 1) writeTargets(runtime, inputs, next);
    };
  const trainedValues = (): Promise<TensorValues[]> =>
    Promise.all(shared.trained.map(({ tensor }) => runtime.read(tensor)));
  /** What a step has done to the parameters of all stages. */
  const updateOf = async (
    before: readonly TensorValues[],
    squares: readonly number[],
  ): Promise<Pick<Instruments, "gradient" | "groups">> => {
    const moves = await Promise.all(
      shared.trained.map(async ({ tensor }, index) => squaresOf(before[index]!, await viewOf(tensor))),
    );
    for (const [index, { share: part }] of shared.trained.entries())
      if (part) moves[index] = (await sumOf(expert, moves[index]!)) as [number, number];
    const weights = await everyNumber(moves.map(([weight]) => weight));
    const updates = await everyNumber(moves.map(([, update]) => update));
    return measureUpdate(everyTrained, {
      squares,
      moves: everyTrained.map((_, index) => [weights[index]!, updates[index]!] as const),
    });
  };

  /** This stage's passes, and the sums of the gradients under way. */
  const pass = async (current: number): Promise<{ losses: readonly number[]; loads: Float32Array[] }> => {
    const mail = openMail(pipeline, table, sizes);
    await world.barrier().done();
    const zero = performance.now();
    const single = pieces.length === 1;
    const { losses, loads, passes } = await runSchedule({
      table,
      pieces,
      microBatches: share.accumulate,
      mail,
      feed: feedOf(current),
      write,
      ...(single ? { complete: (program) => exchange.run(program) } : {}),
      progress() {
        mail.progress();
        world.progress();
      },
    });
    if (!single) await exchange.run({ run: () => undefined });
    const since = <T extends { readonly time: number }>(all: readonly T[]): T[] =>
      all.map((each) => ({ ...each, time: each.time - zero }));
    const record: StageRecord = {
      stage,
      passes: passes.map((each) => ({ ...each, start: each.start - zero, end: each.end - zero })),
      sent: since(mail.sent),
      came: since(mail.came),
      end: (passes.at(-1)?.end ?? zero) - zero,
    };
    if (plan.watched) {
      const all = (await gatherTexts(world, JSON.stringify(record))).map((text) => JSON.parse(text) as StageRecord);
      records = Array.from(
        { length: pipeline.size },
        (_, index) => all[rankAt(mesh.size, { stage: index, replica: 0, part: 0 })]!,
      );
    }
    return { losses, loads: pieces.flatMap(({ graph: { position } }) => loads.get(position) ?? []) };
  };
  const runStep = async (
    current: number,
  ): Promise<Omit<StepResult, "learningRate" | "seconds" | "tokens"> & { readonly squares: readonly number[] }> => {
    world.stepping(true);
    if (!ready) await exchange.start();
    ready = true;
    const { losses, loads } = await pass(current);
    const routing = graph.pieces.flatMap(({ graph: piece }) => piece.routing);
    const told = await tell(
      losses,
      layers.map((layer) => loads[routing.findIndex((each) => each.layer === layer)] ?? new Float32Array(experts)),
    );
    const mine = routing.map(({ layer }) => told.loads[layers.indexOf(layer)]!);
    const { norm, squares } = await exchange.update(update, { loads: mine, limit });
    if (current % COMPARE_EVERY === 0)
      await expectSameParameters(runtime, holders, shared.trained, `the parameters after step ${current}`);
    world.stepping(false);
    return {
      step: current,
      loss: told.loss,
      gradientNorm: norm,
      squares,
      ranks: told.ranks,
      ...(layers.length > 0 ? { expertLoad: told.loads.map((load) => [...load]) } : {}),
    };
  };
  const stateOf = async (operation: string): Promise<TrainerState> => {
    expectThere(operation);
    const model: SavedTensor[] = [];
    for (const { name, tensor } of own)
      model.push({ name, shape: tensor.shape, data: floatsOf(await runtime.read(tensor)) });
    const wholeOf = async (tensors: readonly SavedTensor[]): Promise<SavedTensor[]> =>
      gatherTensors(pipeline, await wholeTensors(own, expert, tensors));
    const whole = new Map((await wholeOf(model)).map((each) => [each.name, each]));
    return {
      step,
      model: parameters.all.map(({ name }) => whole.get(name)!),
      optimizer: await wholeOf(await exchange.moments()),
    };
  };

  const trainer: PipelinedTrainer = {
    config,
    parameterCount: parameterCount(parameters),
    memoryBytes:
      [...statesOf(stagePrograms(graph))].reduce((sum, state) => sum + byteSize(state), 0) +
      Math.max(...programs.all.map(({ bytes, plan: of }) => bytes ?? of?.arena.bytes ?? 0)),
    storeEvery: graph.storeEvery,
    microBatches: share.accumulate,
    // Its loss is there in the last stage alone.
    program: pieces[0]!.slots[0]!.forward as unknown as Trainer["program"],
    get step() {
      return step;
    },
    begun: false,
    timeline: () => records,
    observesTogether: true,
    async trainStep({ rateFactor = 1, instruments: asked = false } = {}) {
      expectThere("trainStep");
      const sequence = asked ? batches.trainingBatch(step, 0).tokens.slice(0, context) : undefined;
      const forward = sequence && (await observeStages(programs, config.model, mesh, sequence));
      const before = asked ? await trainedValues() : undefined;
      const started = performance.now();
      const rate = rateFactor * learningRate(optimizer, step + 1, config.steps);
      runtime.write(graph.schedule, optimizerSchedule(rate, step + 1, optimizer));
      const { squares, ...told } = await runStep(step + 1);
      if (Number.isFinite(told.gradientNorm)) step = told.step;
      const seconds = (performance.now() - started) / 1000;
      const update = before && (await updateOf(before, squares));
      return {
        ...told,
        learningRate: rate,
        seconds,
        tokens: batch * context * accumulate,
        ...(update ? { instruments: { ...forward, ...update } } : {}),
      };
    },
    evaluate() {
      expectThere("evaluate");
      return evaluateStages(programs, batches, mesh);
    },
    async findNotFinite() {
      expectThere("findNotFinite");
      // The sums hold what is not finite, and are added to.
      for (const sum of share.accumulate > 1 ? shared.sums : [])
        runtime.write(sum, new Float32Array(sizeOf(sum.shape)));
      return undefined;
    },
    generate: (prompt, options) => generateByScores(prompt, options, { size: context, scoresOf: nextScores }),
    nextScores,
    save: () => stateOf("save"),
    view: () => stateOf("view"),
    async viewOwn() {
      expectThere("viewOwn");
      const sizeOfTensor = ({ tensor }: Parameter): number => sizeOf(tensor.shape);
      const mine = [
        ...ownOf(
          own.filter((each) => !each.share),
          sizeOfTensor,
          holders.rows,
        ),
        ...ownOf(
          own.filter((each) => each.share),
          sizeOfTensor,
          holders.data,
        ),
      ];
      const model: TensorPiece[] = [];
      for (const { name, tensor } of mine)
        model.push({ name, shape: tensor.shape, from: 0, data: floatsOf(await viewOf(tensor)) });
      const replicated = new Set(shared.replicated.map(({ name }) => name));
      const moments = (await exchange.ownMoments()).filter(({ name }) => stage === 0 || !replicated.has(name));
      return { step, model: inWholeTensors(own, model), optimizer: inWholeTensors(own, moments) };
    },
    restore(whole) {
      expectThere("restore");
      const state = partOfState(parameters.all, whole);
      restoreTensors(runtime, own, state.model, "model");
      exchange.restore(state);
      ready = true;
      step = state.step;
    },
    release() {
      released = true;
      exchange.release();
      programs.release();
    },
  };
  return trainer;

  /** Those that have this rank's parameters, in the order of stages and rows; of the experts those with its part. */
  function holdersOf({ size, part, rows, data }: Mesh, stages: readonly number[]): Pick<Mesh, "rows" | "data"> {
    if (stages.length === 1) return { rows, data };
    const groupOf = (parts: readonly number[]): Collective => {
      const ranks = stages.flatMap((each) =>
        Array.from({ length: size.data }, (_, replica) =>
          parts.map((one) => rankAt(size, { stage: each, replica, part: one })),
        ).flat(),
      );
      return ranks.length === world.size ? world : world.group(ranks);
    };
    const all = groupOf(Array.from({ length: size.expert }, (_, each) => each));
    return { rows: all, data: size.expert === 1 ? all : groupOf([part]) };
  }
}
