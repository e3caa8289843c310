// Question: how does every rank get the numbers that each keeps of a kind, such as the new parameters?
//
// By an all-gather of each bucket, few of them under way at once. Either all are waited for; or they arrive while something
// is computed that needs only some of them at a time, such as the next forward pass, which waits for those of each of its
// parts. The parameters that it reads first lie in the buckets that are sent last (step.ts), so the last bucket comes first;
// and few are under way, for messages that are begun at once share the link and all come at its end.
//
// Ranks must begin their messages among the same ranks in the same order. So all that arrive behind are begun before the
// program begins to send (`begun`), whenever that may be.

import type { Pool } from "../../basics/pool.ts";
import type { Collective, Pending } from "../../runtime/collective/collective.ts";
import type { TensorValues } from "../../runtime/program.ts";
import type { OwnBucket } from "./own-layout.ts";

/** So many buckets at most are under way: enough to keep a link busy, and the memory for them is small. */
export const MOST_UNDER_WAY = 32;
/** The same of those that arrive behind: enough to keep a link busy. */
const BEHIND_UNDER_WAY = 4;

/** The rank's own numbers, by group (own-layout.ts). */
export type OwnNumbers = readonly (TensorValues | undefined)[];
/** Where each parameter's numbers go; undefined where they are not wanted. */
type Into = readonly (Float32Array | undefined)[];

export interface Gathering {
  /** @param to the one rank of `rows` that gets them; by default all do */
  all(own: OwnNumbers, into: Into, to?: number): Promise<void>;
  /** Begin to bring them to all ranks. Until they are there the rank's own must stay. */
  behind(own: OwnNumbers, into: Into): Arrivals;
  /** Whether this rank gets a bucket that is for one rank of `rows`, or for all. */
  receives(bucket: OwnBucket, to: number | undefined): boolean;
}

/** Numbers that are on their way. */
export interface Arrivals {
  /** Wait for those of some parameters. All ranks wait for the same, in the same order. */
  of(parameters: readonly number[]): Promise<void>;
  all(): Promise<void>;
  /** Take those that have come, and begin further ones. To be called now and then. */
  move(): void;
  /** Wait until all have been begun: other messages among the same ranks may be begun afterwards. */
  begun(): Promise<void>;
  /** They are not wanted any more; the messages are still to be waited for. */
  drop(): void;
}

/** A bucket on its way; `land` once it has come. */
interface UnderWay {
  readonly pending: Pending;
  land(into: Into): void;
}

/** @param ranksOf those among which a bucket travels */
export function createGathering(
  { rows, data }: { readonly rows: Collective; readonly data: Collective },
  buckets: readonly OwnBucket[],
  pool: Pool,
  ranksOf: (bucket: OwnBucket) => Collective,
): Gathering {
  /** Of a part of the experts it is that rank's neighbour who has it. */
  const receiverOf = ({ among }: OwnBucket, to: number): number =>
    among === "rows" ? to : Math.floor((to * data.size) / rows.size);
  const receives = (bucket: OwnBucket, to: number | undefined): boolean =>
    to === undefined || receiverOf(bucket, to) === ranksOf(bucket).rank;

  /** Begin to bring a bucket. */
  const begin = (bucket: OwnBucket, numbers: OwnNumbers, to?: number): UnderWay => {
    const ranks = ranksOf(bucket);
    const [own, whole] = [pool.take(bucket.part), pool.take(receives(bucket, to) ? ranks.size * bucket.part : 0)];
    for (const { at, length, group, place } of bucket.pieces) {
      const values = numbers[group];
      if (values) own.set(values.subarray(place, place + length), at);
    }
    const pending: Pending =
      to === undefined ? ranks.allGather(own, whole) : ranks.gather(own, whole, receiverOf(bucket, to));
    return {
      pending,
      land(into) {
        for (const { parameter, from, length, at } of bucket.stretches)
          into[parameter]?.set(whole.subarray(at, at + length), from);
        pool.give(own);
        pool.give(whole);
      },
    };
  };

  return {
    receives,
    async all(own, into, to) {
      const under: UnderWay[] = [];
      const land = async (): Promise<void> => {
        const oldest = under.shift()!;
        await oldest.pending.done();
        oldest.land(into);
      };
      for (const bucket of buckets) {
        under.push(begin(bucket, own, to));
        if (under.length > MOST_UNDER_WAY) await land();
      }
      while (under.length > 0) await land();
    },
    behind(own, into) {
      const order = buckets.toReversed();
      /** How many of the first buckets have all numbers of a parameter. */
      const needs = new Map<number, number>();
      for (const [place, { stretches }] of order.entries())
        for (const { parameter } of stretches) needs.set(parameter, place + 1);
      let wanted = into;
      let landed = 0;
      const under = order.slice(0, BEHIND_UNDER_WAY).map((bucket) => begin(bucket, own));
      /** The oldest has come. */
      const land = (): void => {
        under.shift()!.land(wanted);
        landed++;
        const next = order[landed + under.length];
        if (next) under.push(begin(next, own));
      };
      const first = async (many: number): Promise<void> => {
        for (;;) {
          const oldest = under[0];
          if (!oldest || landed >= many) return;
          await oldest.pending.done();
          // `move` may have taken it.
          if (under[0] === oldest) land();
        }
      };
      return {
        of: (parameters) => first(Math.max(0, ...parameters.map((parameter) => needs.get(parameter) ?? 0))),
        all: () => first(order.length),
        move() {
          while (under[0]?.pending.test()) land();
        },
        begun: () => first(order.length - BEHIND_UNDER_WAY),
        drop: () => void (wanted = []),
      };
    },
  };
}
