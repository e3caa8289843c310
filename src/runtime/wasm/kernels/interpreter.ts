// Question: how do several threads replay one program without JavaScript?
//
// A program is a list of groups in shared memory (all words are 32 bits):
//   program: [groupCount, interrupted, reserved, reserved] then one pointer per group
//   group:   [opensPhase, domain, grain, callCount] then callCount calls
//   call:    [kernel, args, argWords, localCount] then localCount times [position in args, offset, rowBytes]
// A group's domain is cut into tasks of `grain` items, and each call of the group runs on the task's range. Tasks are
// fixed ranges, so who takes which changes no result. In an interrupted program the host has a turn after each task of
// the calling thread.
//
// A phase is a group that opens it and those that follow up to the next such group. One phase is open at a time: threads
// take its tasks, and whoever does the last one opens the next phase. So nobody waits for a thread, only for tasks that a
// thread has taken. One to which the operating system gives no core, because other programs or the sockets of a server
// need it, takes none, and the others do the work without it.
//
// A task is taken by a compare-and-swap of the ticket: [number of the phase, tasks that nobody has taken]. Numbers never
// come again, so a thread that was away for long takes no task of a phase that it has not seen open. A phase cannot close
// while a task of it is not done: until then its taker may read the program, and the words of the phase.
//
// A local buffer lives only within a chain. Each thread has room for the rows of one tile of it, so its
// address depends on the thread and the task: the thread copies the call's arguments to its own memory
// and sets these pointers so that row `begin` is the first of its room.
//
// A thread's own memory: SCRATCH_BYTES for kernels, ARGUMENT_BYTES, then the local buffers. Their base leaves 64
// modulo LOCAL_ALIGNMENT, offsets and tiles are multiples of it, so such a pointer is never null.

import {
  ARGUMENT_BYTES, CONTROL_DONE, CONTROL_ENDED, CONTROL_FAILED, CONTROL_FINISHED, CONTROL_GROUP, CONTROL_NEXT, CONTROL_OPENED,
  CONTROL_PROGRAM, CONTROL_SLEEPERS, CONTROL_TASKS, CONTROL_TICKET, LOCAL_ALIGNMENT, LOCAL_BEGIN, OFFENCE_CALL,
  SCRATCH_BYTES,
} from "../constants";
import { CopyArguments } from "./arguments";
import { enterCall, setControl } from "./indices";

/** The host looks whether a thread has ended, and if so sets the flag of a trap. */
@external("env", "look")
declare function look(): void;

/** The host's turn; nothing on the threads that the host did not call. */
@external("env", "turn")
declare function turn(): void;

/** Nanoseconds of sleep after which the calling thread lets the host look. */
const PATIENCE: i64 = 200000000;

/** Looks at the ticket before a thread sleeps, some 0.2 ms: longer than the pause between the tokens of a text. */
const SPIN: i32 = 100000;

/** The lower bits of a ticket: tasks that nobody has taken. */
const PHASE: i64 = 1 << 28;
const TASKS: i64 = PHASE - 1;

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

/** The group at a place of the program's list. */
@inline
function groupAt(program: usize, place: i32): usize {
  return <usize>load<i32>(program + 16 + (<usize>place << 2));
}

/** How many tasks a group has. */
@inline
function tasksOf(group: usize): i32 {
  const domain = load<i32>(group, 4), grain = load<i32>(group, 8);
  return domain / grain + i32(domain % grain != 0);
}

/** Run all calls of a group on one task. */
@inline
function runTask(group: usize, task: i32, scratch: usize): void {
  const domain = load<i32>(group, 4), grain = load<i32>(group, 8), calls = load<i32>(group, 12);
  const begin = task * grain;
  const end = domain - begin < grain ? domain : begin + grain;
  let call = group + 16;
  for (let c = 0; c < calls; c++) call = runCall(call, begin, end, scratch);
}

/** After a change that others may sleep until. */
@inline
function wake(control: usize): void {
  if (atomic.load<i32>(control + CONTROL_SLEEPERS) == 0) return;
  atomic.add<i32>(control + CONTROL_OPENED, 1);
  atomic.notify(control + CONTROL_OPENED);
}

/**
 * Open the phase whose groups begin at a place of the list, or say that the run is over. Nobody has a task meanwhile:
 * the phase before is done. A phase of one task is done here, and none of the others hears of it, unless there is no
 * scratch: then none is done here.
 */
function openPhase(control: usize, program: usize, first: i32, scratch: usize): void {
  const groups = load<i32>(program), interrupted = load<i32>(program, 4) != 0;
  while (first < groups) {
    let next = first, tasks = 0, own = 0;
    do {
      const group = groupAt(program, next), some = tasksOf(group);
      if (some > 0) own = next;
      tasks += some;
      next++;
    } while (next < groups && load<i32>(groupAt(program, next)) == 0);
    if (tasks > 1 || (tasks == 1 && scratch == 0)) {
      store<i32>(control + CONTROL_GROUP, first);
      store<i32>(control + CONTROL_NEXT, next);
      store<i32>(control + CONTROL_TASKS, tasks);
      store<i32>(control + CONTROL_DONE, 0);
      const ticket = control + CONTROL_TICKET;
      atomic.store<i64>(ticket, (load<i64>(ticket) & ~TASKS) + PHASE + <i64>tasks);
      return wake(control);
    }
    if (tasks == 1) {
      runTask(groupAt(program, own), 0, scratch);
      if (interrupted) turn();
    }
    first = next;
  }
  atomic.store<i32>(control + CONTROL_FINISHED, 1);
  wake(control);
}

