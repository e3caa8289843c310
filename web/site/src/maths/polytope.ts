// Question: how can the doubly stochastic 3 × 3 matrices be seen?
//
// They are the convex hull of the 6 permutation matrices (Birkhoff, von Neumann). Matrices whose rows and columns sum
// to zero have (n − 1)² = 4 dimensions, so the polytope is a solid of four dimensions around its centre J/3. An
// orthonormal basis of those four is the Kronecker product of an orthonormal basis of the sums to zero in R³ with
// itself. Turned so that axes 0 and 1 hold the even permutations and axes 2 and 3 the odd ones, the polytope is the
// hull of two equilateral triangles that lie in planes at right angles and share only their centre.
//
// A picture has two dimensions: the solid is turned in four, the fourth is left out (an orthogonal shadow), the third
// is drawn in perspective.

type Vector = readonly number[];

/** The six permutations of three, the even ones first; entry i is the column of the one in row i. */
export const permutations: readonly (readonly number[])[] = [
  [0, 1, 2],
  [1, 2, 0],
  [2, 0, 1],
  [0, 2, 1],
  [1, 0, 2],
  [2, 1, 0],
];

/** A permutation as a matrix [9], row-major. */
export const permutationMatrix = (permutation: readonly number[]): number[] =>
  permutation.flatMap((column) => [0, 1, 2].map((j) => (j === column ? 1 : 0)));

const dot = (a: Vector, b: Vector): number => a.reduce((sum, value, k) => sum + value * b[k]!, 0);
const centre = Array<number>(9).fill(1 / 3);

/** Four orthonormal directions: two of the plane of the even permutations, two of that of the odd ones. */
const basis: readonly Vector[] = [0, 3].flatMap((first) => {
  const fromCentre = (at: number): number[] =>
    permutationMatrix(permutations[at]!).map((value, k) => value - centre[k]!);
  const [a, b] = [fromCentre(first), fromCentre(first + 1)];
  const along = a.map((value) => value / Math.sqrt(dot(a, a)));
  const rest = b.map((value, k) => value - dot(b, along) * along[k]!);
  return [along, rest.map((value) => value / Math.sqrt(dot(rest, rest)))];
});

/** A matrix [9] in the four directions; what rows and columns miss of one is left out (the nearest point is taken). */
export function coordinates(matrix: ArrayLike<number>): number[] {
  const off = centre.map((value, k) => matrix[k]! - value);
  return basis.map((direction) => dot(off, direction));
}

/** Angles of the turn: two of the hand, in three dimensions, and one through the fourth. */
export interface Turn {
  readonly yaw: number;
  readonly pitch: number;
  readonly fourth: number;
}

/** A point as seen: x to the right, y downwards, in units of the polytope's size; nearer points have a larger depth. */
export interface Seen {
  readonly x: number;
  readonly y: number;
  readonly depth: number;
  /** What the shadow leaves out. */
  readonly hidden: number;
}

function turned(point: number[], i: number, j: number, angle: number): number[] {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return point.map((value, k) => (k === i ? c * value - s * point[j]! : k === j ? s * point[i]! + c * value : value));
}

/** How far the eye is from the centre, in the polytope's units. */
const EYE = 4.2;

/** A matrix as it is seen. */
export function seen(matrix: ArrayLike<number>, { yaw, pitch, fourth }: Turn): Seen {
  let at = coordinates(matrix);
  at = turned(turned(at, 2, 3, 0.5), 1, 3, fourth);
  at = turned(turned(at, 0, 2, yaw), 1, 2, pitch);
  const [x, y, z, hidden] = at as [number, number, number, number];
  const nearer = EYE / (EYE - z);
  return { x: x * nearer, y: -y * nearer, depth: z, hidden };
}

/** All pairs of vertices are edges of this polytope: fifteen. Of an even pair, an odd pair, or one of each. */
export const edges: readonly {
  readonly from: number;
  readonly to: number;
  readonly kind: "even" | "odd" | "between";
}[] = permutations.flatMap((_, from) =>
  permutations.flatMap((_to, to) =>
    to > from
      ? [{ from, to, kind: to < 3 ? ("even" as const) : from >= 3 ? ("odd" as const) : ("between" as const) }]
      : [],
  ),
);
