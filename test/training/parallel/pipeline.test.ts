// A model whose layers are spread over ranks has the losses of one process, with every schedule and every mesh of four.

import { describe, expect, test } from "vitest";
import { connectionSchema } from "../../../src/connections/table.ts";
import { comparePipeline } from "../../../src/planning/pipeline/measured.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { endFollowers, followTrainer, leadTrainer } from "../../../src/training/parallel/lead.ts";
import { createMesh, type MeshSize } from "../../../src/training/parallel/mesh.ts";
import { predictRanks } from "../../../src/training/parallel/memory.ts";
import type { PipelinePlan } from "../../../src/training/parallel/pipeline/stage.ts";
import { createPipelinedTrainer } from "../../../src/training/parallel/pipeline/trainer.ts";
import type { ScheduleName } from "../../../src/training/parallel/schedules/table.ts";
import { planSpread } from "../../../src/training/parallel/spread.ts";
import type { TrainerState } from "../../../src/training/state.ts";
import { createTrainer, type StepResult, type Trainer } from "../../../src/training/trainer.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";
import { type Changes, mixture, tinyBatches, tinyTraining } from "../tiny.ts";
import { losses, runtimesOfRanks } from "./ranks.ts";

const STEPS = 20;

const runtimes = runtimesOfRanks(4);

interface Trained {
  readonly results: readonly StepResult[];
  readonly state: TrainerState;
  readonly validation: number;
}

async function trainOn(trainer: Trainer, steps: number): Promise<Trained> {
  const results: StepResult[] = [];
  try {
    for (let step = 0; step < steps; step++) results.push(await trainer.trainStep());
    const { loss: validation } = await trainer.evaluate();
    return { results, state: await trainer.save(), validation };
  } finally {
    trainer.release();
  }
}

const trainAlone = (config: TrainingConfig, steps = STEPS): Promise<Trained> =>
  trainOn(createTrainer(runtimes[0]!, config, tinyBatches(config)), steps);

const planOf = (schedule: ScheduleName, chunks = 1): Omit<PipelinePlan, "mesh"> => ({
  schedule,
  chunks,
  bucketBytes: 2048,
});

const trainTogether = (
  config: TrainingConfig,
  size: MeshSize,
  plan: Omit<PipelinePlan, "mesh">,
  steps = STEPS,
): Promise<Trained[]> =>
  onAll(createWorld(size.data * size.pipeline * size.expert, { deadline: 60 }), (world) =>
    trainOn(
      createPipelinedTrainer(runtimes[world.rank]!, config, tinyBatches(config), createMesh(world, size), plan),
      steps,
    ),
  );

/** Train some steps from a state. */
async function goOn(trainer: Trainer, state: TrainerState, steps: number): Promise<number[]> {
  trainer.restore(state);
  return losses(await trainOn(trainer, steps));
}

/** Connections that add to the training loss, have a share that falls, and send on what they read for a group. */
const slack: Changes = {
  model: {
    connection: connectionSchema.parse({
      kind: "mhc",
      residualMap: "learned-slack",
      slack: 0.5,
      slackPenalty: 10,
      slackSteps: 10,
      dynamic: "sequence",
      group: 2,
    }),
  },
};
const four = { data: 1, pipeline: 4, expert: 1 };
const two = { data: 1, pipeline: 2, expert: 1 };
const experts = { data: 1, pipeline: 2, expert: 2 };
const square = { data: 2, pipeline: 2, expert: 1 };

function expectClose(ranks: readonly Trained[], one: Trained): void {
  for (const each of ranks) {
    expect(losses(each)).toEqual(losses(ranks[0]!));
    expect(each.validation).toBe(ranks[0]!.validation);
  }
  for (const [index, loss] of losses(ranks[0]!).entries())
    expect(Math.abs(loss - losses(one)[index]!)).toBeLessThan(1e-5);
  expect(Math.abs(ranks[0]!.validation - one.validation)).toBeLessThan(1e-4);
}

