// Question: what is e^x of a softmax, at a speed that does not depend on what ran before?
//
//   x = n ln2 + r with |r| ≤ ln2 / 2 (Cody and Waite: ln2 in two parts),   e^x = 2^n Σ r^k / k!,  k ≤ 13
//
// Math.exp is the engine's own code, in instructions that many processors run some twenty times slower just after 256-bit
// ones, such as those of the WebAssembly kernels. JavaScript is compiled in the kernels' kind of instructions.

/** The first part has 32 bits, so that n times it is exact. */
const [LN2_HIGH, LN2_LOW] = [6.9314718036912382e-1, 1.9082149292705877e-10];
/** Added and taken away, it rounds to the nearest whole number. */
const ROUND = 1.5 * 2 ** 52;
/** Below it e^x is 0. */
const LOWEST = -745;
/** 2^-n. */
const POWERS = Float64Array.from({ length: 1077 }, (_, n) => 2 ** -n);

/** e^x for x ≤ 0, with a relative error below 3e-16. */
export function exponential(x: number): number {
  if (x < LOWEST) return 0;
  const n = x * Math.LOG2E + ROUND - ROUND;
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  let p = 1 / 6227020800;
  p = p * r + 1 / 479001600;
  p = p * r + 1 / 39916800;
  p = p * r + 1 / 3628800;
  p = p * r + 1 / 362880;
  p = p * r + 1 / 40320;
  p = p * r + 1 / 5040;
  p = p * r + 1 / 720;
  p = p * r + 1 / 120;
  p = p * r + 1 / 24;
  p = p * r + 1 / 6;
  p = p * r + 1 / 2;
  return (1 + (r + r * r * p)) * POWERS[-n]!;
}
