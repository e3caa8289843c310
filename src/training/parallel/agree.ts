// Question: do all ranks have the same?
//
// Each says what it has, and those that differ from most are named.

import { type Collective, showRanks } from "../../runtime/collective/collective.ts";
import { gatherTexts } from "../../runtime/collective/texts.ts";

/**
 * Throw, on all ranks, unless all have the same.
 *
 * @param what as in "the parameters after step 100"
 */
export async function expectSame(collective: Collective, what: string, own: string): Promise<void> {
  const all = await gatherTexts(collective, own);
  const counts = new Map<string, number>();
  for (const each of all) counts.set(each, (counts.get(each) ?? 0) + 1);
  const [usual] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
  const others = all.flatMap((each, rank) => (each === usual ? [] : [rank]));
  if (others.length === 0) return;
  const shown = all[others[0]!]!;
  throw new Error(
    `${what} must be the same on all ranks; ${showRanks(others)} ${others.length === 1 ? "has" : "have"} ${shown}, the others ${usual}. Give all ranks the same files, options and version, and look whether a machine is broken.`,
  );
}
