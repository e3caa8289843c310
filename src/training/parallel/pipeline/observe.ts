// Question: how are the instruments of a model read whose layers are spread over ranks?
//
// One sequence passes through the stages, each of which looks at its own sublayers (../../observe.ts). All of them hear
// what the others saw, for the gains of a whole model are products over all its layers.

import type { ModelConfig } from "../../../model/config.ts";
import { floatsOf } from "../../../runtime/program.ts";
import type { Instruments } from "../../../stability/instruments.ts";
import { instrumentsOf, observedFields, type SeenSublayer, sizesOf } from "../../observe.ts";
import type { SavedTensor } from "../../state.ts";
import type { Mesh } from "../mesh.ts";
import { passForward } from "./forward.ts";
import { gatherTensors } from "./gather.ts";
import type { StagePrograms } from "./programs.ts";

/** All ranks of the mesh call it at once, with the same tokens. */
export async function observeStages(
  programs: StagePrograms,
  config: ModelConfig,
  mesh: Mesh,
  tokens_T: Int32Array,
): Promise<Instruments> {
  const own: SavedTensor[] = [];
  const keep = (index: number, field: string, values: ArrayLike<number>): void => {
    own.push({ name: `${index} ${field}`, shape: [values.length], data: Float32Array.from(values) });
  };
  const sending = await passForward(programs, mesh, programs.observation(), {
    feed({ position, batch: { tokens } }) {
      if (position === 0) programs.runtime.write(tokens, tokens_T);
    },
    async look(program, { from, observed }) {
      for (const [at, seen] of (await program.read("sublayers")).entries()) {
        const { readSize, resultSize } = sizesOf(observed[at]!);
        keep(from + at, "sizes", [readSize, resultSize]);
        for (const field of observedFields) {
          const values = seen[field];
          if (values) keep(from + at, field, floatsOf(values));
        }
      }
    },
  });
  for (const each of sending) await each.done();
  const all = new Map((await gatherTensors(mesh.pipeline, own)).map(({ name, data }) => [name, data]));
  const seen = Array.from({ length: 2 * config.layers }, (_, index) => {
    const [readSize = NaN, resultSize = NaN] = all.get(`${index} sizes`) ?? [];
    const values = observedFields.flatMap((field) => {
      const found = all.get(`${index} ${field}`);
      return found ? [[field, found] as const] : [];
    });
    return { ...Object.fromEntries(values), readSize, resultSize } as unknown as SeenSublayer;
  });
  return instrumentsOf(config, seen, tokens_T.length);
}