describe.each([
  ["residual", {}, four, "1f1b", 1],
  ["mhc", {}, four, "1f1b", 1],
  ["mhc", mixture, four, "zb-h1", 1],
  ["residual", mixture, square, "1f1b", 1],
  ["mhc", mixture, square, "gpipe", 1],
  ["mhc", { recompute: 1 }, square, "zb-h1", 1],
  ["mhc", { model: { valueResidual: true } }, two, "interleaved", 2],
  ["mhc", { model: { keyValues: { of: "both", connection: { kind: "dense" } } } }, two, "interleaved", 2],
  ["mhc", { recompute: 2 }, two, "dualpipe", 1],
  ["mhc", slack, four, "1f1b", 1],
  ["dense", {}, two, "1f1b", 1],
  ["mhc", mixture, experts, "1f1b", 1],
  ["residual", { ...mixture, recompute: 1 }, experts, "zb-h1", 1],
  ["mhc", { ...mixture, evaluateBatches: 3 }, experts, "dualpipe", 1],
] as const)("%s %j on %j by %s", (kind, changes, size, schedule, chunks) => {
  test("has the losses of one process within 1e-5, and the same on every rank and each time", async () => {
    const config = { ...tinyTraining(kind, changes), batch: 1, accumulate: 4 * size.data * size.expert };
    const one = await trainAlone(config);
    const ranks = await trainTogether(config, size, planOf(schedule, chunks));
    expectClose(ranks, one);
    expect(ranks[0]!.results[3]!.expertLoad).toEqual(one.results[3]!.expertLoad);
    expect(ranks[0]!.state.model.map(({ name }) => name)).toEqual(one.state.model.map(({ name }) => name));
    const shares = ({ state }: Trained) => state.model.filter(({ name }) => name.endsWith(".share"));
    expect(shares(ranks[0]!)).toEqual(shares(one));
    const again = await trainTogether(config, size, planOf(schedule, chunks), 4);
    for (const each of again) expect(losses(each)).toEqual(losses(ranks[0]!).slice(0, 4));
  });
});

test.each([
  ["muon", { kind: "muon", matrices: ["weight", "connection"] }],
  ["lion", { kind: "lion", learningRate: 1e-3 }],
  ["sgd", { kind: "sgd", learningRate: 0.1 }],
  ["adafactor", { kind: "adafactor", learningRate: 1e-2 }],
  ["adaptive clipping", { clip: { kind: "adaptive", warmup: 2, threshold: 0.5, smoothing: 0.9 } }],
] as const)(
  "%s in a pipeline whose stages share experts is as in one process, and goes on alone",
  async (_, optimizer) => {
    const config = { ...tinyTraining("mhc", { ...mixture, optimizer }), batch: 1, accumulate: 8 };
    const one = await trainAlone(config, 6);
    const ranks = await trainTogether(config, experts, planOf("1f1b"), 6);
    expectClose(ranks, one);
    const shapes = ({ state }: Trained): string[] =>
      state.optimizer.map(({ name, shape, data }) => `${name} ${shape.join()} ${data.length}`).sort();
    expect(shapes(ranks[0]!)).toEqual(shapes(one));
    const alone = await goOn(createTrainer(runtimes[0]!, config, tinyBatches(config)), ranks[0]!.state, 2);
    const same = await goOn(createTrainer(runtimes[0]!, config, tinyBatches(config)), one.state, 2);
    for (const [index, loss] of alone.entries()) expect(Math.abs(loss - same[index]!)).toBeLessThan(1e-5);
  },
);

