// Question: how large may the matrices be that eight tokens keep in a thread's scratch?

import { LANES, SCRATCH_BYTES } from "../constants.ts";

/** Values of eight lanes that the scratch holds. */
const VALUES = SCRATCH_BYTES / (4 * LANES);

/**
 * Throw unless matrices of n × n fit.
 *
 * @param matrices how many of them the kernel keeps at once
 */
export function expectRoom(operation: string, n: number, matrices: number): void {
  // With some rows to spare.
  const largest = Math.floor(Math.sqrt(VALUES / matrices)) - 2;
  if (n <= largest) return;
  throw new RangeError(
    `${operation}: matrices of ${n} × ${n}; the CPU runtime does ${largest} × ${largest} at most; use fewer streams.`,
  );
}
