// Question: which lists of calls must the scheduler and the memory planner cope with?
//
// Random ones, of every kind that lowering emits: rows in tiles, elementwise work cut anywhere, calls
// that read whole buffers (attention, weight gradients, sums), packing of state, updates of state.

import * as fc from "fast-check";
import { type Buffer, type Call, type Operand } from "../../../src/runtime/plan/calls.ts";
import { plannedMachine } from "../../../src/runtime/machines.ts";
import type { Device } from "../../../src/runtime/device.ts";

/** Whose numbers the calls are cut by. */
export const device: Device = plannedMachine().device;

export interface RandomProgram {
  readonly calls: readonly Call[];
  readonly outputs: ReadonlySet<Buffer>;
  /** [state, new value]. */
  readonly updates: ReadonlyMap<Buffer, Buffer>;
}

/** Numbers a program is made from; each is taken modulo what there is to choose from. */
interface Choice {
  readonly kind: number;
  readonly first: number;
  readonly second: number;
  readonly size: number;
  readonly flag: boolean;
}

const choice: fc.Arbitrary<Choice> = fc.record({
  kind: fc.nat(7),
  first: fc.nat(1000),
  second: fc.nat(1000),
  size: fc.nat(2),
  flag: fc.boolean(),
});

export const randomProgram: fc.Arbitrary<RandomProgram> = fc
  .tuple(
    fc.array(choice, { minLength: 1, maxLength: 24 }),
    fc.array(fc.nat(1000), { maxLength: 4 }),
    fc.array(fc.nat(1000), { maxLength: 3 }),
  )
  .map(([choices, outputs, updates]) => assemble(choices, outputs, updates));

/** Rows of the chains, so that some calls share a domain and others do not; widths in floats. */
const ROWS = [96, 100, 7] as const;
const WIDTHS = [8, 16, 40] as const;

interface Shaped {
  readonly buffer: Buffer;
  readonly rows: number;
}

function assemble(
  choices: readonly Choice[],
  outputChoices: readonly number[],
  updateChoices: readonly number[],
): RandomProgram {
  const states: Shaped[] = ROWS.map((rows, index) => ({
    rows,
    buffer: stateBuffer(`state ${index}`, 4 * rows * WIDTHS[index]!),
  }));
  const values: Shaped[] = [...states];
  const calls: Call[] = [];
  const pick = (from: readonly Shaped[], index: number): Shaped => from[index % from.length]!;
  let made = 0;
  const make = (bytes: number): Buffer => ({ name: `buffer ${made++}`, bytes });
  const emit = (
    call: Omit<Call, "label" | "flops" | "words" | "inPlace" | "kernel"> & { inPlace?: Call["inPlace"] },
  ): void =>
    void calls.push({ kernel: "none", label: `call ${calls.length}`, flops: 0, words: [], inPlace: [], ...call });

  for (const { kind, first, second, size, flag } of choices) {
    const x = pick(values, first);
    const after =
      flag && calls.length > 0
        ? calls[second % calls.length]!.operands.find((operand) => operand?.access === "write")?.buffer
        : undefined;
    if (kind <= 2) {
      // Rows, or pairs of them: reads its rows of x and of another, perhaps all of a third; may write over the first two.
      const peers = values.filter(({ rows }) => rows === x.rows);
      const peer = pick(peers, second);
      const out = make(flag ? x.buffer.bytes : 4 * x.rows * WIDTHS[size]!);
      const whole = kind === 2 ? [read(pick(values, second).buffer, false)] : [];
      emit({
        domain: flag && x.rows % 2 === 0 ? x.rows / 2 : x.rows,
        grain: second % 5 === 0 ? 7 : device.rowTile,
        operands: [read(x.buffer, true), read(peer.buffer, true), ...whole, write(out, true)],
        inPlace: [
          [0, 2 + whole.length],
          [1, 2 + whole.length],
        ],
        ...(kind === 1 ? { after } : {}),
        ...(kind === 0 ? { lazy: second % 3 === 0 } : {}),
      });
      values.push({ buffer: out, rows: x.rows });
    } else if (kind === 3) {
      const same = values.filter(({ buffer }) => buffer.bytes === x.buffer.bytes);
      const out = make(x.buffer.bytes);
      emit({
        domain: undefined,
        grain: 1,
        operands: [read(x.buffer, true), undefined, read(pick(same, second).buffer, true), write(out, true)],
        inPlace: [
          [0, 3],
          [2, 3],
        ],
      });
      values.push({ buffer: out, rows: x.rows });
    } else if (kind === 4) {
      // Reads whole buffers and writes rows of another number, as attention does.
      const rows = ROWS[size]!;
      const out = make(4 * rows * WIDTHS[second % 3]!);
      emit({
        domain: 5,
        grain: 1,
        operands: [read(x.buffer, false), read(pick(values, second).buffer, false), write(out, flag)],
        ...(flag ? {} : { after }),
      });
      values.push({ buffer: out, rows });
    } else if (kind === 7) {
      const out = make(2 * x.buffer.bytes);
      emit({
        domain: x.rows,
        grain: device.rowTile,
        operands: [read(x.buffer, true), write(out, true)],
        repeated: true,
      });
      values.push({ buffer: out, rows: x.rows });
    } else if (kind === 5) {
      // A small result of a large input, in two calls.
      const [partials, out] = [make(64), make(64)];
      emit({ domain: 4, grain: 2, operands: [read(x.buffer, false), write(partials, false)] });
      emit({ domain: 1, grain: 1, operands: [read(partials, false), write(out, false)] });
      values.push({ buffer: out, rows: 1 });
    } else {
      const state = pick(states, first);
      const packed = make(state.buffer.bytes);
      emit({ domain: 3, grain: 1, operands: [read(state.buffer, false), write(packed, false)], after });
      values.push({ buffer: packed, rows: state.rows });
    }
  }
  const computed = values.slice(states.length);
  const updates = new Map<Buffer, Buffer>();
  for (const index of updateChoices) {
    const state = pick(states, index).buffer;
    const fitting = computed.filter(
      ({ buffer }) => buffer.bytes === state.bytes && ![...updates.values()].includes(buffer),
    );
    if (fitting.length > 0) updates.set(state, pick(fitting, index).buffer);
  }
  return { calls, updates, outputs: new Set(outputChoices.map((index) => pick(values, index).buffer)) };
}

const read = (buffer: Buffer, aligned: boolean): Operand => ({ buffer, aligned, access: "read" });
const write = (buffer: Buffer, aligned: boolean): Operand => ({ buffer, aligned, access: "write" });

function stateBuffer(name: string, bytes: number): Buffer {
  return { name, bytes, state: { kind: "parameter", name, shape: [bytes / 4], dtype: "f32" } };
}
