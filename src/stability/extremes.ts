// Question: what is the largest number in a list that comes from a file and may hold anything, and how uneven is a list?

/** The largest number, or the smallest; undefined for a value that is no list or has no numbers. NaN counts as both. */
export function extreme(values: unknown, which: "largest" | "smallest" = "largest"): number | undefined {
  const numbers = (Array.isArray(values) ? (values as unknown[]) : []).filter((value) => typeof value === "number");
  if (numbers.length === 0) return undefined;
  return numbers.reduce(which === "largest" ? (a, b) => Math.max(a, b) : (a, b) => Math.min(a, b));
}

/** Of lists of counts, the largest ratio of a list's largest number to its mean; undefined where no list has any. */
export function imbalance(lists: unknown): number | undefined {
  const ratios = (Array.isArray(lists) ? (lists as unknown[]) : []).map((list) => {
    const largest = extreme(list);
    const sum = Array.isArray(list) ? list.reduce((total: number, each) => total + Number(each), 0) : NaN;
    return largest === undefined || !(sum > 0) ? NaN : (largest * (list as unknown[]).length) / sum;
  });
  return extreme(ratios.filter((ratio) => !Number.isNaN(ratio)));
}
