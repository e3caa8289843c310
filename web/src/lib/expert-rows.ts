// Question: how is the load of an expert coloured and said?

/** An expert with so many times an even load has the strongest colour. */
const STRONGEST = 3;

/** From -1 for an expert that no token chose, over 0 for an even load, to 1. */
export function loadPosition(share: number | null): number {
  if (share === null) return NaN;
  return share < 1 ? share - 1 : Math.min(1, (share - 1) / (STRONGEST - 1));
}

/** The busiest expert of a layer, and how many no token chose. */
export function busiest(shares: readonly (number | null)[]): string {
  const known = shares.map((share) => share ?? 0);
  const most = Math.max(...known);
  if (!(most > 0)) return "no tokens";
  const idle = known.filter((share) => share === 0).length;
  return `busiest now: expert ${known.indexOf(most)} with ${Number(most.toPrecision(3))} times an even load${idle > 0 ? `; ${idle} idle` : ""}`;
}
