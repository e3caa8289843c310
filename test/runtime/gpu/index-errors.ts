// Who is told that an index was out of range, on any GPU.

import { describe, expect, test } from "vitest";
import { input, parameter, persistent } from "../../../src/graph/state.ts";
import { add, scale } from "../../../src/ops/elementwise.ts";
import { gather } from "../../../src/ops/gather.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";

const list = async (values: Promise<TensorValues>): Promise<number[]> => [...(await values)];
const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "nothing was wrong",
    (error: Error) => error.message,
  );

/** @param opened the runtime of the test that runs */
export function describeIndexErrors(opened: () => Runtime): void {
  describe("an index out of range", () => {
    const x = input("x", [4]);
    const ids = input("ids", [2], "i32");
    const table = parameter("table", [3, 2]);
    const row = gather(table, ids);
    const message = /^gather: index 7 at position 1; allowed are 0 to 2/;

    test("is told by each of several reads of its program and of the states that it spoiled", async () => {
      const sum = persistent("sum", [2, 2]);
      const program = opened().compile({ outputs: { row, twice: scale(row, 2) }, updates: [[sum, add(sum, row)]] });
      opened().write(ids, [0, 7]);
      program.run();
      const reads = [program.read("row"), program.read("twice"), opened().read(sum), opened().read(table)];
      const told = await Promise.all(reads.map(messageOf));
      for (const one of told.slice(0, 3)) expect(one).toMatch(message);
      expect(told[3], "the table is as it was").toBe("nothing was wrong");
      expect(await messageOf(program.read("row"))).toMatch(/"row" is not there/);
      opened().write(ids, [0, 1]);
      program.run();
      expect(await list(program.read("row"))).toEqual([0, 0, 0, 0]);
      program.release();
    });

    test("of one run of many is not lost, nor of a program that is released before anything is read", async () => {
      const other = opened().compile({ outputs: { y: scale(x, 2) } });
      const program = opened().compile({ outputs: { row } });
      opened().write(ids, [0, 7]);
      program.run();
      opened().write(ids, [0, 1]);
      program.run();
      expect(await messageOf(program.read("row"))).toMatch(message);
      opened().write(ids, [0, 7]);
      program.run();
      program.release();
      other.run();
      expect(await messageOf(other.read("y"))).toMatch(message);
      opened().write(x, [1, 1, 1, 1]);
      other.run();
      expect(await list(other.read("y"))).toEqual([2, 2, 2, 2]);
    });
  });
}
