// Question: what becomes of an index that is out of range?
//
// The kernel goes on with index 0, so that memory stays whole, and the first offence of a run is written to the
// control block: that of the earliest call, and in it of the smallest position. Since the run goes on, this is the same
// for any number of threads. The host looks when the run has ended (failures.ts).

import { OFFENCE_CALL, OFFENCE_INDEX, OFFENCE_LOCK, OFFENCE_POSITION, OFFENCE_ROWS } from "../constants";

/** The control block; 0 in tests that call kernels by themselves. */
let block: usize = 0;
/** The record of the call that this thread is at. Later calls have higher addresses. */
let current: usize = 0;

@inline
export function setControl(control: usize): void {
  block = control;
}

@inline
export function enterCall(call: usize): void {
  current = call;
}

/** The record of the call that this thread was at when it trapped. */
export function currentCall(): usize {
  return current;
}

/** The index if it names one of `rows` rows, else 0. `position` is its place in its tensor. */
@inline
export function checkedIndex(index: i32, rows: i32, position: i32): i32 {
  if (<u32>index < <u32>rows) return index;
  report(index, rows, position);
  return 0;
}

function report(index: i32, rows: i32, position: i32): void {
  if (block == 0) return;
  while (atomic.cmpxchg<i32>(block + OFFENCE_LOCK, 0, 1) != 0) {}
  const call = load<usize>(block + OFFENCE_CALL);
  if (call == 0 || current < call || (current == call && position < load<i32>(block + OFFENCE_POSITION))) {
    store<usize>(block + OFFENCE_CALL, current);
    store<i32>(block + OFFENCE_POSITION, position);
    store<i32>(block + OFFENCE_INDEX, index);
    store<i32>(block + OFFENCE_ROWS, rows);
  }
  atomic.store<i32>(block + OFFENCE_LOCK, 0);
}
