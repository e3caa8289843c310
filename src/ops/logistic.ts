// Question: what are the logistic function, silu and its slope, at both ends too, for references?
//
//   σ(x) = 1 / (1 + e^−x),  silu(x) = x σ(x),  silu'(x) = σ(x) (1 + x (1 − σ(x)))
//
// Where x is infinite the formulas say ∞ · 0, and these say the limit.

export function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

export function siluValue(x: number): number {
  return x === -Infinity ? 0 : x * logistic(x);
}

export function siluSlope(x: number): number {
  return Math.abs(x) === Infinity ? logistic(x) : logistic(x) * (1 + x * (1 - logistic(x)));
}