test("a state goes on alone and as another mesh, and each rank's own parts are the whole", async () => {
  const config = { ...tinyTraining("mhc"), batch: 1, accumulate: 4 };
  const one = await trainAlone(config, 6);
  const trained = await onAll(createWorld(4), async (world) => {
    const trainer = createPipelinedTrainer(
      runtimes[world.rank]!,
      config,
      tinyBatches(config),
      createMesh(world, square),
      planOf("zb-h1"),
    );
    for (let step = 0; step < 3; step++) await trainer.trainStep();
    const kept = { own: await trainer.viewOwn(), state: await trainer.save() };
    trainer.release();
    return kept;
  });
  const { state } = trained[0]!;
  for (const kind of ["model", "optimizer"] as const) {
    const pieces = trained.flatMap(({ own }) => own[kind]);
    for (const { name, data } of state[kind]) {
      const whole = new Float32Array(data.length).fill(NaN);
      for (const piece of pieces) if (piece.name === name) whole.set(piece.data, piece.from);
      expect(whole).toEqual(data);
    }
  }
  const alone = await goOn(createTrainer(runtimes[0]!, config, tinyBatches(config)), state, 3);
  const other = await onAll(createWorld(2), (world) =>
    goOn(
      createPipelinedTrainer(
        runtimes[world.rank]!,
        config,
        tinyBatches(config),
        createMesh(world, two),
        planOf("1f1b"),
      ),
      state,
      3,
    ),
  );
  for (const each of [alone, ...other])
    for (const [index, loss] of each.entries()) expect(Math.abs(loss - losses(one)[3 + index]!)).toBeLessThan(1e-5);
});

test("what does not fit is refused, with what does", () => {
  const config = { ...tinyTraining("mhc"), batch: 1, accumulate: 3 };
  const wishes = { schedule: "dualpipe", chunks: 1 } as const;
  const plan = planSpread(config, undefined, 2, { ...wishes, mesh: { pipeline: 2 } });
  expect(plan).toEqual({ ...wishes, mesh: two });
  expect(() => predictRanks(config, runtimes[0]!.machine!, plan)).toThrow(
    "--pipeline-schedule dualpipe: DualPipe needs an even number of micro-batches, at least twice its 2 stages, got 3; take 4.",
  );
  expect(() => planSpread(config, undefined, 8, { ...wishes, mesh: { pipeline: 8 } })).toThrow(
    "the model can be cut into 4 stages at most",
  );
  const recomputed = { ...config, recompute: 2 };
  expect(() => planSpread(recomputed, undefined, 3, { ...wishes, mesh: { pipeline: 3 } })).toThrow(
    "the model can be cut into 2 stages at most",
  );
});

/** All numbers of what instruments show, in order. */
const numbersOf = (value: unknown): number[] =>
  typeof value === "number"
    ? [value]
    : value !== null && typeof value === "object"
      ? Object.entries(value).flatMap(([, each]) => numbersOf(each))
      : [];

test.each([
  ["mhc", {}, four, "1f1b"],
  ["mhc", mixture, experts, "dualpipe"],
  ["residual", {}, square, "zb-h1"],
] as const)("%s %j on %j by %s shows the instruments of one process", async (kind, changes, size, schedule) => {
  const config = { ...tinyTraining(kind, changes), batch: 1, accumulate: 4 * size.data * size.expert };
  const look = async (trainer: Trainer) => {
    await trainer.trainStep();
    const { instruments } = await trainer.trainStep({ instruments: true });
    trainer.release();
    return instruments!;
  };
  const one = await look(createTrainer(runtimes[0]!, config, tinyBatches(config)));
  const ranks = await onAll(createWorld(4, { deadline: 60 }), (world) => {
    const mesh = createMesh(world, size);
    return look(createPipelinedTrainer(runtimes[world.rank]!, config, tinyBatches(config), mesh, planOf(schedule)));
  });
  for (const seen of ranks) expect(seen).toEqual(ranks[0]!);
  expect(Object.keys(ranks[0]!).sort()).toEqual(Object.keys(one).sort());
  for (const [name, values] of Object.entries(one)) {
    const [expected, got] = [numbersOf(values), numbersOf(ranks[0]![name as keyof typeof one])];
    expect(got).toHaveLength(expected.length);
    for (const [index, number] of expected.entries())
      expect(Math.abs(got[index]! - number), `${name} ${index}`).toBeLessThan(1e-5 + 1e-4 * Math.abs(number));
  }
});

