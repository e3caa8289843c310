// Question: how does a loop that needs large arrays again and again allocate none of them anew?
//
// Whoever is done with an array gives it back, and the next one who asks for that length gets it, with what it holds.

/** Arrays of float32 that are used again. */
export interface Pool {
  /** An array of so many numbers; what they are is chance. */
  take(length: number): Float32Array;
  /** Nobody may use the array any more. */
  give(values: Float32Array): void;
}

export function createPool(): Pool {
  const free = new Map<number, Float32Array[]>();
  return {
    take: (length) => free.get(length)?.pop() ?? new Float32Array(length),
    give(values) {
      const others = free.get(values.length);
      if (others) others.push(values);
      else free.set(values.length, [values]);
    },
  };
}
