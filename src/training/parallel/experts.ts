// Question: how does a training whose ranks share experts look as one?
//
// Of a parameter that is shared each rank holds a part along the first axis, with the moments of that part. Whoever saves
// or loads sees whole tensors: parts are put one after another in the order of the ranks that share, and cut apart again.

import { existingParameters, type Parameter, type ParameterSet, wholeShape } from "../../graph/parameters.ts";
import { parameter, stateOf } from "../../graph/state.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { Collective } from "../../runtime/collective/collective.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { SavedTensor, TensorPiece, TrainerState } from "../state.ts";

type Shared = Pick<Parameter, "name" | "tensor" | "share">;

/** The parameters that ranks share, by their names. */
const sharedOf = (parameters: readonly Shared[]): ReadonlyMap<string, Shared> =>
  new Map(parameters.flatMap((each) => (each.share ? [[each.name, each] as const] : [])));

/** The shared parameter that a saved tensor belongs to: its own name, or that before the last dot, as of a moment. */
const ownerOf = (shared: ReadonlyMap<string, Shared>, name: string): Shared | undefined =>
  shared.get(name) ?? shared.get(name.slice(0, name.lastIndexOf(".")));

/** Of whole tensors, what this rank holds. Throws an Error for one that belongs to another model. */
export function partOfState(parameters: readonly Shared[], state: TrainerState): TrainerState {
  const shared = sharedOf(parameters);
  if (shared.size === 0) return state;
  const part = (saved: SavedTensor): SavedTensor => {
    const { name, shape, data } = saved;
    const owner = ownerOf(shared, name);
    if (!owner?.share) return saved;
    const { part: index, of } = owner.share;
    const [experts] = wholeShape(owner);
    if (shape[0] !== experts)
      throw new Error(
        `The checkpoint's "${name}" has shape [${shape.join(", ")}], the model has ${experts} experts; it belongs to another model.`,
      );
    const length = data.length / of;
    return {
      name,
      shape: [experts! / of, ...shape.slice(1)],
      data: data.subarray(index * length, (index + 1) * length),
    };
  };
  return { step: state.step, model: state.model.map(part), optimizer: state.optimizer.map(part) };
}

/** Whole tensors of what the ranks hold, on all of them; they ask at once. */
export async function wholeTensors(
  parameters: readonly Shared[],
  experts: Collective,
  saved: readonly SavedTensor[],
): Promise<SavedTensor[]> {
  const shared = sharedOf(parameters);
  const whole: SavedTensor[] = [];
  for (const each of saved) {
    const owner = ownerOf(shared, each.name);
    if (!owner?.share) {
      whole.push(each);
      continue;
    }
    const { of } = owner.share;
    const data = new Float32Array(of * each.data.length);
    await experts.allGather(each.data, data).done();
    whole.push({ name: each.name, shape: [of * each.shape[0]!, ...each.shape.slice(1)], data });
  }
  return whole;
}

/** Where pieces of this rank's parts lie in whole tensors. */
export function inWholeTensors(parameters: readonly Shared[], pieces: readonly TensorPiece[]): TensorPiece[] {
  const shared = sharedOf(parameters);
  return pieces.map((piece) => {
    const { share } = ownerOf(shared, piece.name) ?? {};
    if (!share) return piece;
    const [first = 1, ...rest] = piece.shape;
    return { ...piece, shape: [share.of * first, ...rest], from: piece.from + share.part * sizeOf(piece.shape) };
  });
}

/** The parameters of the whole model: those that this rank has, and for the shared ones tensors of their whole shape. */
export function wholeParameters({ all }: ParameterSet): ParameterSet {
  return existingParameters({
    all: all.map(({ share, ...each }) => {
      if (!share) return each;
      const role = stateOf(each.tensor)?.role;
      return { ...each, tensor: parameter(each.name, wholeShape({ ...each, share }), role) };
    }),
  });
}

/**
 * Bring the values of the shared parameters together. All ranks call it at once.
 *
 * @param whole where they are written; absent on ranks that do not need them
 */
export async function bringTogether(
  runtime: Runtime,
  { all }: ParameterSet,
  experts: Collective,
  whole: ParameterSet | undefined,
): Promise<void> {
  const places = new Map(whole?.all.map(({ name, tensor }) => [name, tensor]));
  for (const { name, tensor, share } of all) {
    if (!share) continue;
    const own = Float32Array.from(runtime.view?.(tensor) ?? (await runtime.read(tensor)));
    const values = new Float32Array(share.of * own.length);
    await experts.allGather(own, values).done();
    const place = places.get(name);
    if (place) runtime.write(place, values);
  }
}

/** The sums of what the ranks have, in their order; the same on all of them. */
export async function sumOf(ranks: Collective, values: readonly number[]): Promise<number[]> {
  const all = new Float64Array(ranks.size * values.length);
  await ranks.allGather(new Uint8Array(Float64Array.from(values).buffer), new Uint8Array(all.buffer)).done();
  return values.map((_, at) => {
    let sum = 0;
    for (let rank = 0; rank < ranks.size; rank++) sum += all[rank * values.length + at]!;
    return sum;
  });
}
