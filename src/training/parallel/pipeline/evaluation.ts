// Question: how is a model measured whose layers are spread over ranks?
//
// Batch i passes through the stages of the replica i mod R, forward alone; a stage begins the next batch when it has sent
// on what it made of this one. The losses are added up in the order of the batches, as one process adds them. Where ranks
// share experts, none may stop before the others: one that has no batch left measures its last once more.

import type { Batches, ValidationBatch } from "../../../data/batches.ts";
import type { Pending } from "../../../runtime/collective/collective.ts";
import { type Evaluation, meanLoss } from "../../evaluation.ts";
import { writeTargets } from "../../inputs.ts";
import { type Mesh, rankAt } from "../mesh.ts";
import { passForward } from "./forward.ts";
import { forwardStage, type StagePrograms } from "./programs.ts";

/** The mean over the validation batches, on all ranks of the mesh; all of them call it at once. */
export async function evaluateStages(programs: StagePrograms, batches: Batches, mesh: Mesh): Promise<Evaluation> {
  const { runtime, graph } = programs;
  const { table } = graph;
  const { size, world, rows } = mesh;
  const pieces = programs.evaluation();
  let loss = 0;
  const lossOf = (next: ValidationBatch): Promise<Pending[]> =>
    passForward(programs, mesh, pieces, {
      feed({ position, batch: inputs }) {
        if (position === 0) runtime.write(inputs.tokens, next.tokens);
        if (position === table.pieces - 1) writeTargets(runtime, inputs, next);
      },
      async look(program) {
        const read = await program.read("loss");
        if (read) loss = read[0] ?? NaN;
      },
    });

  const rounds = Math.ceil(batches.validationCount / rows.size);
  const own = new Float64Array(rounds);
  let sending: Pending[] = [];
  let [index, round] = [0, 0];
  let latest: ValidationBatch | undefined;
  const measure = async (next: ValidationBatch): Promise<void> => {
    latest = next;
    // So that no stage runs far ahead of those behind it, and keeps what it made for them.
    const earlier = sending;
    loss = 0;
    sending = await lossOf(next);
    own[round++] = loss;
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
      stage: forwardStage(table, table.pieces - 1),
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
