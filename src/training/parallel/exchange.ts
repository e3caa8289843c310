// Question: how do the ranks' gradients become one update, the same on all of them?
//
//   1. as soon as all gradients of a bucket are there, its reduce-scatter is begun: while the backward pass goes on where
//      the runtime runs programs in parts, after it elsewhere
//   2. each rank has the sums of its own parts; the squares of all go round, and with them the norm that clips
//   3. the optimizer on the rank's own numbers (step.ts)
//   4. an all-gather of each bucket brings every rank the new parameters
//
// The sums are Σ over all microbatches; the update divides by their number. A sum of squares is taken in float64 and
// added in the order of the row and of the ranks.

import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { Collective, Pending } from "../../runtime/collective/collective.ts";
import type { TensorValues } from "../../runtime/program.ts";
import type { Program, ProgramPart, Runtime } from "../../runtime/runtime.ts";
import type { MicroOutputs } from "../step.ts";
import type { SavedTensor, TensorPiece, TrainerState } from "../state.ts";
import type { Bucket } from "./layout.ts";
import { restoreTensors } from "../restore.ts";
import type { Shard, SharedStep } from "./step.ts";

/** What went round after a step's last microbatch. */
export interface Gathered {
  /** ‖all gradients‖ of the mean over the microbatches, and the factor that clips them. */
  readonly norm: number;
  /** Of each trained parameter the sum of the squares of its gradient, before clipping. */
  readonly squares: readonly number[];
}

/** One rank's part in the exchange of every step. */
export interface Exchange {
  /** Run the last microbatch, and begin to send what it makes: all of it is on its way when the promise resolves. */
  run(micro: Program<MicroOutputs>): Promise<void>;
  /** End what `run` has begun, update the rank's numbers, and bring all parameters up to date. */
  update(last: Program, inputs: { readonly loads: readonly Float32Array[]; readonly limit: number }): Promise<Gathered>;
  /** Take the rank's numbers from the parameters in the runtime, with moments of zero. */
  start(): Promise<void>;
  /** The moments of all ranks, by the names that a process alone gives them. All ranks ask at once. */
  moments(): Promise<SavedTensor[]>;
  /** The moments of this rank alone, in the order of the parameters. */
  ownMoments(): Promise<TensorPiece[]>;
  /** Take the rank's numbers from a saved state. */
  restore(state: TrainerState): void;
}

