// Several ranks share the states of every optimizer: whole matrices where it needs them whole.

import { expect, test } from "vitest";
import type { Collective } from "../../../src/runtime/collective/collective.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { createLayout } from "../../../src/training/parallel/layout.ts";
import { createTrainer, type Trainer } from "../../../src/training/trainer.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";
import { tinyBatches, tinyTraining } from "../tiny.ts";
import { runtimesOfRanks } from "./ranks.ts";

const runtimes = runtimesOfRanks(3);

const trainerOf = (config: TrainingConfig, collective?: Collective): Trainer =>
  createTrainer(
    runtimes[collective?.rank ?? 0]!,
    config,
    tinyBatches(config),
    collective && Object.assign({}, collective, { bucketBytes: 2048 }),
  );

async function train(trainer: Trainer, steps: number): Promise<number[]> {
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) losses.push((await trainer.trainStep()).loss);
  return losses;
}

const cases: readonly (readonly [name: string, optimizer: object])[] = [
  ["muon", { kind: "muon", matrices: ["weight", "connection"] }],
  ["lion", { kind: "lion", learningRate: 1e-3 }],
  ["sgd", { kind: "sgd", learningRate: 0.1 }],
  ["adafactor", { kind: "adafactor", learningRate: 1e-2 }],
  ["adaptive clipping", { clip: { kind: "adaptive", warmup: 2, threshold: 0.5, smoothing: 0.9 } }],
];

test.each(cases)("%s on 3 ranks is as in one process, and goes on alone", async (_name, optimizer) => {
  const config = { ...tinyTraining("mhc", { optimizer }), batch: 1, accumulate: 3 };
  const alone = trainerOf(config);
  const one = await train(alone, 6);
  const state = await alone.save();
  alone.release();
  const ranks = await onAll(createWorld(3, { deadline: 60 }), async (collective) => {
    const trainer = trainerOf(config, collective);
    const losses = await train(trainer, 3);
    const half = await trainer.save();
    losses.push(...(await train(trainer, 3)));
    const saved = await trainer.save();
    trainer.release();
    return { losses, half, saved };
  });
  for (const { losses, saved } of ranks) {
    expect(losses).toEqual(ranks[0]!.losses);
    expect(saved).toEqual(ranks[0]!.saved);
    for (const [index, loss] of losses.entries()) expect(Math.abs(loss - one[index]!)).toBeLessThan(1e-5);
  }
  const shapes = ({ optimizer: saved }: typeof state): string[] =>
    saved.map(({ name, shape, data }) => `${name} ${shape.join()} ${data.length}`);
  expect(shapes(ranks[0]!.saved)).toEqual(shapes(state));
  const later = trainerOf(config);
  later.restore(ranks[0]!.half);
  for (const [index, loss] of (await train(later, 3)).entries())
    expect(Math.abs(loss - one[3 + index]!)).toBeLessThan(1e-5);
  later.release();
  const two = await onAll(createWorld(2, { deadline: 60 }), async (collective) => {
    const trainer = trainerOf({ ...config, batch: 2, accumulate: 3 }, collective);
    trainer.restore(ranks[0]!.half);
    const saved = await trainer.save();
    trainer.release();
    return saved;
  });
  for (const each of two) expect(each).toEqual(ranks[0]!.half);
});

test.each([
  [2, 512],
  [3, 64],
  [4, 100_000],
])("a whole parameter is one rank's, and no two lie in one place (%d ranks, %d bytes)", (ranks, bucketBytes) => {
  const sizes = [100, 7, 333, 1, 64, 256, 40, 41, 333];
  const whole = (index: number): boolean => index % 3 !== 1;
  const parameters = sizes.map((size, index) => ({ size, group: whole(index) ? 1 + index : 0, whole: whole(index) }));
  const layout = createLayout(parameters, { ranks, groups: 1 + sizes.length, bucketBytes });
  for (const [index, { size, group }] of parameters.entries()) {
    const pieces = layout.buckets.flatMap(({ part, stretches, pieces: byRank }) =>
      byRank.flatMap((own, rank) =>
        own
          .filter(({ parameter }) => parameter === index)
          .map(({ at, from, length }) => {
            expect(at + length).toBeLessThanOrEqual(part);
            expect(
              stretches.some(
                (each) =>
                  each.parameter === index &&
                  each.from <= from &&
                  each.from + each.length >= from + length &&
                  each.at + from - each.from === rank * part + at,
              ),
            ).toBe(true);
            return { rank, length };
          }),
      ),
    );
    expect(pieces.reduce((sum, { length }) => sum + length, 0)).toBe(size);
    if (!whole(index)) continue;
    expect(pieces).toHaveLength(1);
    expect(layout.groups.map((groups) => groups[group])).toEqual(
      Array.from({ length: ranks }, (_, rank) => (rank === pieces[0]!.rank ? size : 0)),
    );
  }
  for (const { part, stretches } of layout.buckets) {
    const row = new Uint8Array(ranks * part);
    for (const { at, length } of stretches) for (let i = at; i < at + length; i++) row[i]! += 1;
    expect(row.every((times) => times <= 1)).toBe(true);
  }
});
