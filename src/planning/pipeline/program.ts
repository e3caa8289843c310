// Question: how do the orders of a schedule and the costs of its passes become tasks?
//
// A forward pass at position q waits for the one at q-1. A backward pass waits for the one at q+1 and for its own
// forward pass. If the neighbour is on another stage, a message on the sender's link comes in between.

import type {
  PipelineCosts,
  PassPart,
  PipelinePass,
  Slot,
  PipelineTask,
} from "../../training/parallel/schedules/task.ts";

interface Entry {
  readonly stage: number;
  readonly all: number[];
  readonly exits: number[];
}

type Draft = Omit<PipelineTask, "after"> & { readonly after: number[] };

/** Both kinds of backward pass send a gradient on; at most one of them exists for a part. */
const direction = (pass: PipelinePass): string => (pass === "input" ? "backward" : pass);
const keyOf = (pass: PipelinePass, position: number, microBatch: number): string =>
  `${direction(pass)} ${position} ${microBatch}`;

/**
 * The tasks of a schedule. Those of a stage are in the order in which it issues them.
 *
 * @param orders the slots of each stage
 * @param positions the number of pieces that the model is cut into
 */
export function tasksOf(orders: readonly (readonly Slot[])[], positions: number, costs: PipelineCosts): PipelineTask[] {
  const tasks: Draft[] = [];
  const passes = new Map<string, Entry>();
  const waiting: { readonly task: Draft; readonly part: PassPart; readonly waits: "arrival" | "forward" }[] = [];
  const add = (task: Omit<Draft, "id">): Draft => {
    const draft = { id: tasks.length, ...task };
    tasks.push(draft);
    return draft;
  };

  for (const [stage, slots] of orders.entries())
    for (const slot of slots) {
      const first = tasks.length;
      const entries = slot.map(({ pass, position, microBatch }): Entry => {
        const key = keyOf(pass, position, microBatch);
        if (passes.has(key)) throw new Error(`The schedule issues ${pass} of position ${position} twice: ${key}.`);
        const entry = { stage, all: [], exits: [] };
        passes.set(key, entry);
        return entry;
      });
      for (const piece of costs.pieces(
        slot.map(({ pass }) => pass),
        slot,
      )) {
        const { label, kind, stream, duration } = piece;
        const parts = piece.parts.map((index) => slot[index]!);
        const task = add({ stage, stream, kind, label, duration, parts, after: piece.after.map((i) => first + i) });
        for (const index of piece.parts) {
          entries[index]!.all.push(task.id);
          if (piece.sends) entries[index]!.exits.push(task.id);
        }
        if (piece.waits) for (const part of parts) waiting.push({ task, part, waits: piece.waits });
      }
    }

  const entry = (pass: PipelinePass, position: number, microBatch: number): Entry => {
    const issued = passes.get(keyOf(pass, position, microBatch));
    if (issued) return issued;
    throw new Error(`The schedule never issues ${pass} of position ${position} for micro-batch ${microBatch}.`);
  };
  const messages = new Map<Entry, number[]>();
  /** The tasks that the receiver waits for: the sender's last pieces, or the message that follows them. */
  const arrival = (from: Entry, to: number, part: PassPart): readonly number[] => {
    if (from.stage === to || costs.message === 0) return from.exits;
    let sent = messages.get(from);
    if (!sent) {
      const label = part.pass === "forward" ? "PP(F)" : "PP(B)";
      const kind = { stream: "communication", kind: "message", label, duration: costs.message } as const;
      sent = [add({ stage: from.stage, ...kind, parts: [part], after: [...from.exits], to }).id];
      messages.set(from, sent);
    }
    return sent;
  };
  for (const { task, part, waits } of waiting) {
    const { pass, position, microBatch } = part;
    if (pass === "weights") task.after.push(...entry("input", position, microBatch).all);
    else if (pass === "forward") {
      if (position > 0)
        task.after.push(
          ...arrival(entry("forward", position - 1, microBatch), task.stage, { ...part, position: position - 1 }),
        );
    } else {
      task.after.push(...entry("forward", position, microBatch).exits);
      if (waits === "arrival" && position < positions - 1)
        task.after.push(
          ...arrival(entry("backward", position + 1, microBatch), task.stage, { ...part, position: position + 1 }),
        );
    }
  }
  return tasks;
}
