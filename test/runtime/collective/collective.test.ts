// What every collective does, on ranks in one process: the sums are added in the order of the ranks.

import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { alone } from "../../../src/runtime/collective/alone.ts";
import { CollectiveError } from "../../../src/runtime/collective/collective.ts";
import { type Messenger, overMessages } from "../../../src/runtime/collective/over-messages.ts";
import { expectSame } from "../../../src/training/parallel/agree.ts";
import { contract } from "./contract.ts";
import { createWorld, onAll } from "./world.ts";

describe.each([2, 3, 4])("%d ranks in one process", (size) => {
  test.each(Object.entries(contract))("%s", async (_name, check) => {
    await onAll(createWorld(size), check);
  });
});

test.each(Object.entries(contract))("alone: %s", async (_name, check) => {
  await check(alone());
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

test("messages that came while the process was stopped are not late, though a first look does not see them", async () => {
  let stopped = false;
  const messenger: Messenger = {
    name: "slow",
    rank: 0,
    size: 2,
    send: (_, peer) => ({ peer, test: () => true }),
    receive(_, peer) {
      let looks = 0;
      return { peer, test: () => stopped && ++looks > 1 };
    },
    async pause() {
      await setTimeout(30);
      stopped = true;
    },
    abort(message) {
      throw new Error(message);
    },
    leave: () => Promise.resolve(),
  };
  await overMessages(messenger, { deadline: 0.01 }).barrier().done();
  expect(stopped).toBe(true);
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
