// Question: what is the largest number in a list that comes from a file and may hold anything?

/** The largest number, or the smallest; undefined for a value that is no list or has no numbers. NaN counts as both. */
export function extreme(values: unknown, which: "largest" | "smallest" = "largest"): number | undefined {
  const numbers = (Array.isArray(values) ? (values as unknown[]) : []).filter((value) => typeof value === "number");
  if (numbers.length === 0) return undefined;
  return numbers.reduce(which === "largest" ? (a, b) => Math.max(a, b) : (a, b) => Math.min(a, b));
}
