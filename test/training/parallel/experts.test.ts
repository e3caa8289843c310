// Ranks that share the experts of a mixture train as one process does, alone and beside data parallelism.

import { describe, expect, test } from "vitest";
import { cutAt } from "../../../src/graph/cut.ts";
import { createParameters, trainedParameters } from "../../../src/graph/parameters.ts";
import { flopsOf, type Node, sizeOf } from "../../../src/graph/tensor.ts";
import { languageModel } from "../../../src/model/language-model.ts";
import { remoteOperations } from "../../../src/runtime/collective/expert-rows.ts";
import { resultsOf } from "../../../src/runtime/program.ts";
import { createPlannedRuntime } from "../../../src/runtime/planned/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { endFollowers, followTrainer, leadTrainer } from "../../../src/training/parallel/lead.ts";
import { createMesh, type Mesh } from "../../../src/training/parallel/mesh.ts";
import { buildSharedStep } from "../../../src/training/parallel/step.ts";
import { compileTraining } from "../../../src/training/programs.ts";
import type { OwnState, TensorPiece, TrainerState } from "../../../src/training/state.ts";
import { createTrainer, type StepResult, type Trainer } from "../../../src/training/trainer.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";
import { type Changes, tinyBatches, tinyTraining } from "../tiny.ts";
import { losses, runtimesOfRanks, withTrainer } from "./ranks.ts";

const runtimes = runtimesOfRanks(4);

interface Trained {
  readonly results: readonly StepResult[];
  readonly state: TrainerState;
  readonly own: OwnState;
  readonly validation: number;
}

const changes = (layers = 2): Changes => ({
  model: {
    layers,
    feedForward: {
      kind: "moe",
      experts: 8,
      active: 2,
      shared: 1,
      hidden: 8,
      denseLayers: 1,
      balanceRate: 0.01,
      balanceLoss: 0.01,
    },
  },
  evaluateBatches: 3,
});

async function trainOn(trainer: Trainer, steps: number): Promise<Trained> {
  const results: StepResult[] = [];
  for (let step = 0; step < steps; step++) results.push(await trainer.trainStep({ instruments: step === 1 }));
  const { loss: validation } = await trainer.evaluate();
  const { step, model, optimizer } = await trainer.viewOwn();
  const kept = (pieces: readonly TensorPiece[]): TensorPiece[] =>
    pieces.map((piece) => ({ ...piece, data: piece.data.slice() }));
  const own = { step, model: kept(model), optimizer: kept(optimizer) };
  return { results, state: await trainer.save(), own, validation };
}

const trainAlone = (config: TrainingConfig, steps: number): Promise<Trained> =>
  withTrainer(createTrainer(runtimes[0]!, config, tinyBatches(config)), (trainer) => trainOn(trainer, steps));

const onMesh = <T>(data: number, expert: number, work: (mesh: Mesh) => Promise<T>): Promise<T[]> =>
  onAll(createWorld(data * expert, { deadline: 60 }), (world) =>
    work(createMesh(world, { data, pipeline: 1, expert })),
  );

const trainerOf = (config: TrainingConfig, mesh: Mesh, runtime = runtimes[mesh.world.rank]!): Trainer =>
  createTrainer(runtime, config, tinyBatches(config), mesh);

const trainTogether = (config: TrainingConfig, data: number, expert: number, steps: number): Promise<Trained[]> =>
  onMesh(data, expert, (mesh) => withTrainer(trainerOf(config, mesh), (trainer) => trainOn(trainer, steps)));

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)));

/** Whole tensors of the pieces that the ranks keep, each number of one rank alone. */
function joined(pieces: readonly TensorPiece[]): Map<string, Float32Array> {
  const whole = new Map<string, Float32Array>();
  for (const { name, shape, from, data } of pieces) {
    const values = whole.get(name) ?? new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(NaN);
    expect(values.subarray(from, from + data.length).every(Number.isNaN), `${name} twice`).toBe(true);
    values.set(data, from);
    whole.set(name, values);
  }
  return whole;
}