export function createExchange(
  runtime: Runtime,
  collective: Collective,
  { trained, layout, sums, shards, clip, loads, kept, replicated }: SharedStep,
  total: number,
): Exchange {
  const { rank, size } = collective;
  const { buckets, starts } = layout;
  /** All numbers in the order of the layout: gradients on their way out, parameters on their way in. */
  const row = new Float32Array(layout.length);
  const own = buckets.map(({ part }) => new Float32Array(part));
  const groups = shards.map((shard) => (shard ? new Float32Array(sizeOf(shard.parameter.shape)) : undefined));
  const ofBucket = ({ start, part }: Bucket): Float32Array => row.subarray(start, start + size * part);
  const rowOf = (index: number): Float32Array =>
    row.subarray(starts[index], starts[index]! + sizeOf(trained[index]!.tensor.shape));
  const indexOf = new Map(sums.map((sum, index) => [sum, index]));
  let waiting: Set<number>[] = [];
  let reducing: (Pending | undefined)[] = [];

  const begin = (): void => {
    waiting = buckets.map(({ parameters }) => new Set(parameters));
    reducing = buckets.map(() => undefined);
  };
  /** A gradient is there: its buckets may be whole with it. They are begun in their order, the same on all ranks. */
  const hasArrived = (index: number, values: TensorValues): void => {
    rowOf(index).set(values);
    for (const set of waiting) set.delete(index);
    for (const [at, bucket] of buckets.entries()) {
      if (waiting[at]!.size > 0) return;
      reducing[at] ??= collective.reduceScatter(ofBucket(bucket), own[at]!);
    }
  };
  const runPart = async (part: ProgramPart): Promise<void> => {
    await part.run();
    for (const state of part.updated) {
      const index = indexOf.get(state);
      if (index !== undefined) hasArrived(index, runtime.view?.(state) ?? runtime.readNow!(state));
    }
    collective.progress();
  };
  /** Bring the numbers of a group's tensor to or from the buckets' parts of this rank. */
  const eachPiece = (work: (part: Float32Array, group: Float32Array) => void): void => {
    for (const [at, { pieces }] of buckets.entries())
      for (const { at: from, length, group, place } of pieces[rank]!)
        work(own[at]!.subarray(from, from + length), groups[group]!.subarray(place, place + length));
  };
  const inGroups = (): void => eachPiece((part, group) => group.set(part));
  /** "parameter", "gradient", or what the optimizer keeps under this name; it may be smaller than the parameter. */
  const tensorOf = (shard: Shard, which: string): Tensor | undefined =>
    which === "parameter" || which === "gradient" ? shard[which] : shard.states[which];
  const writeGroups = (which: string): void => {
    for (const [group, shard] of shards.entries()) {
      const tensor = shard && tensorOf(shard, which);
      if (tensor) runtime.write(tensor, groups[group]!.subarray(0, sizeOf(tensor.shape)));
    }
  };
  const readGroups = async (which: string): Promise<void> => {
    const readOne = async (shard: Shard | undefined, group: number): Promise<void> => {
      const tensor = shard && tensorOf(shard, which);
      if (tensor) groups[group]!.set(await viewOf(tensor));
    };
    await Promise.all(shards.map(readOne));
  };
  /** The names under which the optimizer keeps something of any parameter. */
  const keptNames = [...new Set(kept.flatMap((states) => Object.keys(states)))];
  const viewOf = async (tensor: Tensor): Promise<TensorValues> =>
    runtime.view?.(tensor) ?? (await runtime.read(tensor));
  /** Every rank's numbers of a kind, in the row. */
  const gather = async (which: string): Promise<void> => {
    await readGroups(which);
    eachPiece((part, group) => part.set(group));
    const pending = buckets.map((bucket, at) => collective.allGather(own[at]!, ofBucket(bucket)));
    for (const each of pending) await each.done();
  };
  /** The rank's own parts of what is in the row. */
  const scatter = (which: string): void => {
    for (const [at, bucket] of buckets.entries())
      own[at]!.set(ofBucket(bucket).subarray(rank * bucket.part, (rank + 1) * bucket.part));
    inGroups();
    writeGroups(which);
  };
  /** The rank's own parts of saved tensors. */
  const take = (which: string, saved: readonly SavedTensor[]): void => {
    const byName = new Map(saved.map((each) => [each.name, each]));
    row.fill(0);
    for (const [index, { name, tensor }] of trained.entries()) {
      const isParameter = which === "parameter";
      const shape = isParameter ? tensor.shape : kept[index]![which];
      if (!shape) continue;
      const full = isParameter ? name : `${name}.${which}`;
      const found = byName.get(full);
      if (found?.data.length !== sizeOf(shape))
        throw new Error(
          `The checkpoint has no tensor "${full}" of ${sizeOf(shape)} numbers; it belongs to another ${isParameter ? "model" : "optimizer, or to another model"}.`,
        );
      rowOf(index).set(found.data);
    }
    scatter(which);
  };

  return {
    async run(micro) {
      begin();
      const parts = runtime.view || runtime.readNow ? micro.parts?.() : undefined;
      if (parts) for (const part of parts) await runPart(part);
      else micro.run();
      // Here and not later: all ranks begin their operations in one order, whatever their runtimes.
      const missing = [...new Set(waiting.flatMap((set) => [...set]))].sort((a, b) => b - a);
      const values = await Promise.all(missing.map((index) => viewOf(sums[index]!)));
      for (const [at, index] of missing.entries()) hasArrived(index, values[at]!);
    },
    async update(last, { loads: sumsOfLoads, limit }) {
      for (const each of reducing) await each!.done();
      inGroups();
      writeGroups("gradient");
      const squares = await gatherSquares(collective, buckets, own, { many: trained.length, total });
      const norm = Math.fround(Math.sqrt(squares.reduce((sum, each) => sum + each, 0)));
      const factor = limit === Number.POSITIVE_INFINITY ? 1 : Math.min(1, limit / (norm + 1e-6));
      runtime.write(clip, [norm, factor]);
      for (const [index, load] of loads.entries()) runtime.write(load, sumsOfLoads[index]!);
      last.run();
      if (Number.isFinite(norm)) {
        await gather("parameter");
        for (const [index, { tensor }] of trained.entries()) runtime.write(tensor, rowOf(index));
      }
      return { norm, squares };
    },
    async start() {
      row.fill(0);
      const values = await Promise.all(trained.map(({ tensor }) => viewOf(tensor)));
      for (const [index, of] of values.entries()) rowOf(index).set(of);
      scatter("parameter");
      for (const group of groups) group?.fill(0);
      for (const which of keptNames) writeGroups(which);
    },
    async moments() {
      const saved: SavedTensor[][] = trained.map(() => []);
      for (const which of keptNames) {
        await gather(which);
        for (const [index, { name }] of trained.entries()) {
          const shape = kept[index]![which];
          if (shape)
            saved[index]!.push({ name: `${name}.${which}`, shape, data: rowOf(index).slice(0, sizeOf(shape)) });
        }
      }
      for (const { name, tensor } of replicated)
        saved.push([{ name, shape: tensor.shape, data: Float32Array.from(await runtime.read(tensor)) }]);
      return saved.flat();
    },
    async ownMoments() {
      const pieces: (TensorPiece & { readonly parameter: number })[] = [];
      for (const which of keptNames) {
        await readGroups(which);
        for (const { parameter, from, length, group, place } of buckets.flatMap((bucket) => bucket.pieces[rank]!)) {
          const shape = kept[parameter]![which];
          if (!shape) continue;
          // What is smaller than its parameter belongs to a whole one.
          const data = groups[group]!.slice(place, place + Math.min(length, sizeOf(shape)));
          pieces.push({ parameter, name: `${trained[parameter]!.name}.${which}`, shape, from, data });
        }
      }
      for (const { name, tensor } of rank === 0 ? replicated : []) {
        const data = Float32Array.from(await runtime.read(tensor));
        pieces.push({ parameter: trained.length, name, shape: tensor.shape, from: 0, data });
      }
      return pieces.sort((a, b) => a.parameter - b.parameter || a.name.localeCompare(b.name) || a.from - b.from);
    },
    restore({ model, optimizer }) {
      take("parameter", model);
      for (const which of keptNames) take(which, optimizer);
      restoreTensors(runtime, replicated, optimizer, "optimizer");
    },
  };
}

/** Of each parameter the sum of the squares of its mean gradient; each rank knows those of its own pieces. */
async function gatherSquares(
  collective: Collective,
  buckets: readonly Bucket[],
  own: readonly Float32Array[],
  { many, total }: { readonly many: number; readonly total: number },
): Promise<number[]> {
  const { rank, size } = collective;
  const mine = new Float64Array(many);
  for (const [at, { pieces }] of buckets.entries()) {
    for (const { parameter, at: from, length } of pieces[rank]!) {
      const values = own[at]!;
      let sum = 0;
      for (let i = from; i < from + length; i++) sum += (values[i]! / total) ** 2;
      mine[parameter] = mine[parameter]! + sum;
    }
  }
  const all = new Float64Array(size * many);
  await collective.allGather(new Uint8Array(mine.buffer), new Uint8Array(all.buffer)).done();
  return Array.from({ length: many }, (_, index) => {
    let sum = 0;
    for (let from = 0; from < size; from++) sum += all[from * many + index]!;
    return Math.fround(sum);
  });
}
