// Several ranks write one checkpoint: each its part, whole or not at all, and any number of processes goes on from it.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { openShards } from "../../src/files/shards.ts";
import type { Collective } from "../../src/runtime/collective/collective.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import {
  latestCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  saveCheckpoint,
  weightsFile,
  weightsHash,
  weightsOf,
  type Write,
} from "../../src/runs/checkpoint.ts";
import { joinPieces } from "../../src/runs/pieces.ts";
import { keepPieces, mergeCheckpoint, saveShared, type SharedSave } from "../../src/runs/shared-checkpoint.ts";
import {
  endFollowers,
  followTrainer,
  type KeepOwn,
  type LeadingTrainer,
  leadTrainer,
} from "../../src/training/parallel/lead.ts";
import type { TrainerState } from "../../src/training/state.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { createWorld, onAll } from "../runtime/collective/world.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

const config = { ...tinyTraining("mhc", { model: { layers: 1 } }), batch: 6, accumulate: 1 };
let folder: string;
beforeAll(() => void (folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-shared-"))));
beforeEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Train a step on some ranks, and do something on the one that leads. */
async function withRanks<T>(
  size: number,
  work: (lead: LeadingTrainer) => Promise<T>,
  keepOf: (collective: Collective) => KeepOwn = (collective) => keepPieces(collective),
): Promise<T> {
  const [led] = await onAll(createWorld(size), async (collective) => {
    // Small buckets: most tensors are in pieces.
    const trainer = createTrainer(
      createReferenceRuntime(),
      config,
      tinyBatches(config),
      Object.assign({}, collective, { bucketBytes: 1024 }),
    );
    if (collective.rank > 0) {
      await followTrainer(collective, trainer, keepOf(collective));
      return undefined;
    }
    const lead = leadTrainer(collective, trainer, keepOf(collective));
    await lead.trainStep();
    const result = await work(lead);
    await endFollowers(collective);
    return result;
  });
  return led as T;
}

const save = (lead: LeadingTrainer, keep = 2): Promise<SharedSave> =>
  saveShared(folder, { step: lead.step, state: { seed: 1 }, keep }, (place) => lead.keepOwn!(place));

const placeOf = (saved: SharedSave): string => ("place" in saved ? saved.place.folder : "");
const byName = ({ model, optimizer }: Pick<TrainerState, "model" | "optimizer">): unknown =>
  Object.fromEntries([...model, ...optimizer].map(({ name, shape, data }) => [name, { shape, data }]));

test("each rank writes its part, all of them are the state, and merged it has the bytes of one process", async () => {
  const [place, whole] = await withRanks(3, async (lead) => [placeOf(await save(lead)), await lead.save()] as const);
  expect(fs.readdirSync(place).sort()).toEqual([
    ...[1, 2, 3].map((rank) => `model-0000${rank}-of-00003.safetensors`),
    "model.safetensors.index.json",
    ...[1, 2, 3].map((rank) => `optimizer-0000${rank}-of-00003.safetensors`),
    "state.json",
  ]);
  const sizes = fs.readdirSync(place).flatMap((name) => {
    const { size } = fs.statSync(path.join(place, name));
    return name.startsWith("optimizer") ? [size] : [];
  });
  expect(Math.max(...sizes)).toBeLessThan(1.5 * Math.min(...sizes));
  const loaded = loadCheckpoint(place);
  expect(byName(loaded)).toEqual(byName(whole));
  expect(loaded.state).toEqual({ seed: 1 });
  const names = whole.model.map(({ name }) => name);
  expect(weightsOf(place).map(({ name }) => name)).toEqual(names);
  const opened = openShards(weightsFile(place));
  expect(opened.tensors.map(({ name }) => name).sort()).toEqual([...names].sort());
  opened.close();
  const index = JSON.parse(fs.readFileSync(weightsFile(place), "utf8")) as { metadata: { total_size: number } };
  expect(index.metadata.total_size).toBe(whole.model.reduce((sum, { data }) => sum + data.byteLength, 0));
  expect(weightsHash(place)).toMatch(/^[\da-f]{64}$/);

  expect(mergeCheckpoint(folder, { step: 1, folder: place })).toBe(true);
  expect(mergeCheckpoint(folder, { step: 1, folder: place })).toBe(false);
  const alone = path.join(folder, "alone");
  fs.mkdirSync(alone);
  const one = saveCheckpoint(alone, { ...whole, state: { seed: 1 } });
  for (const name of fs.readdirSync(one.folder))
    expect(fs.readFileSync(path.join(place, name))).toEqual(fs.readFileSync(path.join(one.folder, name)));
  expect(fs.readdirSync(place).sort()).toEqual(fs.readdirSync(one.folder).sort());
});

test("a full disk on one rank is told with its name, and the checkpoint before is kept", async () => {
  let isFull = false;
  const full: Write = () => {
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  };
  const message = await withRanks(
    3,
    async (lead) => {
      await save(lead);
      await lead.trainStep();
      isFull = true;
      return await save(lead).then(
        () => "saved",
        (error: unknown) => (error as Error).message,
      );
    },
    (collective) => (own, place) =>
      keepPieces(collective, isFull && collective.rank === 1 ? full : undefined)(own, place),
  );
  expect(message).toContain(`the checkpoint of step 2 could not be written`);
  expect(message).toContain(`rank 1 on ${os.hostname()}: the disk is full`);
  expect(message).toContain("the last good checkpoint is");
  expect(fs.readdirSync(path.join(folder, "checkpoints"))).toEqual(["step-1"]);
});

test("a rank that does not see the folder, and a value that is not finite, leave nothing behind", async () => {
  let elsewhere = false;
  const told = await withRanks(
    2,
    async (lead) => {
      elsewhere = true;
      const unseen = await save(lead);
      elsewhere = false;
      const saved = await lead.save();
      const [first, ...others] = saved.model;
      lead.restore({ ...saved, model: [{ ...first!, data: first!.data.map(() => NaN) }, ...others] });
      return [unseen, await save(lead), first!.name] as const;
    },
    (collective) => (own, place) =>
      keepPieces(collective)(own, elsewhere && collective.rank === 1 ? "/nowhere" : place),
  );
  expect(told[0]).toEqual({ unseen: `rank 1 (on ${os.hostname()})` });
  expect(told[1]).toEqual({ notFinite: told[2] });
  expect(fs.readdirSync(path.join(folder, "checkpoints"))).toEqual([]);
});

test("a damaged or missing part is found, and the checkpoint before it taken", async () => {
  const second = await withRanks(2, async (lead) => {
    await save(lead);
    await lead.trainStep();
    return placeOf(await save(lead));
  });
  expect(listCheckpoints(folder)).toHaveLength(2);
  const part = path.join(second, "optimizer-00002-of-00002.safetensors");
  const bytes = fs.readFileSync(part);
  for (const damage of [
    () => fs.rmSync(part),
    () =>
      fs.writeFileSync(
        part,
        bytes.map((byte, index) => (index === bytes.length - 1 ? byte ^ 1 : byte)),
      ),
  ]) {
    damage();
    const warnings: string[] = [];
    expect(latestCheckpoint(folder, (warning) => warnings.push(warning))?.step).toBe(1);
    expect(warnings.join()).toContain("optimizer-00002-of-00002.safetensors");
  }
});

test("pieces must make up each tensor exactly", () => {
  const outlines = [{ name: "w", shape: [2, 2] }];
  const piece = (name: string, ...values: number[]) => ({
    name,
    shape: [values.length],
    data: Float32Array.from(values),
  });
  const [joined] = joinPieces(outlines, [piece("w@2", 3, 4), piece("w@0", 1, 2)], "it");
  expect(joined).toEqual({ name: "w", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) });
  const fails = (message: string, ...pieces: ReturnType<typeof piece>[]): void =>
    expect(() => joinPieces(outlines, pieces, "it")).toThrow(message);
  fails("w lacks 2 of its numbers", piece("w@0", 1, 2));
  fails("do not follow each other at number 0", piece("w@2", 3, 4));
  fails("do not follow each other at number 2", piece("w@0", 1, 2), piece("w@1", 2, 3, 4));
  fails("do not follow each other at number 2", piece("w@0", 1, 2), piece("w@2", 3, 4, 5));
  fails("a tensor v", piece("v", 1));
});
