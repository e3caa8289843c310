// Question: how does every stage get the tensors of all?
//
// One after another, from the first stage that has it.

import { sizeOf } from "../../../graph/tensor.ts";
import type { Collective } from "../../../runtime/collective/collective.ts";
import { gatherTexts } from "../../../runtime/collective/texts.ts";
import type { SavedTensor } from "../../state.ts";

/** @returns each tensor once, in the order of the stages; all of them ask at once */
export async function gatherTensors(pipeline: Collective, own: readonly SavedTensor[]): Promise<SavedTensor[]> {
  type Outline = Omit<SavedTensor, "data">;
  const mine = new Map(own.map((each) => [each.name, each.data]));
  const outlines = own.map(({ name, shape }): Outline => ({ name, shape }));
  const held = (await gatherTexts(pipeline, JSON.stringify(outlines))).map((text) => JSON.parse(text) as Outline[]);
  const all = new Map<string, SavedTensor>();
  for (const [from, tensors] of held.entries())
    for (const { name, shape } of tensors) {
      if (all.has(name)) continue;
      const data = mine.get(name) ?? new Float32Array(sizeOf(shape));
      await pipeline.broadcast(data, from).done();
      all.set(name, { name, shape, data });
    }
  return [...all.values()];
}
