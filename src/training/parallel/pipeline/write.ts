// Question: what comes next in a text, by a model whose layers are spread over ranks?
//
// The window passes through the stages forward alone, and the last of them tells all of its replica the scores of the token
// after it. Nothing is kept from token to token: a text is short, and a cache on every stage would be in the way of training.

import type { Mesh } from "../mesh.ts";
import { passForward } from "./forward.ts";
import { forwardStage, type StagePrograms } from "./programs.ts";

/**
 * Scores [V], on all ranks of the mesh; they call it at once.
 *
 * @param window tokens, at least one and at most the model's context
 */
export async function scoresOfStages(
  programs: StagePrograms,
  mesh: Mesh,
  window: readonly number[],
): Promise<Float32Array> {
  const { runtime, graph } = programs;
  const { table, model } = graph;
  const { context, vocabulary } = model.config;
  // What comes after the window is read by none of its tokens.
  const tokens_T = new Int32Array(context);
  tokens_T.set(window);
  const scores_V = new Float32Array(vocabulary);
  const sending = await passForward(programs, mesh, programs.writing(), {
    feed({ position, batch, place }) {
      if (position === 0) runtime.write(batch.tokens, tokens_T);
      if (position === table.pieces - 1) runtime.write(place, Int32Array.of(window.length - 1));
    },
    async look(program) {
      const read = await program.read("scores");
      if (read) scores_V.set(read);
    },
  });
  for (const each of sending) await each.done();
  await mesh.pipeline.broadcast(scores_V, forwardStage(table, table.pieces - 1)).done();
  return scores_V;
}
