// Question: of two programs, call by call, which kernels make the difference?

import type { Call } from "../../src/runtime/plan/calls.ts";
import type { CallTime } from "../../src/runtime/runtime.ts";

export type ProfileRow = {
  readonly name: string;
  readonly calls: number;
  /** Milliseconds in the base program, in the other one, and their difference. */
  readonly base: number;
  readonly other: number;
  readonly extra: number;
  /** Bytes of all operands, and floating-point operations, of the other program's calls. */
  readonly bytes: number;
  readonly flops: number;
};

/** One row for each name that `nameOf` gives to calls, the largest difference first. */
export function compareProfiles(
  base: readonly CallTime[],
  other: readonly CallTime[],
  nameOf: (call: Call) => string,
): readonly ProfileRow[] {
  const names = new Set([...base, ...other].map(({ call }) => nameOf(call)));
  const total = (times: readonly CallTime[], of: (time: CallTime) => number): number =>
    times.reduce((sum, time) => sum + of(time), 0);
  const rows = [...names].map((name): ProfileRow => {
    const [before, after] = [base, other].map((times) => times.filter(({ call }) => nameOf(call) === name));
    const [baseTime, otherTime] = [before!, after!].map((times) => total(times, ({ milliseconds }) => milliseconds));
    return {
      name,
      calls: after!.length,
      base: baseTime!,
      other: otherTime!,
      extra: otherTime! - baseTime!,
      bytes: total(after!, ({ call }) => operandBytes(call)),
      flops: total(after!, ({ call }) => call.flops),
    };
  });
  return rows.sort((a, b) => b.extra - a.extra);
}

/** Bytes of every buffer that a call touches, each counted once. */
function operandBytes({ operands }: Call): number {
  const buffers = new Set(operands.flatMap((operand) => operand?.buffer ?? []));
  return [...buffers].reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The rows as text, with a line for the sum. Percentages refer to the base program's time. */
export function profileTable(rows: readonly ProfileRow[]): string {
  const sum = (of: (row: ProfileRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const all: ProfileRow = {
    name: "all",
    calls: sum(({ calls }) => calls),
    base: sum(({ base }) => base),
    other: sum(({ other }) => other),
    extra: sum(({ extra }) => extra),
    bytes: sum(({ bytes }) => bytes),
    flops: sum(({ flops }) => flops),
  };
  const rate = (amount: number, ms: number): string => (ms > 0 ? (amount / ms / 1e6).toFixed(1) : "");
  const cells = [
    ["kernel", "calls", "residual ms", "mHC ms", "extra ms", "extra %", "GB/s", "GFLOP/s"],
    ...[...rows, all].map(({ name, calls, base, other, extra, bytes, flops }) => [
      name,
      `${calls}`,
      base.toFixed(2),
      other.toFixed(2),
      extra.toFixed(2),
      ((100 * extra) / all.base).toFixed(2),
      rate(bytes, other),
      rate(flops, other),
    ]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ");
  return cells.map((row) => `${line(row)}\n`).join("");
}
