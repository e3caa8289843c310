// Question: what do the seeds of one configuration show together?
//
// Runs that differ in nothing but the seed are a family. At each place of the axis the family has the mean of its runs,
// and a band from the smallest to the largest; a run counts only where it has values on both sides, so that one that
// ended early does not bend the mean after its end.

export interface Member {
  readonly x: readonly number[];
  readonly y: readonly (number | null | undefined)[];
}

export interface Band {
  readonly x: number[];
  readonly mean: (number | null)[];
  readonly low: (number | null)[];
  readonly high: (number | null)[];
  /** How many runs each place has. */
  readonly count: number[];
}

const MOST_PLACES = 600;

/** The mean and the ends of several curves. */
export function bandOf(members: readonly Member[]): Band {
  const all = [...new Set(members.flatMap(({ x }) => x))].sort((a, b) => a - b);
  const every = Math.ceil(all.length / MOST_PLACES);
  const x = all.filter((_, index) => index % every === 0 || index === all.length - 1);
  const readers = members.map(reader);
  const band: Band = { x, mean: [], low: [], high: [], count: [] };
  for (const place of x) {
    const values = readers.flatMap((read) => read(place) ?? []);
    const none = values.length === 0;
    band.mean.push(none ? null : values.reduce((sum, value) => sum + value, 0) / values.length);
    band.low.push(none ? null : Math.min(...values));
    band.high.push(none ? null : Math.max(...values));
    band.count.push(values.length);
  }
  return band;
}

/** Reads a curve at ascending places; undefined outside of it and in its gaps. */
function reader({ x, y }: Member): (place: number) => number | undefined {
  let at = 0;
  return (place) => {
    while (at + 1 < x.length && x[at + 1]! <= place) at++;
    const [left, right] = [x[at], x[at + 1]];
    if (left === undefined || place < left) return undefined;
    const from = y[at] ?? undefined;
    if (from === undefined || place === left) return from;
    const to = y[at + 1] ?? undefined;
    if (right === undefined || to === undefined) return undefined;
    return from + ((to - from) * (place - left)) / (right - left);
  };
}

/** Runs by their family, in the order of the first of each. */
export function familiesOf(runs: readonly string[], familyOf: (run: string) => string): string[][] {
  const groups = new Map<string, string[]>();
  for (const run of runs) groups.set(familyOf(run), [...(groups.get(familyOf(run)) ?? []), run]);
  return [...groups.values()];
}

/** The name that runs have in common: "mhc-seed1" and "mhc-seed2" are "mhc". */
export function commonName(names: readonly string[]): string {
  if (names.length < 2) return names[0] ?? "";
  const [first, ...others] = names.map((name) => name.replace(/[-_.]?seed-?\d+$/i, ""));
  if (others.every((name) => name === first)) return first!;
  let shared = names[0]!;
  while (!names.every((name) => name.startsWith(shared))) shared = shared.slice(0, -1);
  return shared.replace(/[-_.\s]+$/, "") || `${names[0]} and ${names.length - 1} more`;
}
