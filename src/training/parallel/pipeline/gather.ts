// Question: how does every stage get the tensors of all?
//
// One after another, from the first stage that has it.

import type { Collective } from "../../../runtime/collective/collective.ts";
import { gatherTexts } from "../../../runtime/collective/texts.ts";
import type { SavedTensor } from "../../state.ts";

/**
 * @param names of all tensors, in their order
 * @param own those that this rank has
 */
export async function gatherTensors(
  pipeline: Collective,
  names: readonly string[],
  own: readonly SavedTensor[],
  shapeOf: (name: string) => readonly number[],
): Promise<SavedTensor[]> {
  const mine = new Map(own.map((each) => [each.name, each]));
  const holders = (await gatherTexts(pipeline, JSON.stringify([...mine.keys()]))).map(
    (text) => new Set(JSON.parse(text) as string[]),
  );
  const all: SavedTensor[] = [];
  for (const name of names) {
    const shape = shapeOf(name);
    const from = holders.findIndex((each) => each.has(name));
    const data = mine.get(name)?.data ?? new Float32Array(shape.reduce((a, b) => a * b, 1));
    await pipeline.broadcast(data, from).done();
    all.push({ name, shape, data });
  }
  return all;
}
