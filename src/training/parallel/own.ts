// Question: which of the tensors that all ranks have does each of them save?
//
// All of them lie in one row; a rank saves those whose middle is in its part of the row, so that each writes about as
// many bytes, and tensors stay whole.

/** The items of this rank, in their order. */
export function ownOf<T>(
  items: readonly T[],
  sizeOf: (item: T) => number,
  { rank, size }: { readonly rank: number; readonly size: number },
): T[] {
  const total = items.reduce((sum, item) => sum + sizeOf(item), 0);
  let before = 0;
  return items.filter((item) => {
    const middle = before + sizeOf(item) / 2;
    before += sizeOf(item);
    return Math.min(size - 1, Math.floor((middle / total) * size)) === rank;
  });
}
