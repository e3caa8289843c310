// Question: how does a batch pass through the stages forward alone?
//
// Each stage takes what the one before has made, runs its pieces, and sends on what they make.

import type { Tensor } from "../../../graph/tensor.ts";
import type { Collective, Pending } from "../../../runtime/collective/collective.ts";
import { floatsOf, type TensorValues } from "../../../runtime/program.ts";
import { type Program, runInParts } from "../../../runtime/runtime.ts";
import type { Mesh } from "../mesh.ts";
import type { PieceGraph } from "./piece.ts";
import { type ForwardPieces, forwardStage, type StagePrograms } from "./programs.ts";

/** Of what passes through. */
interface Looking<P> {
  /** Write tokens or targets, as a piece needs them. */
  feed(graph: PieceGraph): void;
  /** Look at a piece that has run. */
  look(program: P, graph: PieceGraph): Promise<void>;
}

/**
 * Run this stage's pieces for one batch.
 *
 * @returns what is still being sent
 */
export async function passForward<P extends Pick<Program, "run" | "parts">>(
  { runtime, graph: { table } }: Pick<StagePrograms, "runtime" | "graph">,
  { world, pipeline }: Pick<Mesh, "world" | "pipeline">,
  { pieces, boundaries }: ForwardPieces<P & { read(name: "leaving"): Promise<readonly TensorValues[]> }>,
  { feed, look }: Looking<P>,
): Promise<Pending[]> {
  const sending: Pending[] = [];
  let here: readonly Float32Array[] = [];
  for (const { graph, program } of pieces) {
    const { position, entering } = graph;
    feed(graph);
    if (position > 0) {
      const from = forwardStage(table, position - 1);
      const values = from === table.stage ? here : await receiveAll(pipeline, boundaries[position]!, from);
      writeAll(entering, values);
    }
    await runInParts(program, () => world.progress());
    here = (await program.read("leaving")).map(floatsOf);
    await look(program, graph);
    const to = position + 1 < table.pieces ? forwardStage(table, position + 1) : undefined;
    if (to !== undefined && to !== table.stage) sending.push(...here.map((tensor) => pipeline.send(tensor, to)));
  }
  return sending;

  function writeAll(tensors: readonly Tensor[], values: readonly Float32Array[]): void {
    for (const [index, tensor] of tensors.entries()) runtime.write(tensor, values[index]!);
  }
}

async function receiveAll(pipeline: Collective, sizes: readonly number[], from: number): Promise<Float32Array[]> {
  const tensors = sizes.map((size) => new Float32Array(size));
  const pending = tensors.map((tensor) => pipeline.receive(tensor, from));
  for (const each of pending) await each.done();
  return tensors;
}
