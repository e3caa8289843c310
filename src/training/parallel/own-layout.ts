// Question: what does one rank have of all numbers, where some parameters are shared among it and others?
//
// Parameters that every rank has travel among all of them. A part of the experts is only on the ranks that have the same
// part: its gradients are summed, and its moments divided, among those. So there are buckets of two kinds (layout.ts), in
// the order in which they are sent; the rank's pieces of both lie in the same tensors.

import type { Place } from "./share.ts";
import { type Bucket, createLayout, type Piece, type Sized } from "./layout.ts";

/** A bucket as one rank sees it. */
export interface OwnBucket extends Pick<Bucket, "part" | "stretches"> {
  /** Among whom it travels: all ranks that learn from rows, or those with the same part of the experts. */
  readonly among: "rows" | "data";
  /** The pieces of this rank's part. */
  readonly pieces: readonly Piece[];
}

export interface OwnLayout {
  /** Indices of the parameters in the order in which their gradients are sent. */
  readonly sent: readonly number[];
  readonly buckets: readonly OwnBucket[];
  /** The lengths of this rank's tensors, by group. */
  readonly groups: readonly number[];
}

/** A parameter's numbers, and whether ranks share it by parts. */
export interface MaybeShared extends Sized {
  readonly shared: boolean;
}

/**
 * @param parameters in their order, with the sizes that this rank has
 * @param sent their indices in the order in which they are sent
 */
export function ownLayout(
  parameters: readonly MaybeShared[],
  { rank, size, experts = 1 }: Place,
  {
    groups,
    bucketBytes,
    sent,
  }: { readonly groups: number; readonly bucketBytes: number; readonly sent: readonly number[] },
): OwnLayout {
  const lengths = Array.from({ length: groups }, () => 0);
  const kinds = [
    { among: "rows", shared: false, ranks: size, own: rank },
    { among: "data", shared: true, ranks: size / experts, own: Math.floor(rank / experts) },
  ] as const;
  const buckets = kinds.flatMap(({ among, shared, ranks, own }): OwnBucket[] => {
    const indices = sent.filter((index) => parameters[index]!.shared === shared);
    if (indices.length === 0) return [];
    const layout = createLayout(
      indices.map((index) => parameters[index]!),
      { ranks, groups, bucketBytes },
    );
    const before = [...lengths];
    for (const [group, length] of layout.groups[own]!.entries()) lengths[group] = before[group]! + length;
    const named = <S extends { readonly parameter: number }>(stretch: S): S => ({
      ...stretch,
      parameter: indices[stretch.parameter]!,
    });
    return layout.buckets.map(({ part, stretches, pieces }) => ({
      among,
      part,
      stretches: stretches.map(named),
      pieces: pieces[own]!.map((piece) => ({ ...named(piece), place: before[piece.group]! + piece.place })),
    }));
  });
  const turnOf = new Map(sent.map((index, turn) => [index, turn]));
  const lastOf = ({ stretches }: OwnBucket): number =>
    Math.max(...stretches.map(({ parameter }) => turnOf.get(parameter)!));
  return { buckets: buckets.sort((a, b) => lastOf(a) - lastOf(b)), groups: lengths, sent };
}
