// Question: how do ranks exchange texts?
//
// First the lengths, then the bytes of UTF-8, filled up to the longest.

import type { Collective } from "./collective.ts";

/** What each rank says, in the order of the ranks. */
export async function gatherTexts(collective: Collective, own: string): Promise<string[]> {
  const bytes = new TextEncoder().encode(own);
  const lengths = new Int32Array(collective.size);
  await collective.allGather(Int32Array.of(bytes.length), lengths).done();
  const longest = Math.max(1, ...lengths);
  const [padded, all] = [new Uint8Array(longest), new Uint8Array(collective.size * longest)];
  padded.set(bytes);
  await collective.allGather(padded, all).done();
  return Array.from(lengths, (length, rank) =>
    new TextDecoder().decode(all.slice(rank * longest, rank * longest + length)),
  );
}

/** What one rank says, on all ranks; the others give nothing, and wait for it however long it takes. */
export async function broadcastText(collective: Collective, from: number, text = ""): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const length = Int32Array.of(bytes.length);
  await collective.broadcast(length, from).done(Number.POSITIVE_INFINITY);
  const all = collective.rank === from ? bytes : new Uint8Array(length[0]!);
  if (all.length > 0) await collective.broadcast(all, from).done();
  return new TextDecoder().decode(all);
}
