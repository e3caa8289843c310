// Question: when does every task run, if each stage issues its tasks in the given order?
//
// Discrete-event simulation: time jumps from one end of a task to the next. At each such moment every free
// processor takes the task it may run; ties go to the smaller id, so that the same tasks always give the same
// timeline. A task on the priority stream interrupts the computation that runs, which later continues where it
// was: the time of a kernel is the same wherever it runs, no processor does two things at once.

import { PriorityQueue } from "../../data/priority-queue.ts";
import type { PipelineTask, Timeline } from "./task.ts";

interface Running {
  readonly task: PipelineTask;
  readonly start: number;
  readonly end: number;
}

/** The processors and queues of one stage. */
interface Stage {
  readonly order: PipelineTask[];
  next: number;
  interrupted: PipelineTask | undefined;
  readonly priority: PriorityQueue<PipelineTask>;
  readonly transfers: PriorityQueue<PipelineTask>;
  compute: Running | undefined;
  link: Running | undefined;
}

/**
 * Run the tasks. On a stage's compute stream they run in the order of the list.
 *
 * @throws Error if tasks wait for each other in a circle.
 */
export function simulate(tasks: readonly PipelineTask[], stages: number): Timeline {
  const readyAt = tasks.map(() => 0);
  const missing = tasks.map(({ after }) => after.length);
  const left = tasks.map(({ duration }) => duration);
  const segments = tasks.map((): [number, number][] => []);
  const followers = tasks.map((): number[] => []);
  for (const { id, after } of tasks) for (const earlier of after) followers[earlier]!.push(id);

  const firstReady = (a: PipelineTask, b: PipelineTask): boolean =>
    readyAt[a.id]! < readyAt[b.id]! || (readyAt[a.id] === readyAt[b.id] && a.id < b.id);
  const state = Array.from({ length: stages }, (): Stage => ({
    order: [],
    next: 0,
    priority: new PriorityQueue(firstReady),
    transfers: new PriorityQueue(firstReady),
    interrupted: undefined,
    compute: undefined,
    link: undefined,
  }));
  for (const task of tasks) if (task.stream === "compute") state[task.stage]!.order.push(task);

  const ends = new PriorityQueue<Running>((a, b) => a.end < b.end || (a.end === b.end && a.task.id < b.task.id));
  let now = 0;
  let finished = 0;

  const begin = (task: PipelineTask): Running => {
    const running = { task, start: now, end: now + left[task.id]! };
    ends.push(running);
    return running;
  };
  const leave = ({ task, start }: Running): void => {
    if (now > start) segments[task.id]!.push([start, now]);
  };
  const ready = (task: PipelineTask): void => {
    readyAt[task.id] = now;
    const stage = state[task.stage]!;
    if (task.stream === "priority") stage.priority.push(task);
    if (task.stream === "communication") stage.transfers.push(task);
  };
  const choose = (stage: Stage): void => {
    if (stage.compute?.task.stream !== "priority") {
      const urgent = stage.priority.pop();
      if (urgent) {
        if (stage.compute) {
          leave(stage.compute);
          left[stage.compute.task.id]! -= now - stage.compute.start;
          stage.interrupted = stage.compute.task;
        }
        stage.compute = begin(urgent);
      }
    }
    if (!stage.compute) {
      const head = stage.order[stage.next];
      if (stage.interrupted) {
        stage.compute = begin(stage.interrupted);
        stage.interrupted = undefined;
      } else if (head && missing[head.id] === 0) {
        stage.compute = begin(head);
        stage.next++;
      }
    }
    if (!stage.link) {
      const transfer = stage.transfers.pop();
      if (transfer) stage.link = begin(transfer);
    }
  };

  for (const task of tasks) if (missing[task.id] === 0) ready(task);
  for (const stage of state) choose(stage);
  for (let event = ends.pop(); event;) {
    now = event.end;
    const touched = new Set<number>();
    for (; event && event.end === now; event = ends.pop()) {
      const stage = state[event.task.stage]!;
      const processor = event.task.stream === "communication" ? "link" : "compute";
      // An interrupted task leaves the end it would have had behind.
      if (stage[processor] !== event) continue;
      leave(event);
      // A task too short to move the clock was there all the same.
      if (segments[event.task.id]!.length === 0) segments[event.task.id]!.push([now, now]);
      stage[processor] = undefined;
      finished++;
      touched.add(event.task.stage);
      for (const follower of followers[event.task.id]!) {
        if (--missing[follower]! > 0) continue;
        ready(tasks[follower]!);
        touched.add(tasks[follower]!.stage);
      }
    }
    if (event) ends.push(event);
    for (const stage of [...touched].sort((a, b) => a - b)) choose(state[stage]!);
    event = ends.pop();
  }
  if (finished < tasks.length) throw new Error(deadlock(tasks, state, missing, finished));
  return {
    stages,
    makespan: now,
    tasks: tasks.map((task) => {
      const ran = segments[task.id]!;
      return { ...task, start: ran[0]![0], end: ran.at(-1)![1], segments: ran };
    }),
  };
}

function deadlock(
  tasks: readonly PipelineTask[],
  state: readonly Stage[],
  missing: readonly number[],
  finished: number,
) {
  const heads = state.flatMap(({ order, next }, stage) => {
    const head = order[next];
    if (!head) return [];
    const parts = head.parts.map((part) => `micro-batch ${part.microBatch}, position ${part.position}`).join(" and ");
    return [`  stage ${stage} waits to run ${head.label} (${parts}), ${missing[head.id]} of its inputs never come`];
  });
  return `The order of the passes cannot be run: ${finished} of ${tasks.length} tasks ended, then all waited for each other.\n${heads.join("\n")}\nA stage must issue a pass only after it issued what that pass needs.`;
}

/** The longest chain of tasks that wait for each other: no order and no number of processors is faster. */
export function criticalPath(tasks: readonly PipelineTask[]): number {
  const ends = new Map<number, number>();
  const endOf = (first: PipelineTask): number => {
    // A stack of our own: chains are longer than the engine's.
    const stack = [first];
    while (stack.length > 0) {
      const task = stack.at(-1)!;
      const open = task.after.filter((id) => !ends.has(id));
      if (open.length > 0) {
        stack.push(...open.map((id) => tasks[id]!));
        continue;
      }
      stack.pop();
      ends.set(task.id, task.duration + task.after.reduce((latest, id) => Math.max(latest, ends.get(id)!), 0));
    }
    return ends.get(first.id)!;
  };
  return tasks.reduce((longest, task) => Math.max(longest, endOf(task)), 0);
}
