// Question: which numbers travel together, and which rank keeps which optimizer states?
//
// All gradients in one row, those of the last parameter first, for the backward pass makes them first. The row is cut into
// buckets of some 2 MB, and each bucket into N equal parts, part r for rank r: it adds up the gradients of its parts and
// has the moments of these alone (Rajbhandari et al. 2020, ZeRO stage 1, arXiv 1910.02054).
//
//   row      | bucket 0        | bucket 1        | …      bucket b begins at b · length
//   bucket   | part 0 | part 1 | … | part N − 1  |        the last bucket is shorter, and filled up with zeros
//
// A part may hold pieces of several parameters. AdamW works on one number at a time, so a rank's pieces are put one
// behind another into two tensors: those that decay and those that do not.

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
  let total = 0;
  for (let index = parameters.length - 1; index >= 0; index--) {
    starts[index] = total;
    total += parameters[index]!.size;
  }
  const ordered = parameters.map((each, index) => ({ ...each, index, start: starts[index]! })).reverse();
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
  const last = buckets.at(-1);
  return { buckets, starts, length: last ? last.start + ranks * last.part : 0, groups: lengths };
}
