// Runs of a sweep that do not fit are named before it starts, and no more are trained at a time than fit.

import { expect, test } from "vitest";
import { defaultConnection } from "../../../src/connections/table.ts";
import { memoryLimits } from "../../../src/planning/here/memory-limit.ts";
import { runsAtATime, type SweepRun } from "../../../src/planning/here/sweep-memory.ts";
import { planMemoryNeed } from "../../../src/planning/here/training-memory.ts";
import { tinyTraining } from "../../training/tiny.ts";
import { plannedMachine } from "../../../src/runtime/machines.ts";

const machine = plannedMachine();

function runOf(layers: number, seed: number, kind: "residual" | "mhc" = "mhc"): SweepRun {
  const config = tinyTraining(kind, { seed, model: { layers, context: 256 }, batch: 16 });
  const values = { "model.layers": layers, connection: kind, seed };
  return { name: `layers=${layers},connection=${kind},seed=${seed}`, values, config };
}

/** Of a process that trains this. */
const bytesOf = ({ config }: SweepRun): number =>
  planMemoryNeed({ configs: [config] }, machine).machineBytes + 128 * 2 ** 20;

const [small, large] = [runOf(1, 1), runOf(8, 1)];
const runs = [small, runOf(1, 2), large, runOf(8, 2), runOf(1, 1, "residual")];

test("as many at a time as fit when they are the largest, and no more than wished", () => {
  const fitting = (bytes: number, most = 4): number =>
    runsAtATime(runs, machine, memoryLimits(machine.device, bytes), most);
  expect(fitting(2 ** 40)).toBe(4);
  expect(fitting(2 ** 40, 9)).toBe(5);
  expect(fitting(2 * bytesOf(large))).toBe(2);
  expect(fitting(2 * bytesOf(large) - 1)).toBe(1);
  expect(fitting(2 * bytesOf(large) + bytesOf(small))).toBe(3);
  expect(fitting(2 ** 40, 1)).toBe(1);
  expect(runsAtATime([], machine, memoryLimits(machine.device, 1), 3)).toBe(1);
});

test("runs of another precision need another amount", () => {
  const narrow: SweepRun = { ...large, name: "narrow", config: { ...large.config, precision: "bfloat16" } };
  expect(bytesOf(narrow)).toBeLessThan(bytesOf(large));
  const limits = memoryLimits(machine.device, bytesOf(large) - 1);
  expect(() => runsAtATime([narrow, large], machine, limits, 2)).toThrow(/^1 of 2 runs does not fit/);
});

test("runs that do not fit alone are refused with the values that they share, need, limit and what to do", () => {
  const limits = memoryLimits(machine.device, bytesOf(large) - 1);
  const showing = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  expect(() => runsAtATime(runs, machine, limits, 2)).toThrow(
    "2 of 5 runs do not fit into memory, even alone:\n" +
      `  model.layers=8, connection=mhc (2 runs): would need ${showing(bytesOf(large))} of memory; ` +
      `the limit is ${showing(bytesOf(large) - 1)}, what --memory allows\n` +
      "Take these values from the axes",
  );
  const wide = tinyTraining("residual", {
    model: {
      connection: defaultConnection("residual"),
      width: 8192,
      hidden: 24576,
      heads: 64,
      kvHeads: 64,
      context: 4096,
    },
    batch: 64,
  });
  const absurd = { name: "wide", values: { width: 8192 }, config: wide };
  expect(() => runsAtATime([small, absurd], machine, memoryLimits(machine.device, 2 ** 50), 2)).toThrow(
    /^1 of 2 runs does not fit into memory, even alone:\n {2}width=8192: would need [\d.]+ GiB of memory; the limit is 4\.00 GiB, the WebAssembly/,
  );
});