test.each([
  ["mhc", {}, four, "1f1b"],
  ["mhc", mixture, experts, "zb-h1"],
  ["residual", { model: { context: 6 } }, square, "dualpipe"],
] as const)("%s %j on %j by %s writes the texts of one process", async (kind, changes, size, schedule) => {
  const config = { ...tinyTraining(kind, changes), batch: 1, accumulate: 4 * size.data * size.expert };
  // Longer than the window, which slides; and the same numbers for whoever draws.
  const options = { maxTokens: 20, random: (index: number) => (index * 0.37) % 1, repetitionPenalty: 1.1 };
  const textOf = async (trainer: Trainer, prompt: readonly number[]): Promise<number[]> => {
    const tokens: number[] = [];
    for await (const token of trainer.generate(prompt, options)) tokens.push(token);
    return tokens;
  };
  const prompts = [[3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]];
  const ranks = await onAll(createWorld(4, { deadline: 60 }), async (world) => {
    const mesh = createMesh(world, size);
    const trainer = createPipelinedTrainer(runtimes[world.rank]!, config, tinyBatches(config), mesh, planOf(schedule));
    await trainer.trainStep();
    const lead = world.rank === 0 ? leadTrainer(world, trainer, () => "") : undefined;
    const texts: number[][] = [];
    for (const prompt of prompts) texts.push(await textOf(trainer, prompt));
    const state = await trainer.save();
    const led: number[][] = [];
    if (lead) {
      for (const prompt of prompts) led.push(await textOf(lead, prompt));
      // One that is ended early leaves nobody waiting.
      for await (const _ of lead.generate([1], options)) break;
      await lead.trainStep();
      await endFollowers(world);
    } else await followTrainer(world, trainer, () => "");
    expect(trainer.step).toBe(2);
    trainer.release();
    return { texts, led, state };
  });
  const alone = createTrainer(runtimes[0]!, config, tinyBatches(config));
  alone.restore(ranks[0]!.state);
  const expected: number[][] = [];
  for (const prompt of prompts) expected.push(await textOf(alone, prompt));
  alone.release();
  expect(expected.map(({ length }) => length)).toEqual([20, 20]);
  expect(ranks[0]!.led).toEqual(expected);
  for (const { texts } of ranks) expect(texts).toEqual(expected);
});

test("the measured step has every pass and message of the table, and is compared with its simulation", async () => {
  const config = { ...tinyTraining("mhc", { recompute: 2 }), batch: 1, accumulate: 4 };
  const [first] = await onAll(createWorld(2), async (world) => {
    const plan = { ...planOf("zb-h1"), watched: true };
    const mesh = createMesh(world, two);
    const trainer = createPipelinedTrainer(runtimes[world.rank]!, config, tinyBatches(config), mesh, plan);
    await trainer.trainStep();
    const { microBatches } = trainer;
    const compared = comparePipeline(trainer.timeline(), { ...plan, mesh: two }, microBatches);
    trainer.release();
    return compared;
  });
  const { measured, simulated } = first!;
  const count = (run: typeof measured, kind: string): number =>
    run.timeline.tasks.filter((task) => task.kind === kind).length;
  // The last stage waits for no gradient, so it computes nothing again early.
  for (const run of [measured, simulated])
    expect(["forward", "backward", "weights", "recompute"].map((kind) => count(run, kind))).toEqual([8, 8, 8, 4]);
  expect(count(measured, "message")).toBe(8);
  expect(measured.report.bubble).toBeGreaterThan(0);
  expect(measured.report.bubble).toBeLessThan(1);
  for (const { start, end } of measured.timeline.tasks) expect(end).toBeGreaterThanOrEqual(start);
});
