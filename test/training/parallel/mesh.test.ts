// Every rank has one place, and talks with those that its axis says.

import { expect, test } from "vitest";
import {
  createMesh,
  fitMesh,
  type MeshLimits,
  type MeshSize,
  parseMesh,
  placeOf,
  rankAt,
} from "../../../src/training/parallel/mesh.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";

const sizes: readonly MeshSize[] = [
  { data: 4, pipeline: 1, expert: 1 },
  { data: 2, pipeline: 2, expert: 1 },
  { data: 1, pipeline: 4, expert: 1 },
  { data: 2, pipeline: 1, expert: 2 },
  { data: 2, pipeline: 3, expert: 2 },
];

test.each(sizes)("the groups of %j", async (size) => {
  const many = size.data * size.pipeline * size.expert;
  const seen = await onAll(createWorld(many), async (world) => {
    const mesh = createMesh(world, size);
    expect(rankAt(size, placeOf(size, world.rank))).toBe(world.rank);
    const groups = { rows: mesh.rows, data: mesh.data, expert: mesh.expert, pipeline: mesh.pipeline };
    const heard: Record<string, number[]> = {};
    // All at once: their messages do not mix.
    const pending = Object.entries(groups).map(([name, group]) => {
      const all = new Int32Array(group.size);
      heard[name] = [];
      return { name, all, group, pending: group.allGather(Int32Array.of(world.rank), all) };
    });
    for (const { name, all, group, pending: each } of pending.reverse()) {
      await each.done();
      heard[name] = [...all];
      expect(all[group.rank]).toBe(world.rank);
    }
    expect(mesh.pipeline.rank).toBe(mesh.stage);
    expect(mesh.rows.rank).toBe(mesh.replica * size.expert + mesh.part);
    return heard;
  });
  for (const [rank, heard] of seen.entries()) {
    const own = placeOf(size, rank);
    const those = (same: (other: typeof own) => boolean): number[] =>
      Array.from({ length: many }, (_, other) => other).filter((other) => same(placeOf(size, other)));
    expect(heard["rows"]).toEqual(those(({ stage }) => stage === own.stage));
    expect(heard["data"]).toEqual(those(({ stage, part }) => stage === own.stage && part === own.part));
    expect(heard["expert"]).toEqual(those(({ stage, replica }) => stage === own.stage && replica === own.replica));
    expect(heard["pipeline"]).toEqual(those(({ part, replica }) => part === own.part && replica === own.replica));
  }
});

test("a group must have this rank in it", () => {
  const [first] = createWorld(3);
  expect(() => first!.group([1, 2])).toThrow("with 0 among them");
  expect(() => first!.group([0, 0])).toThrow("they must be different ones of 0 to 2");
});

const limits: MeshLimits = { ranks: 8, pieces: 4, experts: 4, rows: 32 };

test("what is left out is filled in", () => {
  expect(fitMesh({}, limits)).toEqual({ data: 8, pipeline: 1, expert: 1 });
  expect(fitMesh({ pipeline: 2 }, limits)).toEqual({ data: 4, pipeline: 2, expert: 1 });
  expect(fitMesh({ data: 2, expert: 4 }, limits)).toEqual({ data: 2, pipeline: 1, expert: 4 });
});

test.each([
  [{ data: 2, pipeline: 2 }, limits, "that is 4 processes, and 8 are there. Take --mesh data=4,pipeline=2,expert=1."],
  [{ pipeline: 8 }, limits, "cut into 4 stages at most"],
  [{ pipeline: 8 }, limits, "Take --mesh data=2,pipeline=4,expert=1."],
  [{ expert: 8 }, limits, "4 experts cannot be shared equally by 8 ranks. Take --mesh data=2,pipeline=1,expert=4."],
  [{ expert: 4 }, { ...limits, ranks: 4, rows: 2 }, "Take --mesh data=1,pipeline=2,expert=2."],
  [{ expert: 2 }, { ranks: 2, pieces: 2, rows: 4 }, "no mixture of experts to be shared. Take --mesh data="],
  [{ data: 8 }, { ...limits, rows: 4 }, "4 sequences a step cannot be shared equally by 8 ranks"],
  [{ data: 8 }, { ...limits, rows: 4 }, "Take --mesh data=4,pipeline=2,expert=1."],
  [
    { pipeline: 3 },
    { ranks: 7, pieces: 3, rows: 1 },
    "No mesh of 7 processes fits; take 3 with --mesh data=1,pipeline=3",
  ],
] as const)("%j in %j is refused with the nearest that fits", (wanted, within, message) => {
  expect(() => fitMesh(wanted, within)).toThrow(message);
});

test("a mesh is read from a text", () => {
  expect(parseMesh("data=2, pipeline=4")).toEqual({ data: 2, pipeline: 4 });
  for (const wrong of ["data", "data=0", "stages=2", "data=2,data=2", ""])
    expect(() => parseMesh(wrong)).toThrow("Write such as --mesh data=2,pipeline=2");
});
