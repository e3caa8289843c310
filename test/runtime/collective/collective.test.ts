// What every collective does, on ranks in one process: the sums are added in the order of the ranks.

import { describe, expect, test } from "vitest";
import { alone } from "../../../src/runtime/collective/alone.ts";
import { CollectiveError } from "../../../src/runtime/collective/collective.ts";
import { broadcastText, gatherTexts } from "../../../src/runtime/collective/texts.ts";
import { expectSame } from "../../../src/training/parallel/agree.ts";
import { createWorld, onAll } from "./world.ts";

/** Numbers whose sums depend on the order in which they are added. */
const valuesOf = (rank: number, length: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.fround(Math.sin(i * 37 + rank * 11) * 10 ** ((i + rank) % 6)));

/** ((x₀ + x₁) + x₂) + …, each sum rounded. */
function summed(size: number, length: number): Float32Array {
  const sum = valuesOf(0, length);
  for (let rank = 1; rank < size; rank++) {
    const next = valuesOf(rank, length);
    for (let i = 0; i < length; i++) sum[i] = Math.fround(sum[i]! + next[i]!);
  }
  return sum;
}

describe.each([2, 3, 4])("%d ranks", (size) => {
  test.each([1, 7, 1000, 5000])("all-reduce %d values in the order of the ranks", async (length) => {
    const all = await onAll(createWorld(size), async (collective) => {
      const values = valuesOf(collective.rank, length);
      await collective.allReduce(values).done();
      return values;
    });
    for (const each of all) expect(each).toEqual(summed(size, length));
  });

  test("reduce-scatter, all-gather, all-to-all and broadcast", async () => {
    const length = 12 * size;
    await onAll(createWorld(size), async (collective) => {
      const { rank } = collective;
      const own = new Float32Array(12);
      const whole = new Float32Array(length);
      const reduced = collective.reduceScatter(valuesOf(rank, length), own);
      await reduced.done();
      expect(own).toEqual(summed(size, length).subarray(12 * rank, 12 * rank + 12));
      await collective.allGather(own, whole).done();
      expect(whole).toEqual(summed(size, length));

      const [sent, got] = [Int32Array.from({ length: size }, (_, to) => 10 * rank + to), new Int32Array(size)];
      await collective.allToAll(sent, got).done();
      expect([...got]).toEqual(Array.from({ length: size }, (_, from) => 10 * from + rank));

      // Rank q sends q + r numbers to rank r, but none to rank 0.
      const many = (from: number, to: number): number => (to === 0 ? 0 : from + to);
      const parts = Array.from({ length: size }, (_, to) => valuesOf(rank, many(rank, to)));
      const into = Array.from({ length: size }, (_, from) => new Float32Array(many(from, rank)));
      await collective.allToAllParts(parts, into).done();
      expect(into).toEqual(Array.from({ length: size }, (_, from) => valuesOf(from, many(from, rank))));

      const said = Int32Array.of(rank === 1 ? 42 : 0);
      await collective.broadcast(said, 1).done();
      expect(said[0]).toBe(42);
      expect(collective.traffic.sentBytes).toBeGreaterThan(0);
    });
  });

  test("messages between two come in order, and several operations may be under way", async () => {
    await onAll(createWorld(size), async (collective) => {
      const { rank } = collective;
      const [next, before] = [(rank + 1) % size, (rank + size - 1) % size];
      const got = [new Int32Array(1), new Int32Array(1)];
      const pending = [
        collective.send(Int32Array.of(100 + rank), next),
        collective.barrier(),
        collective.send(Int32Array.of(200 + rank), next),
        ...got.map((into) => collective.receive(into, before)),
      ];
      for (const each of pending) await each.done();
      expect(got.map(([value]) => value)).toEqual([100 + before, 200 + before]);
    });
  });

  test("texts of any length", async () => {
    await onAll(createWorld(size), async (collective) => {
      const own = "é".repeat(collective.rank * 3);
      expect(await gatherTexts(collective, own)).toEqual(
        Array.from({ length: size }, (_, rank) => "é".repeat(rank * 3)),
      );
      expect(await broadcastText(collective, 1, collective.rank === 1 ? "to all" : undefined)).toBe("to all");
      expect(await broadcastText(collective, 0, "")).toBe("");
    });
  });
});

test("an operation that a rank does not join fails at its deadline, and names it", async () => {
  const world = createWorld(3, { deadline: 0.05 });
  const failed = await Promise.all(
    world.slice(0, 2).map(async (collective) => {
      const error: unknown = await collective
        .allReduce(new Float32Array(2000))
        .done()
        .catch((thrown: unknown) => thrown);
      return error as CollectiveError;
    }),
  );
  for (const error of failed) {
    expect(error).toBeInstanceOf(CollectiveError);
    expect(error.ranks).toEqual([2]);
    expect(error.message).toContain("allReduce: rank 2 did not answer within 0.05 s");
  }
});

test("what does not fit is refused", async () => {
  const [first] = createWorld(2);
  expect(() => first!.allGather(new Float32Array(2), new Float32Array(3))).toThrow(
    "allGather: 3 and 2 values are given",
  );
  expect(() => first!.send(new Float32Array(1), 0)).toThrow("rank 0 of 2 can talk to rank 1");
});

test("ranks that differ from most are named on all", async () => {
  const told = await onAll(createWorld(3), async (collective) => {
    const own = collective.rank === 1 ? "b" : "a";
    return await expectSame(collective, "the letter", own).catch((error: unknown) => (error as Error).message);
  });
  for (const message of told)
    expect(message).toContain("the letter must be the same on all ranks; rank 1 has b, the others a");
});

test("alone, every operation is done at once", async () => {
  const one = alone();
  const into = new Float32Array(3);
  await one.reduceScatter(Float32Array.of(1, 2, 3), into).done();
  expect([...into]).toEqual([1, 2, 3]);
  await one.allGather(Float32Array.of(4, 5, 6), into).done();
  expect([...into]).toEqual([4, 5, 6]);
  expect(one.barrier().test()).toBe(true);
  expect(() => one.send(into, 1)).toThrow("this process is alone");
});
