// Question: how do the ranks' gradients become one update, the same on all of them?
//
//   1. as soon as all gradients of a bucket are there, its reduce-scatter is begun: while the backward pass goes on where
//      the runtime runs programs in parts, after it elsewhere
//   2. each rank keeps the sums of its own parts; the squares of all go round, and with them the norm that clips
//   3. the optimizer on the rank's own numbers (step.ts)
//   4. an all-gather of each bucket brings every rank the new parameters: where the next step follows at once, behind its
//      forward pass, which waits before each part of its program for the parameters that the part reads
//
// Gradients lie in buckets only while they are on their way, and few buckets are at once, so no rank has room for all of
// them (ZeRO, stage 2). Where microbatches are added up on the rank before they are sent, their sums are whole there.
//
// The sums are Σ over all microbatches; the update divides by their number. A sum of squares is taken in float64 and
// added in the order of the row and of the ranks. Where the ranks' GPUs reach each other, all of this is done on them
// (between-gpus.ts).

import { createPool } from "../../basics/pool.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { Collective } from "../../runtime/collective/collective.ts";
import type { TensorValues } from "../../runtime/program.ts";
import { type Program, type ProgramPart, type Runtime, runWhole } from "../../runtime/runtime.ts";
import { createBetweenGpus } from "./between-gpus.ts";
import { type Arrivals, createGathering, MOST_UNDER_WAY } from "./gathering.ts";
import type { TrainingConfig } from "../config.ts";
import type { Mesh } from "./mesh.ts";
import { type Reducing, reduceNarrow } from "./narrow.ts";
import { restoreTensors } from "../restore.ts";
import type { SavedTensor, TensorPiece, TrainerState } from "../state.ts";
import type { OwnBucket } from "./own-layout.ts";
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
  /**
   * Run a microbatch, and begin to send what it makes: all of it is on its way when the promise resolves. What comes of
   * several is added up until the update.
   */
  run(micro: Pick<Program, "run" | "parts" | "waits">): Promise<void>;
  /** Run one that adds what it makes to sums, and send nothing. */
  add(micro: Pick<Program, "run" | "parts" | "waits">): Promise<void>;
  /**
   * End what `run` has begun, update the rank's numbers, and bring all parameters up to date; with `behind` they are on
   * their way when the promise resolves, and nothing but `run` and `arrived` may look at them.
   */
  update(
    last: Program,
    inputs: { readonly loads: readonly Float32Array[]; readonly limit: number; readonly behind?: boolean },
  ): Promise<Gathered>;
  /** Wait for the parameters that are on their way; undefined where none are. */
  arrived(): Promise<void> | undefined;
  /** Take the rank's numbers from the parameters in the runtime, with moments of zero. */
  start(): Promise<void>;
  /**
   * The moments of all ranks, by the names that a process alone gives them. All ranks ask at once.
   *
   * @param to the only rank that gets them, by default all do; the others get none
   */
  moments(to?: number): Promise<SavedTensor[]>;
  /** The moments of this rank alone, in the order of the parameters. */
  ownMoments(): Promise<TensorPiece[]>;
  /** Take the rank's numbers from a saved state. */
  restore(state: TrainerState): void;
  release(): void;
}

/** A bucket of gradients on its way. */
interface Reduction {
  readonly bucket: OwnBucket;
  readonly whole: Float32Array;
  readonly own: Float32Array;
  readonly reducing: Reducing;
  /** Whether it is added to what is there. */
  readonly adds: boolean;
}

/** A float32 state of the runtime that is filled piece by piece; it has its values when it is closed. */
interface OpenState {
  readonly values: Float32Array;
  close(): void;
}

/** What the exchange of a rank works on. */
export type Exchanged = Omit<SharedStep, "tokens" | "targets" | "weights" | "schedule" | "programs" | "sendsEach">;

/**
 * @param rows all ranks that learn from rows
 * @param data those of them that have the same part of the experts; all, where each has all experts
 * @param options `total`: microbatches whose gradients are added up; `reducePrecision`: as what gradients travel
 * @param everySquare the squares of the whole model's parameters from those of these, where others have the rest
 */
