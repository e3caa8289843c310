// Question: how do gradients and parameters travel from GPU to GPU, without the processor's memory?
//
// As exchange.ts has it, bucket by bucket, with copies on the GPU where it copies on the processor:
//
//   gradients     → bucket [N · part] | reduce-scatter | own part → the rank's gradients
//   own numbers   → own part | all-gather | bucket → parameters
//
// A bucket and a part lie once on the GPU and are used again and again: what is ordered between GPUs is done in turn. The
// squares of the rank's gradients are summed on the GPU, in float32; a number for each parameter comes back. Sums are
// added in the order that the library chooses, so the losses are those of one process but for rounding.

import { persistent } from "../../graph/state.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { concat } from "../../ops/concat.ts";
import { add, scale } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { sumSquares } from "../../ops/sum-squares.ts";
import type { Collective, GpuCollective, GpuValues, Pending } from "../../runtime/collective/collective.ts";
import type { Program, Runtime } from "../../runtime/runtime.ts";
import type { Mesh } from "./mesh.ts";

import type { OwnBucket } from "./own-layout.ts";
import type { SharedStep } from "./step.ts";

/** The exchange of one rank whose GPU reaches the others'. */
export interface BetweenGpus {
  /** Order that what a microbatch has made is sent; added to what has come before, or in its place. */
  send(adds: boolean): void;
  /** Of each parameter the sum of the squares of this rank's share of its mean gradient. */
  squares(): Promise<Float64Array>;
  /** Bring all parameters up to date; resolves when they are. */
  gather(): Promise<void>;
  release(): void;
}

/** A run of one parameter's numbers in one of the rank's tensors. */
interface OwnRun {
  readonly parameter: number;
  readonly group: number;
  readonly place: number;
  readonly length: number;
}

/**
 * @param total microbatches whose gradients are added up
 * @returns undefined where any of the ranks' ways is none between GPUs
 */
export function createBetweenGpus(
  runtime: Runtime,
  { rows, data }: Pick<Mesh, "rows" | "data">,
  { trained, layout, sums, shards }: Pick<SharedStep, "trained" | "layout" | "sums" | "shards">,
  total: number,
): BetweenGpus | undefined {
  const ranksOf = ({ among }: OwnBucket): Collective => (among === "rows" ? rows : data);
  const { buckets } = layout;
  if (sums.length < trained.length || buckets.some((bucket) => !ranksOf(bucket).gpu)) return undefined;

  const scratch: Tensor[] = [];
  const scratchOf = (name: string, length: number): Tensor => {
    const tensor = persistent(`exchange.${name}`, [length]);
    scratch.push(tensor);
    return tensor;
  };
  /** A bucket and a part of those that travel among the same ranks. */
  const rooms = new Map<Collective, { readonly whole: Tensor; readonly own: Tensor }>();
  for (const ranks of new Set(buckets.map(ranksOf))) {
    const largest = Math.max(...buckets.filter((bucket) => ranksOf(bucket) === ranks).map(({ part }) => part));
    rooms.set(ranks, {
      whole: scratchOf("bucket", ranks.size * largest),
      own: scratchOf("part", largest),
    });
  }
  interface Travel {
    readonly bucket: OwnBucket;
    readonly gpu: GpuCollective;
    readonly whole: GpuValues;
    readonly own: GpuValues;
  }
  const travels = buckets.map((bucket): Travel => {
    const ranks = ranksOf(bucket);
    const { whole, own } = rooms.get(ranks)!;
    return {
      bucket,
      gpu: ranks.gpu!,
      whole: { state: whole, length: ranks.size * bucket.part },
      own: { state: own, length: bucket.part },
    };
  });
  const ways = new Set(travels.map(({ gpu }) => gpu));
  const join = (): void => {
    for (const gpu of ways) gpu.join();
  };

  /** What comes of a later microbatch, before it is added. */
  let incoming: readonly (Tensor | undefined)[] | undefined;
  let adding: Program | undefined;
  const incomingOf = (): readonly (Tensor | undefined)[] => {
    incoming ??= shards.map((shard, group) => shard && scratchOf(`incoming.${group}`, sizeOf(shard.gradient.shape)));
    adding ??= runtime.compile({
      outputs: {},
      updates: shards.flatMap((shard, group) => {
        if (!shard) return [];
        const { gradient } = shard;
        return [[gradient, add(gradient, reshape(incoming![group]!, gradient.shape))] as const];
      }),
    });
    return incoming;
  };

  const runs: OwnRun[] = [];
  for (const { parameter, group, place, length } of buckets.flatMap(({ pieces }) => pieces)) {
    const before = runs.findIndex(
      (run) => run.parameter === parameter && run.group === group && run.place + run.length === place,
    );
    if (before < 0) runs.push({ parameter, group, place, length });
    else runs[before] = { ...runs[before]!, length: runs[before]!.length + length };
  }
  const squares = runs.map(({ group, place, length }) => {
    const { gradient } = shards[group]!;
    const flat = reshape(gradient, [sizeOf(gradient.shape)]);
    return reshape(sumSquares(scale(slice(flat, 0, place, length), 1 / total)), [1]);
  });
  const measuring = squares.length > 0 ? runtime.compile({ outputs: { squares: concat(squares, 0) } }) : undefined;

  /** Whether something has come that is not added yet: a microbatch's outputs are read before another program runs. */
  let unadded = false;
  const addUp = (): void => {
    if (unadded) adding!.run();
    unadded = false;
  };
  /** What was ordered last. */
  let under: Pending[] = [];
  const arrive = async (): Promise<void> => {
    const all = under;
    under = [];
    for (const pending of all) await pending.done();
  };
  return {
    send(adds) {
      addUp();
      const into = adds ? incomingOf() : shards.map((shard) => shard?.gradient);
      under = [];
      for (const { bucket, gpu, whole, own } of travels) {
        gpu.copy(
          bucket.stretches.map(({ parameter, from, length, at }) => ({
            from: { state: sums[parameter]!, from, length },
            into: { state: whole.state, from: at, length },
          })),
        );
        under.push(gpu.reduceScatter(whole, own));
        gpu.copy(
          bucket.pieces.map(({ group, place, length, at }) => ({
            from: { state: own.state, from: at, length },
            into: { state: into[group]!, from: place, length },
          })),
        );
      }
      join();
      unadded = adds;
    },
    async squares() {
      await arrive();
      addUp();
      const mine = new Float64Array(trained.length);
      if (!measuring) return mine;
      measuring.run();
      const found = await measuring.read("squares");
      for (const [at, { parameter }] of runs.entries()) mine[parameter] = mine[parameter]! + found[at]!;
      return mine;
    },
    async gather() {
      for (const { bucket, gpu, whole, own } of travels) {
        gpu.copy(
          bucket.pieces.map(({ group, place, length, at }) => ({
            from: { state: shards[group]!.parameter, from: place, length },
            into: { state: own.state, from: at, length },
          })),
        );
        under.push(gpu.allGather(own, whole));
        gpu.copy(
          bucket.stretches.map(({ parameter, from, length, at }) => ({
            from: { state: whole.state, from: at, length },
            into: { state: trained[parameter]!.tensor, from, length },
          })),
        );
      }
      join();
      await arrive();
    },
    release() {
      adding?.release();
      measuring?.release();
      for (const tensor of scratch) runtime.forget(tensor);
    },
  };
}
