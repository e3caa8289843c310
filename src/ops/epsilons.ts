// Question: which epsilons mean the same in float32 as on paper?

/**
 * Throw unless a term that keeps from dividing by zero is 0 or a positive number of float32.
 *
 * @throws RangeError for a negative epsilon, and for one that float32 rounds to 0 or to infinity
 */
export function expectEpsilon(operation: string, epsilon: number): void {
  const rounded = Math.fround(epsilon);
  if (epsilon === 0 || (rounded > 0 && Number.isFinite(rounded))) return;
  throw new RangeError(
    `${operation}: epsilon is ${epsilon}; it must be 0, or from 1.4e-45 to 3.4e38, what float32 holds; 1e-6 is usual.`,
  );
}
