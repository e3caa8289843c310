// Question: what does a program do, call by call?
//
// A chain's calls run back to back on each of its tasks; here on one thread, one call at a time, so that each can
// be timed and what it has written be looked at. A buffer that lives only within its chain is there until the
// next task, in the memory of the thread.

import { type Buffer, type Call, type Operand, writes } from "../plan/calls.ts";
import type { TensorValues } from "../program.ts";
import type { CallTime, TracedCall } from "../runtime.ts";
import type { EncodedCall, Place } from "./encode.ts";

/** One call on one task: items from begin up to end. */
interface Task extends EncodedCall {
  readonly begin: number;
  readonly end: number;
  /** Of its chain. */
  readonly index: number;
}

/** Chain by chain, task by task, as a program runs. */
function* tasksOf(calls: readonly EncodedCall[]): Generator<Task> {
  for (const group of new Set(calls.map((encoded) => encoded.group))) {
    const chain = calls.filter((encoded) => encoded.group === group);
    const { domain, grain } = group;
    for (let begin = 0, index = 0; begin < domain; begin += grain, index++)
      for (const encoded of chain) yield { ...encoded, begin, end: Math.min(begin + grain, domain), index };
  }
}

type RunTask = (task: Task) => void;

/** The best times of a call's tasks are added up. */
export function profileCalls(calls: readonly EncodedCall[], rounds: number, run: RunTask): CallTime[] {
  const best = new Map<Call, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const task of tasksOf(calls)) {
      const started = performance.now();
      run(task);
      const elapsed = performance.now() - started;
      const times = best.get(task.call) ?? [];
      best.set(task.call, times);
      times[task.index] = Math.min(times[task.index] ?? Number.POSITIVE_INFINITY, elapsed);
    }
  }
  return [...best].map(([call, times]) => ({ call, milliseconds: times.reduce((sum, time) => sum + time, 0) }));
}

/**
 * Run every call and show what it has written: the share of a task after the task, or all after the last one.
 *
 * @param placeOf where a buffer lies; those of a chain from `localBase` on
 * @param floats values of the memory
 */
export function traceCalls(
  calls: readonly EncodedCall[],
  run: RunTask,
  { placeOf, localBase, floats }: TracedMemory,
  look: (call: TracedCall, values: TensorValues) => void,
): void {
  const indices = new Map(calls.map(({ call }, index) => [call, index]));
  for (const task of tasksOf(calls)) {
    run(task);
    const traced = { label: task.call.label, index: indices.get(task.call) ?? 0 };
    for (const operand of writes(task.call)) {
      const place = placeOf(operand.buffer);
      const { offset, bytes } = writtenBy(task, operand, place);
      if (bytes > 0) look(traced, floats(offset + ("local" in place ? localBase : place.address), bytes));
    }
  }
}

export interface TracedMemory {
  readonly placeOf: (buffer: Buffer) => Place;
  readonly localBase: number;
  readonly floats: (address: number, bytes: number) => Float32Array;
}

/** The part of a buffer that is whole after a task, from the buffer's place on. */
function writtenBy(
  { group: { domain }, begin, end }: Task,
  { buffer, aligned }: Operand,
  place: Place,
): { offset: number; bytes: number } {
  if ("local" in place) return { offset: place.local.offset, bytes: (end - begin) * place.local.rowBytes };
  const item = buffer.bytes / domain;
  if (aligned && item % 4 === 0) return { offset: begin * item, bytes: (end - begin) * item };
  return { offset: 0, bytes: end === domain ? buffer.bytes : 0 };
}