/** Take tasks and do them, also those of phases that open meanwhile, until there are none to take. */
function takeTasks(control: usize, scratch: usize): void {
  const word = control + CONTROL_TICKET;
  // The group of the latest task, and how many tasks of the phase come before it.
  let phase: i64 = -1, place = 0, before = 0;
  while (true) {
    const ticket = atomic.load<i64>(word);
    const left = <i32>(ticket & TASKS);
    if (left == 0) return;
    if (atomic.cmpxchg<i64>(word, ticket, ticket - 1) != ticket) continue;
    const program = <usize>load<i32>(control + CONTROL_PROGRAM), tasks = load<i32>(control + CONTROL_TASKS);
    const interrupted = load<i32>(program, 4) != 0, next = load<i32>(control + CONTROL_NEXT);
    if (phase != ticket >> 28) {
      phase = ticket >> 28;
      place = load<i32>(control + CONTROL_GROUP);
      before = 0;
    }
    const task = tasks - left;
    let group = groupAt(program, place);
    for (let own = tasksOf(group); task - before >= own; own = tasksOf(group)) {
      before += own;
      group = groupAt(program, ++place);
    }
    runTask(group, task - before, scratch);
    const last = atomic.add<i32>(control + CONTROL_DONE, 1) == tasks - 1;
    if (last) openPhase(control, program, next, scratch);
    if (interrupted) turn();
  }
}

/** Is there a task to take? */
@inline
function hasTasks(control: usize): bool {
  return (atomic.load<i64>(control + CONTROL_TICKET) & TASKS) != 0;
}

/** The life of a worker: take tasks, and sleep while there are none. The control block is laid out in constants.ts. */
export function workerLoop(control: usize, threads: i32, scratch: usize): void {
  setControl(control);
  const opened = control + CONTROL_OPENED, sleepers = control + CONTROL_SLEEPERS;
  while (true) {
    takeTasks(control, scratch);
    for (let i = 0; i < SPIN && !hasTasks(control); i++) {}
    // It is counted before it looks again: whoever opens a phase afterwards wakes it.
    atomic.add<i32>(sleepers, 1);
    const seen = atomic.load<i32>(opened);
    if (atomic.load<i32>(control + CONTROL_ENDED) != 0) return;
    if (!hasTasks(control)) atomic.wait<i32>(opened, seen, -1);
    atomic.sub<i32>(sleepers, 1);
  }
}

/** Has the run ended, or a thread trapped, which will never do its task, and left word of it? */
@inline
function isOver(control: usize): bool {
  return atomic.load<i32>(control + CONTROL_FINISHED) != 0 || atomic.load<i32>(control + CONTROL_FAILED) == 2;
}

/** Replay a program on all threads; the calling thread takes part. */
export function startProgram(control: usize, program: usize, threads: i32, scratch: usize): void {
  if (threads == 1) {
    setControl(control);
    store<usize>(control + OFFENCE_CALL, 0);
    return runAlone(program, scratch);
  }
  openProgram(control, program, scratch);
  joinProgram(control, scratch);
}

/** Let other threads, of which there are some, begin to replay a program: without scratch the calling thread does nothing of it. */
export function openProgram(control: usize, program: usize, scratch: usize): void {
  store<usize>(control + OFFENCE_CALL, 0);
  atomic.store<i32>(control + CONTROL_FINISHED, 0);
  store<usize>(control + CONTROL_PROGRAM, program);
  setControl(control);
  openPhase(control, program, 0, scratch);
}

/** Take part in a program that was opened, until it is over. */
export function joinProgram(control: usize, scratch: usize): void {
  const opened = control + CONTROL_OPENED, sleepers = control + CONTROL_SLEEPERS;
  while (true) {
    takeTasks(control, scratch);
    for (let i = 0; i < SPIN && !hasTasks(control) && !isOver(control); i++) {}
    if (isOver(control)) return;
    atomic.add<i32>(sleepers, 1);
    const seen = atomic.load<i32>(opened);
    const slept = hasTasks(control) || isOver(control) ? 0 : atomic.wait<i32>(opened, seen, PATIENCE);
    atomic.sub<i32>(sleepers, 1);
    if (slept == 2) look();
  }
}

/** Replay a program on the calling thread, which is the only one. */
function runAlone(program: usize, scratch: usize): void {
  const groups = load<i32>(program), interrupted = load<i32>(program, 4) != 0;
  for (let place = 0; place < groups; place++) {
    const group = groupAt(program, place), tasks = tasksOf(group);
    for (let task = 0; task < tasks; task++) {
      runTask(group, task, scratch);
      if (interrupted) turn();
    }
  }
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