export function createExchange(
  runtime: Runtime,
  { rows, data }: Pick<Mesh, "rows" | "data">,
  exchanged: Exchanged,
  { total, reducePrecision = "float32" }: { readonly total: number } & Pick<TrainingConfig, "reducePrecision">,
  everySquare: (own: readonly number[]) => Promise<readonly number[]> = (own) => Promise.resolve(own),
): Exchange {
  const { trained, layout, sums, shards, clip, loads, kept, replicated } = exchanged;
  const { buckets } = layout;
  const gpus = createBetweenGpus(runtime, { rows, data }, exchanged, total);
  if (gpus && reducePrecision !== "float32")
    throw new Error(
      `reducePrecision is ${reducePrecision}, but between GPUs gradients travel as float32; leave it out, or take --exchange messages.`,
    );
  /** Whether gradients have been sent between the GPUs since the last update. */
  let sentBetween = false;
  const ranksOf = ({ among }: OwnBucket): Collective => (among === "rows" ? rows : data);
  const pool = createPool();
  const gathering = createGathering({ rows, data }, buckets, pool, ranksOf);
  const indexOf = new Map(sums.map((sum, index) => [sum, index]));
  const parameterOf = new Map(trained.map(({ tensor }, index) => [tensor, index]));
  const bucketsOf = trained.map((_, index) =>
    buckets.filter(({ stretches }) => stretches.some(({ parameter }) => parameter === index)),
  );
  const reducing: Reduction[] = [];
  /** The gradients of the rank's numbers, from the first microbatch of a step to its update. */
  let gradients: readonly (OpenState | undefined)[] | undefined;
  /** The parameters of the latest update that may be on their way. */
  let arrivals: Arrivals | undefined;
  const arrived = (): Promise<void> | undefined => arrivals?.all().then(() => void (arrivals = undefined));
  /** Execute a microbatch, each part when the parameters that it reads are there. */
  const runParts = async (
    micro: Pick<Program, "run" | "parts" | "waits">,
    after: (part: ProgramPart) => Promise<void>,
  ): Promise<void> => {
    const parts = runtime.view || runtime.readNow || micro.waits ? micro.parts?.() : undefined;
    if (!parts) {
      await arrived();
      micro.run();
    }
    for (const part of parts ?? []) {
      const read = part.reads?.map((tensor) => parameterOf.get(tensor)).filter((index) => index !== undefined);
      await (read ? arrivals?.of(read) : arrived());
      await part.run(() => {
        rows.progress();
        arrivals?.move();
      });
      await after(part);
    }
    await arrived();
  };

  const viewOf = async (tensor: Tensor): Promise<TensorValues> =>
    runtime.view?.(tensor) ?? (await runtime.read(tensor));
  const open = (tensor: Tensor): OpenState => {
    const place = runtime.memory?.(tensor);
    if (place) return { values: place, close: () => undefined };
    const values = pool.take(sizeOf(tensor.shape));
    return {
      values,
      close() {
        runtime.write(tensor, values);
        pool.give(values);
      },
    };
  };
  /** The names under which the optimizer keeps something of any parameter. */
  const keptNames = [...new Set(kept.flatMap((states) => Object.keys(states)))];
  /** "parameter", "gradient", or what the optimizer keeps under this name; of a whole parameter it may be smaller. */
  const tensorOf = (shard: Shard | undefined, which: string): Tensor | undefined =>
    which === "parameter" || which === "gradient" ? shard?.[which] : shard?.states[which];
  const openShards = (which: string): (OpenState | undefined)[] =>
    shards.map((shard) => {
      const tensor = tensorOf(shard, which);
      return tensor && open(tensor);
    });

  const viewShards = (which: string): Promise<(TensorValues | undefined)[]> =>
    Promise.all(
      shards.map(async (shard) => {
        const tensor = tensorOf(shard, which);
        return tensor && (await viewOf(tensor));
      }),
    );

  const reduce = (ranks: Collective, whole: Float32Array, own: Float32Array): Reducing =>
    reducePrecision === "bfloat16"
      ? reduceNarrow(ranks, whole, own, pool)
      : { pending: ranks.reduceScatter(whole, own), finish: () => undefined };
  const settle = ({ bucket, whole, own, adds, reducing: { finish } }: Reduction): void => {
    finish();
    for (const { at, length, group, place } of bucket.pieces) {
      const into = gradients![group]!.values.subarray(place, place + length);
      if (adds) for (let i = 0; i < length; i++) into[i] = into[i]! + own[at + i]!;
      else into.set(own.subarray(at, at + length));
    }
    pool.give(whole);
    pool.give(own);
  };
  /** Settle the oldest until so many are under way, and those that have come. */
  const settleUntil = async (most: number): Promise<void> => {
    while (reducing.length > 0) {
      const [oldest] = reducing as [Reduction];
      const { pending } = oldest.reducing;
      if (!pending.test()) {
        if (reducing.length <= most) return;
        await pending.done();
      }
      settle(reducing.shift()!);
    }
  };
  /** Takes gradients as they are made. Buckets are begun in their order, the same on all ranks. */
  const createSender = (adds: boolean): { send(index: number, values: TensorValues): void; missing(): number[] } => {
    const staged = new Map<OwnBucket, Float32Array>();
    const left = new Map(buckets.map((bucket) => [bucket, bucket.stretches.length]));
    const sent = new Set<number>();
    let next = 0;
    return {
      send(index, values) {
        sent.add(index);
        for (const bucket of bucketsOf[index]!) {
          let whole = staged.get(bucket);
          if (!whole) staged.set(bucket, (whole = pool.take(ranksOf(bucket).size * bucket.part)));
          for (const { parameter, from, length, at } of bucket.stretches)
            if (parameter === index) whole.set(values.subarray(from, from + length), at);
          left.set(bucket, left.get(bucket)! - 1);
        }
        for (; next < buckets.length && left.get(buckets[next]!) === 0; next++) {
          const bucket = buckets[next]!;
          const [whole, own] = [staged.get(bucket)!, pool.take(bucket.part)];
          reducing.push({ bucket, whole, own, reducing: reduce(ranksOf(bucket), whole, own), adds });
        }
      },
      missing: () => trained.flatMap((_, index) => (sent.has(index) ? [] : [index])).reverse(),
    };
  };

  /** Fill the rank's own numbers of a kind. */
  const fillShards = (which: string, valuesOf: (index: number) => TensorValues | undefined): void => {
    const states = openShards(which);
    for (const { pieces } of buckets)
      for (const { parameter, from, length, group, place } of pieces) {
        const values = valuesOf(parameter);
        if (values) states[group]?.values.set(values.subarray(from, from + length), place);
      }
    for (const state of states) state?.close();
  };
  const fillFrom = (which: string, saved: readonly SavedTensor[]): void => {
    const isParameter = which === "parameter";
    const byName = new Map(saved.map((each) => [each.name, each.data]));
    const values = trained.map(({ name, tensor }, index) => {
      const shape = isParameter ? tensor.shape : kept[index]![which];
      if (!shape) return undefined;
      const full = isParameter ? name : `${name}.${which}`;
      const found = byName.get(full);
      if (found?.length === sizeOf(shape)) return found;
      throw new Error(
        `The checkpoint has no tensor "${full}" of ${sizeOf(shape)} numbers; it belongs to another model${isParameter ? "" : ", or was made with another optimizer"}.`,
      );
    });
    fillShards(which, (index) => values[index]);
  };

  return {
    arrived,
    async add(micro) {
      await runParts(micro, async () => rows.progress());
    },
    async run(micro) {
      if (gpus) {
        await runWhole(micro);
        gpus.send(sentBetween);
        sentBetween = true;
        return;
      }
      const sender = createSender(gradients !== undefined);
      gradients ??= openShards("gradient");
      await runParts(micro, async ({ passing, updated }) => {
        if (passing.length + updated.length > 0) await arrivals?.begun();
        for (const { index, view } of passing) sender.send(layout.sent[index]!, view());
        for (const state of updated) {
          const index = indexOf.get(state);
          if (index !== undefined) sender.send(index, await viewOf(state));
        }
        rows.progress();
        await settleUntil(MOST_UNDER_WAY);
      });
      const missing = sender.missing();
      const values = await Promise.all(missing.map((index) => viewOf(sums[index]!)));
      for (const [at, index] of missing.entries()) sender.send(index, values[at]!);
    },
    async update(last, { loads: sumsOfLoads, limit, behind = false }) {
      await settleUntil(0);
      const mine = gpus
        ? await gpus.squares()
        : ownSquares(
            buckets,
            gradients!.map((state) => state?.values),
            { many: trained.length, total },
          );
      const squares = await everySquare(await gatherSquares(rows, mine));
      for (const state of gradients ?? []) state?.close();
      gradients = undefined;
      sentBetween = false;
      const norm = Math.fround(Math.sqrt(squares.reduce((sum, each) => sum + each, 0)));
      const factor = limit === Number.POSITIVE_INFINITY ? 1 : Math.min(1, limit / (norm + 1e-6));
      runtime.write(clip, [norm, factor]);
      for (const [index, load] of loads.entries()) runtime.write(load, sumsOfLoads[index]!);
      last.run();
      if (!Number.isFinite(norm)) return { norm, squares };
      if (gpus) {
        await gpus.gather();
        return { norm, squares };
      }
      const own = await viewShards("parameter");
      if (behind && runtime.memory) {
        arrivals = gathering.behind(
          own,
          trained.map(({ tensor }) => runtime.memory!(tensor)),
        );
        return { norm, squares };
      }
      const states = trained.map(({ tensor }) => open(tensor));
      await gathering.all(
        own,
        states.map(({ values }) => values),
      );
      for (const state of states) state.close();
      return { norm, squares };
    },
    async start() {
      const values = await Promise.all(trained.map(({ tensor }) => viewOf(tensor)));
      fillShards("parameter", (index) => values[index]!);
      for (const shard of shards)
        for (const moment of Object.values(shard?.states ?? {}))
          runtime.write(moment, new Float32Array(sizeOf(moment.shape)));
    },
    async moments(to) {
      const received = trained.map((_, index) => bucketsOf[index]!.some((bucket) => gathering.receives(bucket, to)));
      const saved: SavedTensor[][] = trained.map(() => []);
      for (const which of keptNames) {
        const into = trained.map(({ tensor }, index) =>
          received[index] && kept[index]![which] ? new Float32Array(sizeOf(tensor.shape)) : undefined,
        );
        await gathering.all(await viewShards(which), into, to);
        for (const [index, numbers] of into.entries()) {
          const shape = kept[index]![which];
          if (!numbers || !shape) continue;
          const data = numbers.length === sizeOf(shape) ? numbers : numbers.slice(0, sizeOf(shape));
          saved[index]!.push({ name: `${trained[index]!.name}.${which}`, shape, data });
        }
      }
      for (const { name, tensor } of to === undefined || to === rows.rank ? replicated : [])
        saved.push([{ name, shape: tensor.shape, data: Float32Array.from(await viewOf(tensor)) }]);
      return saved.flat();
    },
    async ownMoments() {
      const pieces: (TensorPiece & { readonly parameter: number })[] = [];
      for (const which of keptNames) {
        const groups = await viewShards(which);
        for (const { parameter, from, length, group, place } of buckets.flatMap((bucket) => bucket.pieces)) {
          const shape = kept[parameter]![which];
          if (!shape) continue;
          const numbers = Float32Array.from(groups[group]!.subarray(place, place + length));
          pieces.push({ parameter, name: `${trained[parameter]!.name}.${which}`, shape, from, data: numbers });
        }
      }
      for (const { name, tensor } of rows.rank === 0 ? replicated : []) {
        const data = Float32Array.from(await viewOf(tensor));
        pieces.push({ parameter: trained.length, name, shape: tensor.shape, from: 0, data });
      }
      return pieces.sort((a, b) => a.parameter - b.parameter || a.name.localeCompare(b.name) || a.from - b.from);
    },
    restore({ model, optimizer }) {
      arrivals?.drop();
      fillFrom("parameter", model);
      for (const which of keptNames) fillFrom(which, optimizer);
      restoreTensors(runtime, replicated, optimizer, "optimizer");
    },
    release: () => gpus?.release(),
  };
}

/** Of each parameter the sum of the squares of the rank's own pieces of its mean gradient. */
function ownSquares(
  buckets: readonly OwnBucket[],
  own: readonly (Float32Array | undefined)[],
  { many, total }: { readonly many: number; readonly total: number },
): Float64Array {
  const mine = new Float64Array(many);
  for (const { pieces } of buckets) {
    for (const { parameter, length, group, place } of pieces) {
      const values = own[group]!;
      let sum = 0;
      for (let i = place; i < place + length; i++) sum += (values[i]! / total) ** 2;
      mine[parameter] = mine[parameter]! + sum;
    }
  }
  return mine;
}

/** Of each parameter the sum of the squares of its mean gradient; each rank knows those of its own pieces. */
async function gatherSquares(collective: Collective, mine: Float64Array): Promise<number[]> {
  const { size } = collective;
  const many = mine.length;
  const all = new Float64Array(size * many);
  await collective.allGather(new Uint8Array(mine.buffer), new Uint8Array(all.buffer)).done();
  return Array.from({ length: many }, (_, index) => {
    let sum = 0;
    for (let from = 0; from < size; from++) sum += all[from * many + index]!;
    return Math.fround(sum);
  });
}
