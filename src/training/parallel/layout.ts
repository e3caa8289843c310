// Question: which numbers travel together, and which rank keeps which optimizer states?
//
// All gradients in one row, in the order in which they are sent (step.ts). The row is cut into
// buckets of half a MiB, and each bucket into N equal parts, part r for rank r: it adds up the gradients of its parts and
// has the moments of these alone (Rajbhandari et al. 2020, ZeRO stage 1, arXiv 1910.02054).
//
//   row      | bucket 0        | bucket 1        | …
//   bucket   | part 0 | part 1 | … | part N − 1  |        the last bucket is shorter, and filled up with zeros
//
// A part may hold pieces of several parameters. Where an optimizer works on one number at a time, as AdamW does, a rank's
// pieces are put one behind another into a tensor for each rule: those that decay and those that do not. A parameter that
// can only be updated as a whole, such as a matrix of Muon's, is one rank's: it lies in one part, in buckets apart from
// the others, whose parts are filled up with zeros to the length of the fullest.

/** A run of numbers of one parameter. */
export interface Stretch {
  /** Its parameter's index. */
  readonly parameter: number;
  /** Where it begins in the parameter. */
  readonly from: number;
  readonly length: number;
  /** Where it begins in its bucket; that of a piece, in its part. */
  readonly at: number;
}

/** A stretch within one part, which the part's rank has in one of its own tensors. */
export interface Piece extends Stretch {
  /** Which tensor of the rank it is in, and where. */
  readonly group: number;
  readonly place: number;
}

/** Numbers that travel together. */
export interface Bucket {
  /** Of each part; the bucket has N times as many. */
  readonly part: number;
  /** What it has of each parameter. */
  readonly stretches: readonly Stretch[];
  /** The pieces of each rank's part. */
  readonly pieces: readonly (readonly Piece[])[];
}

export interface Layout {
  readonly buckets: readonly Bucket[];
  /** Of each rank, the lengths of its tensors. */
  readonly groups: readonly (readonly number[])[];
}

/**
 * Bytes of a bucket. What is sent at once costs little each; but a bucket waits for the last gradient in it while the link
 * is free, and the last bucket can hide behind nothing.
 */
export const BUCKET_BYTES: number = 2 ** 19;

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
 * @param parameters in the order in which they are sent
 * @param groups how many groups there are
 */
export function createLayout(
  parameters: readonly Sized[],
  { ranks, groups, bucketBytes }: { readonly ranks: number; readonly groups: number; readonly bucketBytes: number },
): Layout {
  let total = 0;
  const indexed = parameters.map((each, parameter) => ({ ...each, parameter }));
  const placed = indexed
    .filter(({ whole }) => !whole)
    .map((each) => ({ ...each, start: (total += each.size) - each.size }));
  /** What lies between two places of the row. */
  const between = (low: number, high: number): (Stretch & { readonly group: number })[] =>
    placed.flatMap(({ parameter, start, size, group }) => {
      const [first, last] = [Math.max(low, start), Math.min(high, start + size)];
      return first < last ? [{ parameter, from: first - start, length: last - first, at: first - low, group }] : [];
    });
  const fullPart = Math.max(MULTIPLE, MULTIPLE * Math.floor(bucketBytes / 4 / ranks / MULTIPLE));
  const lengths = Array.from({ length: ranks }, () => Array.from({ length: groups }, () => 0));
  const buckets: Bucket[] = [];
  for (let start = 0; start < total;) {
    const part = Math.min(fullPart, MULTIPLE * Math.ceil((total - start) / ranks / MULTIPLE));
    const end = start + ranks * part;
    const pieces = lengths.map((own, rank) =>
      between(start + rank * part, start + (rank + 1) * part).map((stretch): Piece => {
        const place = own[stretch.group]!;
        own[stretch.group] = place + stretch.length;
        return { ...stretch, place };
      }),
    );
    buckets.push({ part, stretches: between(start, end), pieces });
    start = end;
  }
  const wholes = together(
    indexed.filter(({ whole }) => whole),
    { least: Math.floor(bucketBytes / 4), many: PER_RANK * ranks },
  );
  buckets.push(...wholes.map((inside) => bucketOfWholes(inside, lengths)));
  return { buckets, groups: lengths };
}

/** A bucket of whole parameters has so many for each rank, that their sums can be made alike. */
const PER_RANK = 4;

interface Whole extends Sized {
  readonly parameter: number;
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

/** Each parameter to the rank that has least so far, the largest first. Fills in `lengths`. */
function bucketOfWholes(inside: readonly Whole[], lengths: readonly number[][]): Bucket {
  const filled = lengths.map(() => 0);
  const pieces = lengths.map((): Piece[] => []);
  const largestFirst = [...inside].sort((a, b) => b.size - a.size || b.parameter - a.parameter);
  for (const { parameter, size, group } of largestFirst) {
    const rank = filled.indexOf(Math.min(...filled));
    pieces[rank]!.push({ parameter, from: 0, length: size, at: filled[rank]!, group, place: 0 });
    filled[rank] = filled[rank]! + size;
    lengths[rank]![group] = size;
  }
  const part = MULTIPLE * Math.ceil(Math.max(...filled) / MULTIPLE);
  const stretches = pieces.flatMap((own, rank) => own.map((piece) => ({ ...piece, at: rank * part + piece.at })));
  return { part, stretches, pieces };
}