describe.each([
  ["residual", 1, 2, 1],
  ["mhc", 1, 4, 1],
  ["mhc", 2, 2, 2],
] as const)("%s, data=%d,expert=%d, %d microbatches a rank", (kind, data, expert, microbatches) => {
  test("has the losses of one process within 1e-5, the same each time, and saves whole tensors", async () => {
    const ranks = data * expert;
    const config = { ...tinyTraining(kind, changes()), batch: 2, accumulate: ranks * microbatches };
    const one = await trainAlone(config, 20);
    const all = await trainTogether(config, data, expert, 20);
    for (const each of all) {
      expect(losses(each)).toEqual(losses(all[0]!));
      expect(each.state).toEqual(all[0]!.state);
      expect(each.validation).toBe(all[0]!.validation);
      expect(each.results[1]!.instruments).toEqual(all[0]!.results[1]!.instruments);
    }
    expect(worst(losses(all[0]!), losses(one))).toBeLessThan(1e-5);
    expect(Math.abs(all[0]!.validation - one.validation)).toBeLessThan(1e-5);
    expect(all[0]!.results[1]!.expertLoad).toEqual(one.results[1]!.expertLoad);
    const groupsOf = ({ results }: Trained): unknown[] =>
      Object.values(results[1]!.instruments!.groups!).flatMap((norms) => Object.values(norms));
    expect(worst(groupsOf(all[0]!) as number[], groupsOf(one) as number[])).toBeLessThan(1e-5);
    const again = await trainTogether(config, data, expert, 3);
    for (const each of again) expect(losses(each)).toEqual(losses(all[0]!).slice(0, 3));

    for (const which of ["model", "optimizer"] as const) {
      expect(all[0]!.state[which].map(({ name, shape }) => ({ name, shape }))).toEqual(
        one.state[which].map(({ name, shape }) => ({ name, shape })),
      );
      const whole = joined(all.flatMap(({ own }) => own[which]));
      for (const { name, data: values } of all[0]!.state[which]) expect(whole.get(name), name).toEqual(values);
    }
  });
});

test.each([
  [2, 0.9],
  [1, 0.3],
])("with %d sequences a microbatch, much is computed while rows are under way", (batch, least) => {
  const { model, optimizer } = tinyTraining("mhc", changes(4));
  const parameters = createParameters();
  const sharing = { ranks: 2, part: 0 };
  const { programs } = buildSharedStep(
    languageModel(model, parameters, sharing),
    parameters,
    { batch, optimizer },
    { batch, accumulate: 1, first: 0, total: 2 },
    { rank: 0, size: 2, experts: 2 },
  );
  const steps = cutAt(resultsOf(programs.micro), (node) => remoteOperations.has(node.op));
  const underWay = new Map<Node, number>();
  const hidden: number[] = [];
  for (const step of steps) {
    if ("begin" in step) underWay.set(step.begin, 0);
    else if ("end" in step) hidden.push(underWay.get(step.end)!);
    else {
      const flops = step.compute.reduce((sum, node) => sum + flopsOf(node), 0);
      for (const [node, sum] of underWay) underWay.set(node, sum + flops);
    }
  }
  // Of three layers with experts, in each half: there and back, forward and in the backward pass.
  expect(hidden).toHaveLength(3 * 4 * batch);
  // Sixteen products of a row and a matrix.
  const much = 16 * 2 * model.width ** 2;
  expect(hidden.filter((flops) => flops > much).length / hidden.length).toBeGreaterThanOrEqual(least);
});

test("a plan of a rank has the programs that it runs, to the byte", async () => {
  const config = { ...tinyTraining("mhc", changes()), batch: 4, accumulate: 1 };
  const bytes = await onMesh(1, 2, (mesh) =>
    withTrainer(trainerOf(config, mesh), (trainer) => Promise.resolve(trainer.memoryBytes)),
  );
  const { machine } = runtimes[0]!;
  for (const [rank, measured] of bytes.entries()) {
    const { parameters, graph, micro, last } = compileTraining(createPlannedRuntime(machine!), config, {
      rank,
      size: 2,
      experts: 2,
    });
    const states = [...parameters.all, ...graph.moments, ...trainedParameters(parameters)];
    const arenas = [micro, last].map((program) => program.bytes ?? program.plan?.arena.bytes ?? 0);
    expect(states.reduce((sum, { tensor }) => sum + 4 * sizeOf(tensor.shape), 0) + Math.max(...arenas)).toBe(measured);
  }
  const alone = await withTrainer(createTrainer(runtimes[0]!, config, tinyBatches(config)), (trainer) =>
    Promise.resolve(trainer.parameterCount),
  );
  const [count] = await onMesh(1, 2, (mesh) =>
    withTrainer(trainerOf(config, mesh), (trainer) => Promise.resolve(trainer.parameterCount)),
  );
  expect(count).toBe(alone);
});

