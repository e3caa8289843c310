// Question: how do several threads replay one program without JavaScript?
//
// A program is a list of groups in shared memory (all words are 32 bits):
//   program: [groupCount, interrupted, reserved, reserved] then one pointer per group
//   group:   [barrierBefore, nextTask (atomic), domain, grain, callCount] then callCount calls
//   call:    [kernel, args, argWords, localCount] then localCount times [position in args, offset, rowBytes]
// Every thread walks all groups. Within a group it claims tasks with an atomic counter and runs
// each call of the group on the task's range; before a group marked barrierBefore it meets the others.
// Tasks are fixed ranges, so who takes which changes no result. In an interrupted program the host has a turn after
// each task of the calling thread.
//
// A local buffer lives only within a chain. Each thread has room for the rows of one tile of it, so its
// address depends on the thread and the task: the thread copies the call's arguments to its own memory
// and sets these pointers so that row `begin` is the first of its room.
//
// A thread's own memory: SCRATCH_BYTES for kernels, ARGUMENT_BYTES, then the local buffers. Their base leaves 64
// modulo LOCAL_ALIGNMENT, offsets and tiles are multiples of it, so such a pointer is never null.

import {
  ARGUMENT_BYTES, CONTROL_ARRIVED, CONTROL_EPOCH, CONTROL_FAILED, CONTROL_GENERATION, CONTROL_PROGRAM, LOCAL_ALIGNMENT,
  LOCAL_BEGIN, OFFENCE_CALL, SCRATCH_BYTES,
} from "../constants";
import { CopyArguments } from "./arguments";
import { enterCall, setControl } from "./indices";

/** The host looks whether a thread has ended, and if so sets the flag of a trap and opens the barrier. */
@external("env", "look")
declare function look(): void;

/** The host's turn; nothing on the threads that the host did not call. */
@external("env", "turn")
declare function turn(): void;

/** Nanoseconds of sleep at the barrier after which a thread lets the host look. */
const PATIENCE: i64 = 200000000;

/** Looks at the barrier before a thread sleeps, some 0.2 ms: longer than the pause between the tokens of a text. */
const SPIN: i32 = 100000;

/** Where the local buffers of a thread begin. */
@inline
function localBase(scratch: usize): usize {
  return (scratch + SCRATCH_BYTES + ARGUMENT_BYTES) / LOCAL_ALIGNMENT * LOCAL_ALIGNMENT + LOCAL_BEGIN;
}

/** Run one call on items [begin, end). Returns where the next call's record lies. */
@inline
function runCall(call: usize, begin: i32, end: i32, scratch: usize): usize {
  enterCall(call);
  const kernel = load<i32>(call), locals = load<i32>(call, 12);
  let args = <usize>load<i32>(call, 4);
  let local = call + 16;
  if (locals > 0) {
    const own = scratch + SCRATCH_BYTES;
    memory.copy(own, args, <usize>load<i32>(call, 8) << 2);
    args = own;
    const base = localBase(scratch);
    for (let i = 0; i < locals; i++) {
      store<usize>(own + (<usize>load<i32>(local) << 2), base + <usize>load<i32>(local, 4) - <usize>(begin * load<i32>(local, 8)));
      local += 12;
    }
  }
  call_indirect<void>(kernel, args, begin, end, scratch);
  return local;
}

/** Has a thread trapped? Whoever sets the flag then opens the barrier, which it will never reach. */
@inline
function failed(control: usize): bool {
  return atomic.load<i32>(control + CONTROL_FAILED) != 0;
}

/**
 * Meet the other threads: the last to arrive resets the count and opens the next generation. False when one of
 * them has trapped. The generation is read before the flag: a barrier that opens in between is not waited for.
 */
function barrier(control: usize, threads: i32): bool {
  const arrived = control + CONTROL_ARRIVED;
  const generation = control + CONTROL_GENERATION;
  const current = atomic.load<i32>(generation);
  if (failed(control)) return false;
  if (atomic.add<i32>(arrived, 1) == threads - 1) {
    atomic.store<i32>(arrived, 0);
    atomic.add<i32>(generation, 1);
    atomic.notify(generation, threads);
    return true;
  }
  for (let i = 0; i < SPIN; i++) {
    if (atomic.load<i32>(generation) != current) return !failed(control);
  }
  while (atomic.load<i32>(generation) == current) {
    if (atomic.wait<i32>(generation, current, PATIENCE) == 2) look();
  }
  return !failed(control);
}

function runProgram(control: usize, program: usize, threads: i32, scratch: usize): void {
  const groups = load<i32>(program), interrupted = load<i32>(program, 4) != 0;
  const list = program + 16;
  for (let g = 0; g < groups; g++) {
    const group = <usize>load<i32>(list + (<usize>g << 2));
    if (threads > 1 && load<i32>(group) != 0 && !barrier(control, threads)) return;
    const domain = load<i32>(group, 8);
    const grain = load<i32>(group, 12);
    const calls = load<i32>(group, 16);
    while (true) {
      const begin = atomic.add<i32>(group + 4, 1) * grain;
      if (begin >= domain) break;
      const end = min(begin + grain, domain);
      let call = group + 20;
      for (let c = 0; c < calls; c++) call = runCall(call, begin, end, scratch);
      if (interrupted) turn();
    }
  }
  if (threads > 1) barrier(control, threads);
}

/** Before a run: no task of any group is taken. */
function resetProgram(program: usize): void {
  const groups = load<i32>(program);
  for (let g = 0; g < groups; g++) {
    store<i32>(<usize>load<i32>(program + 16 + (<usize>g << 2)), 0, 4);
  }
}

/**
 * The life of a worker: sleep until the epoch moves, replay the program named in the control block, end when there
 * is none. The control block is laid out in constants.ts. The barrier is not in the program, whose words may be given
 * back while a thread is still leaving it.
 */
export function workerLoop(control: usize, threads: i32, scratch: usize): void {
  setControl(control);
  const epoch = control + CONTROL_EPOCH;
  let seen = 0;
  while (true) {
    for (let i = 0; i < SPIN && atomic.load<i32>(epoch) == seen; i++) {}
    while (atomic.load<i32>(epoch) == seen) atomic.wait<i32>(epoch, seen, -1);
    seen = atomic.load<i32>(epoch);
    const program = load<usize>(control + CONTROL_PROGRAM);
    if (program == 0) return;
    runProgram(control, program, threads, scratch);
  }
}

/** Replay a program on all threads; the calling thread takes part. */
export function startProgram(control: usize, program: usize, threads: i32, scratch: usize): void {
  setControl(control);
  store<usize>(control + OFFENCE_CALL, 0);
  resetProgram(program);
  if (threads > 1) {
    store<usize>(control + CONTROL_PROGRAM, program);
    atomic.add<i32>(control + CONTROL_EPOCH, 1);
    atomic.notify(control + CONTROL_EPOCH, threads);
  }
  runProgram(control, program, threads, scratch);
}

/** Domain 1. */
export function copy(args: CopyArguments, begin: i32, end: i32, scratch: usize): void {
  memory.copy(args.to, args.from, <usize>args.bytes);
}

/** Run the call recorded at `call` on one task, by itself: for profiling. */
export function runOne(control: usize, call: usize, begin: i32, end: i32, scratch: usize): void {
  setControl(control);
  runCall(call, begin, end, scratch);
}
