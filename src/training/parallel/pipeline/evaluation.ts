// Question: how is a model measured whose layers are spread over ranks?
//
// Batch i passes through the stages of the replica i mod R, forward alone; a stage begins the next batch when it has sent
// on what it made of this one. The losses are added up in the order of the batches, as one process adds them. Where ranks
// share experts, none may stop before the others: one that has no batch left measures its last once more.

import type { Batches, ValidationBatch } from "../../../data/batches.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import type { Collective, Pending } from "../../../runtime/collective/collective.ts";
import { floatsOf } from "../../../runtime/program.ts";
import { runInParts } from "../../../runtime/runtime.ts";
import { type Evaluation, meanLoss } from "../../evaluation.ts";
import { writeTargets } from "../../inputs.ts";
import { type Mesh, rankAt } from "../mesh.ts";
import type { PieceGraph } from "./piece.ts";
import { forwardStage, type StagePrograms } from "./programs.ts";

/** The mean over the validation batches, on all ranks of the mesh; all of them call it at once. */
export async function evaluateStages(
  { runtime, graph: { table }, evaluation }: StagePrograms,
  batches: Batches,
  { size, world, rows, pipeline }: Mesh,
): Promise<Evaluation> {
  const { pieces, boundaries } = evaluation();
  const stageAt = (position: number): number => forwardStage(table, position);
  const feed = ({ position, batch: inputs }: PieceGraph, next: ValidationBatch): void => {
    if (position === 0) runtime.write(inputs.tokens, next.tokens);
    if (position === table.pieces - 1) writeTargets(runtime, inputs, next);
  };
  const writeAll = (tensors: readonly Tensor[], values: readonly Float32Array[]): void => {
    for (const [index, tensor] of tensors.entries()) runtime.write(tensor, values[index]!);
  };
  const lossOf = async (next: ValidationBatch, sending: Pending[]): Promise<number> => {
    let loss = 0;
    let here: readonly Float32Array[] = [];
    for (const { graph, program } of pieces) {
      const { position, entering } = graph;
      feed(graph, next);
      if (position > 0) {
        const from = stageAt(position - 1);
        const values = from === table.stage ? here : await receiveAll(pipeline, boundaries[position]!, from);
        writeAll(entering, values);
      }
      await runInParts(program, () => world.progress());
      const [values, read] = await Promise.all([program.read("leaving"), program.read("loss")]);
      if (read) loss = read[0] ?? NaN;
      here = values.map(floatsOf);
      const to = position + 1 < table.pieces ? stageAt(position + 1) : undefined;
      if (to !== undefined && to !== table.stage) sending.push(...here.map((tensor) => pipeline.send(tensor, to)));
    }
    return loss;
  };

  const rounds = Math.ceil(batches.validationCount / rows.size);
  const own = new Float64Array(rounds);
  const sending: Pending[] = [];
  let [index, round] = [0, 0];
  let latest: ValidationBatch | undefined;
  const measure = async (next: ValidationBatch): Promise<void> => {
    latest = next;
    // So that no stage runs far ahead of those behind it, and keeps what it made for them.
    const earlier = sending.splice(0);
    own[round++] = await lossOf(next, sending);
    for (const each of earlier) await each.done();
  };
  for (const next of batches.validationBatches()) {
    if (index % rows.size === rows.rank) await measure(next);
    // A rank beyond the last batch needs one to take part with.
    else latest ??= next;
    index++;
    world.progress();
  }
  if (size.expert > 1 && round < rounds) await measure(latest!);
  for (const each of sending) await each.done();
  const all = new Float64Array(world.size * rounds);
  await world.allGather(new Uint8Array(own.buffer), new Uint8Array(all.buffer)).done();
  const ends = Array.from({ length: rows.size }, (_, row) =>
    rankAt(size, {
      stage: stageAt(table.pieces - 1),
      replica: Math.floor(row / size.expert),
      part: row % size.expert,
    }),
  );
  let next = 0;
  return await meanLoss(batches.validationBatches(), () => {
    const loss = all[ends[next % rows.size]! * rounds + Math.floor(next / rows.size)]!;
    next++;
    return Promise.resolve(loss);
  });
}

async function receiveAll(pipeline: Collective, sizes: readonly number[], from: number): Promise<Float32Array[]> {
  const tensors = sizes.map((size) => new Float32Array(size));
  const pending = tensors.map((tensor) => pipeline.receive(tensor, from));
  for (const each of pending) await each.done();
  return tensors;
}
