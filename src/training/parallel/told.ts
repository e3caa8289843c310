// Question: what do the ranks tell each other of a step?
//
// Their losses, their experts' loads and their work. The mean loss is added up in the order of the ranks and of their
// microbatches, as one process adds it.

import type { Collective } from "../../runtime/collective/collective.ts";
import type { TensorValues } from "../../runtime/program.ts";
import type { Runtime } from "../../runtime/runtime.ts";

/** What one rank did since the step before. */
export interface RankWork {
  /** Of its own rows. */
  readonly tokensPerSecond: number;
  /** Seconds in which it waited for others. */
  readonly waited: number;
  readonly sentBytes: number;
  /** What the memory of its runtime has grown to; absent where the runtime cannot say. */
  readonly memoryBytes?: number;
}

/** What all ranks told of a step. */
export interface Told {
  readonly loss: number;
  /** Tokens of each expert, by layer. */
  readonly loads: readonly Float32Array[];
  readonly ranks: readonly RankWork[];
}

/**
 * @param total microbatches of all ranks in a step
 * @param tokens of this rank's rows in a step
 * @param runtime of this rank
 * @returns called by all ranks at once, with as many losses and with loads of the same sizes; what a rank does not have
 *   is 0
 */
export function createTelling(
  collective: Collective,
  {
    total,
    tokens,
    runtime,
  }: { readonly total: number; readonly tokens: number; readonly runtime: Pick<Runtime, "memoryBytes"> },
): (losses: readonly number[], loads: readonly TensorValues[]) => Promise<Told> {
  const { size } = collective;
  const clock = createClock(collective, tokens);
  return async (losses, ownLoads) => {
    const own = Float64Array.from([
      ...losses,
      ...ownLoads.flatMap((load) => [...load]),
      ...clock.lap(),
      runtime.memoryBytes?.() ?? 0,
    ]);
    const all = new Float64Array(size * own.length);
    await collective.allGather(new Uint8Array(own.buffer), new Uint8Array(all.buffer)).done();
    const byRank = Array.from({ length: size }, (_, rank) => [
      ...all.subarray(rank * own.length, (rank + 1) * own.length),
    ]);
    let loss = 0;
    for (const each of byRank) for (const part of each.slice(0, losses.length)) loss += part / total;
    let at = losses.length;
    const loads = ownLoads.map(({ length }) => {
      const sum = new Float32Array(length);
      for (const each of byRank) for (let e = 0; e < length; e++) sum[e] = sum[e]! + each[at + e]!;
      at += length;
      return sum;
    });
    const ranks = byRank.map((each): RankWork => {
      const [tokensPerSecond = 0, waited = 0, sentBytes = 0, memoryBytes = 0] = each.slice(at);
      return { tokensPerSecond, waited, sentBytes, ...(memoryBytes > 0 ? { memoryBytes } : {}) };
    });
    return { loss, loads, ranks };
  };
}

/** Measures a rank's work from one step to the next. */
function createClock(
  { traffic }: Collective,
  tokens: number,
): { lap(): [tokensPerSecond: number, waited: number, sentBytes: number] } {
  let before = { time: performance.now(), ...traffic };
  return {
    lap() {
      const now = { time: performance.now(), ...traffic };
      const [seconds, waited] = [(now.time - before.time) / 1000, now.waited - before.waited];
      const sentBytes = now.sentBytes - before.sentBytes;
      before = now;
      return [tokens / Math.max(1e-9, seconds - waited), waited, sentBytes];
    },
  };
}
