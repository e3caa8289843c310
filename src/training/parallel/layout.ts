// Question: which numbers travel together, and which rank keeps which optimizer states?
//
// All gradients in one row, those of the last parameter first, for the backward pass makes them first. The row is cut into
// buckets of some 2 MB, and each bucket into N equal parts, part r for rank r: it adds up the gradients of its parts and
// has the moments of these alone (Rajbhandari et al. 2020, ZeRO stage 1, arXiv 1910.02054).
//
//   row      | bucket 0        | bucket 1        | …      bucket b begins at b · length
//   bucket   | part 0 | part 1 | … | part N − 1  |        the last bucket is shorter, and filled up with zeros
//
// A part may hold pieces of several parameters. Where an optimizer works on one number at a time, as AdamW does, a rank's
// pieces are put one behind another into a tensor for each rule: those that decay and those that do not. A parameter that
// can only be updated as a whole, such as a matrix of Muon's, is one rank's: it lies in one part, in buckets apart from
// the others, whose parts are filled up with zeros to the length of the fullest.

/** A run of numbers of one parameter within one part. */
export interface Piece {
  /** Its parameter's index. */
  readonly parameter: number;
  /** Where it begins in the parameter. */
  readonly from: number;
  readonly length: number;
  /** Where it begins in its part. */
  readonly at: number;
  /** Which tensor of the rank it is in, and where. */
  readonly group: number;
  readonly place: number;
}

/** Numbers that travel together. */
export interface Bucket {
  /** Where it begins in the row. */
  readonly start: number;
  /** Of each part; the bucket has N times as many. */
  readonly part: number;
  /** The parameters of which it has numbers. */
  readonly parameters: readonly number[];
  /** The pieces of each rank's part. */
  readonly pieces: readonly (readonly Piece[])[];
}

export interface Layout {
  readonly buckets: readonly Bucket[];
  /** Where each parameter begins in the row. */
  readonly starts: readonly number[];
  /** Numbers of the row, filled up to whole parts. */
  readonly length: number;
  /** Of each rank, the lengths of its tensors. */
  readonly groups: readonly (readonly number[])[];
}

/** Bytes of a bucket: what is sent at once costs little each, and enough are there to begin before the end. */
export const BUCKET_BYTES: number = 2 ** 21;

/** Parts are whole vectors of the processor. */
const MULTIPLE = 16;

/** A parameter's numbers, and the group that they belong to. */
export interface Sized {
  readonly size: number;
  readonly group: number;
  /** Whether one rank must have all of it; its group is then its own. */
  readonly whole?: boolean;
}

/**
 * @param parameters in their order; the layout turns it round
 * @param groups how many groups there are
 */
export function createLayout(
  parameters: readonly Sized[],
  { ranks, groups, bucketBytes }: { readonly ranks: number; readonly groups: number; readonly bucketBytes: number },
): Layout {
  const starts: number[] = Array.from({ length: parameters.length }, () => 0);
  const turned = parameters.map((each, index) => ({ ...each, index })).reverse();
  let total = 0;
  const ordered = turned
    .filter(({ whole }) => !whole)
    .map((each) => {
      const start = total;
      starts[each.index] = start;
      total += each.size;
      return { ...each, start };
    });
  const fullPart = Math.max(MULTIPLE, MULTIPLE * Math.floor(bucketBytes / 4 / ranks / MULTIPLE));
  const lengths = Array.from({ length: ranks }, () => Array.from({ length: groups }, () => 0));
  const buckets: Bucket[] = [];
  for (let start = 0; start < total;) {
    const part = Math.min(fullPart, MULTIPLE * Math.ceil((total - start) / ranks / MULTIPLE));
    const end = start + ranks * part;
    const inside = ordered.filter((each) => each.start < end && each.start + each.size > start);
    const pieces = lengths.map((own, rank) => {
      const [low, high] = [start + rank * part, start + (rank + 1) * part];
      return inside.flatMap(({ index, start: begin, size, group }): Piece[] => {
        const [first, last] = [Math.max(low, begin), Math.min(high, begin + size)];
        if (first >= last) return [];
        const place = own[group]!;
        own[group] = place + last - first;
        return [{ parameter: index, from: first - begin, length: last - first, at: first - low, group, place }];
      });
    });
    buckets.push({ start, part, parameters: inside.map(({ index }) => index), pieces });
    start = end;
  }
  const endOf = ({ start, part }: Bucket): number => start + ranks * part;
  let end = Math.max(0, ...buckets.map(endOf));
  for (const inside of together(
    turned.filter(({ whole }) => whole),
    { least: Math.floor(bucketBytes / 4), many: PER_RANK * ranks },
  )) {
    const bucket = bucketOfWholes(inside, { start: end, ranks, starts, lengths });
    buckets.push(bucket);
    end = endOf(bucket);
  }
  // As the backward pass completes them.
  buckets.sort((a, b) => Math.min(...b.parameters) - Math.min(...a.parameters));
  return { buckets, starts, length: end, groups: lengths };
}

/** A bucket of whole parameters has so many for each rank, that their sums can be made alike. */
const PER_RANK = 4;

interface Whole extends Sized {
  readonly index: number;
}

/** Neighbours of at least so many numbers and so many parameters together. */
function together(
  wholes: readonly Whole[],
  { least, many }: { readonly least: number; readonly many: number },
): Whole[][] {
  const all: Whole[][] = [];
  let [now, size]: [Whole[], number] = [[], 0];
  for (const each of wholes) {
    now.push(each);
    size += each.size;
    if (size < least || now.length < many) continue;
    all.push(now);
    [now, size] = [[], 0];
  }
  return now.length > 0 ? [...all, now] : all;
}

/** Each parameter to the rank that has least so far, the largest first. Fills in `starts` and `lengths`. */
function bucketOfWholes(
  inside: readonly Whole[],
  {
    start,
    ranks,
    starts,
    lengths,
  }: { readonly start: number; readonly ranks: number; readonly starts: number[]; readonly lengths: number[][] },
): Bucket {
  const filled = Array.from({ length: ranks }, () => 0);
  const placed = [...inside]
    .sort((a, b) => b.size - a.size || b.index - a.index)
    .map((each) => {
      const rank = filled.indexOf(Math.min(...filled));
      const at = filled[rank]!;
      filled[rank] = at + each.size;
      return { ...each, rank, at };
    });
  const part = MULTIPLE * Math.ceil(Math.max(...filled) / MULTIPLE);
  const pieces = filled.map((): Piece[] => []);
  for (const { index, size, group, rank, at } of placed) {
    starts[index] = start + rank * part + at;
    lengths[rank]![group] = size;
    pieces[rank]!.push({ parameter: index, from: 0, length: size, at, group, place: 0 });
  }
  return { start, part, parameters: inside.map(({ index }) => index), pieces };
}
