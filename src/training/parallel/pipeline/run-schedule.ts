// Question: how does a stage run its part of a schedule?
//
// Pass by pass, in the order of the table that the planner simulates. A pass takes what the neighbour has sent, runs its
// program, and sends its result on before the next begins; messages are moved on between the parts of a program. What the
// backward pass computes again first is done before the gradient is waited for.

import { floatsOf, type TensorValues } from "../../../runtime/program.ts";
import { type Program, runInParts } from "../../../runtime/runtime.ts";
import type { PassPart } from "../schedules/task.ts";
import type { Mail } from "./mail.ts";
import type { OfSlot, PieceGraph, PieceOutputs } from "./piece.ts";
import { type Parcel, parcelOf, type StageTable } from "./stage-table.ts";
import type { DonePass } from "./timeline.ts";

/** A piece, ready to run. */
export interface ReadyPiece {
  readonly graph: PieceGraph;
  readonly slots: readonly OfSlot<Program<PieceOutputs>>[];
}

/** What a stage's passes came to. */
export interface Passed {
  /** Of each microbatch that ended in this stage; 0 of the others. */
  readonly losses: readonly number[];
  /** Of each piece, the loads of its layers, summed over the microbatches. */
  readonly loads: ReadonlyMap<number, readonly Float32Array[]>;
  readonly passes: readonly DonePass[];
}

export interface ScheduleRun {
  readonly table: StageTable;
  readonly pieces: readonly ReadyPiece[];
  readonly microBatches: number;
  readonly mail: Mail;
  /** Write tokens or targets of a microbatch, as its piece needs them. */
  feed(graph: PieceGraph, microBatch: number): void;
  write(tensors: PieceGraph["entering"], values: readonly Float32Array[]): void;
  /** Run the pass that completes the gradients; absent where they are complete only after all passes. */
  complete?(program: Pick<Program, "run" | "parts" | "waits">): Promise<void>;
  /** Between the parts of a program. */
  progress(): void;
}

/** What is kept of a microbatch from pass to pass. */
interface Held {
  readonly entering: readonly Float32Array[];
  arriving: readonly Float32Array[];
}

export async function runSchedule(run: ScheduleRun): Promise<Passed> {
  const { table, mail, microBatches } = run;
  const byPosition = new Map(run.pieces.map((piece) => [piece.graph.position, piece]));
  const losses = Array.from({ length: microBatches }, () => 0);
  const loads = new Map<number, Float32Array[]>();
  const held = new Map<string, Held>();
  const passes: DonePass[] = [];
  const parts = table.order.flat();
  const lastPart = parts.at(-1);

  /** A pass with what it writes first and reads last: copies of states take their time, too, and no neighbour is waited for. */
  const timed = async (part: PassPart, kind: DonePass["kind"], work: () => Promise<void>): Promise<void> => {
    const start = performance.now();
    await work();
    passes.push({ part, kind, start, end: performance.now() });
  };
  const compute = (program: Program<PieceOutputs>, completes = false): Promise<void> =>
    completes && run.complete ? run.complete(program) : runInParts(program, run.progress);
  const sendOn = (part: PassPart, values: readonly TensorValues[]): void => {
    const parcel = parcelOf(part, table.pieces);
    if (parcel) mail.send(parcel, values.map(floatsOf));
  };
  const take = (kind: Parcel["kind"], { position, microBatch }: PassPart): Promise<readonly Float32Array[]> =>
    mail.take({ kind, position, microBatch });

  for (const part of parts) {
    const { pass, position, microBatch } = part;
    const { graph, slots } = byPosition.get(position)!;
    const programs = slots[table.slotOf(position, microBatch)]!;
    const key = `${position} ${microBatch}`;
    const isLast = position === table.pieces - 1;
    if (pass === "forward") {
      const entering = position === 0 ? [] : await take("state", part);
      held.set(key, { entering, arriving: [] });
      await timed(part, "forward", async () => {
        run.feed(graph, microBatch);
        run.write(graph.entering, entering);
        await compute(programs.forward);
        const [leaving, own] = await Promise.all([programs.forward.read("leaving"), programs.forward.read("loads")]);
        const sums = loads.get(position) ?? own.map((load) => new Float32Array(load.length));
        loads.set(position, sums);
        for (const [layer, load] of own.entries()) load.forEach((tokens, e) => void (sums[layer]![e]! += tokens));
        sendOn(part, leaving);
      });
      continue;
    }
    const mine = held.get(key)!;
    if (pass !== "weights") {
      const { recompute } = programs;
      if (recompute)
        await timed(part, "recompute", async () => {
          run.feed(graph, microBatch);
          run.write(graph.entering, mine.entering);
          await compute(recompute);
        });
      if (!isLast) mine.arriving = await take("gradient", part);
    }
    await timed(part, pass === "weights" ? "weights" : "backward", async () => {
      run.feed(graph, microBatch);
      run.write(graph.entering, mine.entering);
      run.write(graph.arriving, mine.arriving);
      const program = programs[pass]!;
      await compute(program, part === lastPart);
      if (pass !== "input") held.delete(key);
      if (pass === "weights") return;
      const [loss, gradients] = await Promise.all([program.read("loss"), program.read("gradients")]);
      if (loss) losses[microBatch] = loss[0] ?? NaN;
      sendOn(part, gradients);
    });
  }

  await mail.end();
  return { losses, loads, passes };
}