test("a state goes on with another mesh, and alone", async () => {
  const config = { ...tinyTraining("residual", changes()), batch: 4, accumulate: 1 };
  const whole = await trainAlone(config, 6);
  const [half] = await trainTogether(config, 1, 4, 3);
  const goOn = async (trainer: Trainer): Promise<number[]> => {
    trainer.restore(half!.state);
    return losses(await trainOn(trainer, 3));
  };
  const alone = await withTrainer(createTrainer(runtimes[0]!, config, tinyBatches(config)), goOn);
  const shared = await onMesh(1, 2, (mesh) => withTrainer(trainerOf(config, mesh), goOn));
  const both = await onMesh(2, 2, (mesh) => withTrainer(trainerOf(config, mesh), goOn));
  for (const each of [alone, ...shared, ...both]) expect(worst(each, losses(whole).slice(3))).toBeLessThan(1e-5);
});

test.each<NonNullable<Changes["optimizer"]>>([
  { kind: "muon", matrices: ["weight"] },
  { kind: "adafactor", learningRate: 1e-2 },
])("%j keeps of shared experts what one process keeps of all", async (optimizer) => {
  const config = { ...tinyTraining("residual", { ...changes(), optimizer }), batch: 4 };
  const whole = await trainAlone(config, 5);
  const [first] = await trainTogether(config, 2, 2, 5);
  expect(worst(losses(first!), losses(whole))).toBeLessThan(1e-5);
  const shapes = ({ state }: Trained): string[] => state.optimizer.map(({ name, shape }) => `${name} ${shape.join()}`);
  expect(shapes(first!)).toEqual(shapes(whole));
  await withTrainer(createTrainer(runtimes[0]!, config, tinyBatches(config)), async (trainer) => {
    trainer.restore(first!.state);
    expect(trainer.step).toBe(5);
  });
});

test("rank 0 leads, reads instruments and writes a text with all experts", async () => {
  const config = { ...tinyTraining("residual", changes()), batch: 4, accumulate: 1 };
  const options = { maxTokens: 12, random: (index: number) => (index * 0.37) % 1 };
  const written = async (trainer: Trainer): Promise<number[]> => {
    const tokens: number[] = [];
    for await (const token of trainer.generate([1, 2, 3], options)) tokens.push(token);
    return tokens;
  };
  const [told] = await onMesh(1, 2, (mesh) =>
    withTrainer(trainerOf(config, mesh), async (trainer) => {
      if (mesh.world.rank > 0) return await followTrainer(mesh.world, trainer, () => "").then(() => undefined);
      const lead = leadTrainer(mesh.world, trainer, () => "");
      const first = await lead.trainStep({ instruments: true });
      expect(await lead.findNotFinite()).toBeUndefined();
      const tokens = await written(lead);
      const saved = await lead.save();
      await lead.trainStep();
      lead.restore(saved);
      const again = await written(lead);
      await endFollowers(mesh.world);
      return { first, tokens, again, saved };
    }),
  );
  const alone = await withTrainer(createTrainer(runtimes[0]!, config, tinyBatches(config)), async (trainer) => {
    const first = await trainer.trainStep({ instruments: true });
    trainer.restore(told!.saved);
    return { first, tokens: await written(trainer) };
  });
  expect(told!.tokens).toEqual(alone.tokens);
  expect(told!.again).toEqual(told!.tokens);
  expect(told!.first.instruments!.activation).toHaveLength(4);
  expect(worst(told!.first.instruments!.activation!, alone.first.instruments!.activation!)).toBeLessThan(1e-5);
});

test("a runtime without parts or views shares experts with one that has them", async () => {
  const config = { ...tinyTraining("residual", changes()), batch: 2, accumulate: 1 };
  const one = await trainAlone(config, 3);
  const reference = createReferenceRuntime();
  const all = await onMesh(1, 2, (mesh) =>
    withTrainer(trainerOf(config, mesh, mesh.world.rank === 1 ? reference : runtimes[0]!), (trainer) =>
      trainOn(trainer, 3),
    ),
  );
  for (const each of all) expect(worst(losses(each), losses(one))).toBeLessThan(1e-4);
});
