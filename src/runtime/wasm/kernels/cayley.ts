// Question: which rotations do the logits of eight tokens stand for, and what flows back?
//
//   Q = 2X − I,  X = (I + A)⁻¹, A skew-symmetric with the logits above its diagonal
//   dA = −½ YᵀGYᵀ, Y = Q + I;  dlogit = dA_ij − dA_ji
//
// As in ops/cayley.ts; eight matrices at a time (token-lanes.ts): entry i, j at [i m + j]. Those of large logits are
// done once more in float64.
//
// cayley          row-wise over matrices
// cayleyBackward  row-wise over matrices

import { CayleyArguments, CayleyBackwardArguments } from "./arguments";
import { fma } from "./simd";
import { gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

/** I + A by the lanes of its logits. */
function onePlusSkew(logits: usize, m: i32, matrix: usize): void {
  const down = LANE_STEP * <usize>m, one = f32x4.splat(1);
  for (let i = 0; i < m; i++) {
    let right = matrix + (down + LANE_STEP) * <usize>i, below = right;
    v128.store(right, one);
    v128.store(right, one, 16);
    for (let j = i + 1; j < m; j++) {
      right += LANE_STEP;
      below += down;
      const low = v128.load(logits), high = v128.load(logits, 16);
      v128.store(right, low);
      v128.store(right, high, 16);
      v128.store(below, f32x4.neg(low));
      v128.store(below, f32x4.neg(high), 16);
      logits += LANE_STEP;
    }
  }
}

/** Gauss-Jordan in place, without pivoting. */
function invert(x: usize, m: i32): void {
  const down = LANE_STEP * <usize>m, one = f32x4.splat(1), zero = f32x4.splat(0);
  for (let k = 0; k < m; k++) {
    const pivotRow = x + down * <usize>k, own = LANE_STEP * <usize>k;
    const pivotLow = f32x4.div(one, v128.load(pivotRow + own)), pivotHigh = f32x4.div(one, v128.load(pivotRow + own, 16));
    v128.store(pivotRow + own, one);
    v128.store(pivotRow + own, one, 16);
    for (let j: usize = 0; j < down; j += LANE_STEP) {
      const low = f32x4.mul(v128.load(pivotRow + j), pivotLow), high = f32x4.mul(v128.load(pivotRow + j, 16), pivotHigh);
      v128.store(pivotRow + j, low);
      v128.store(pivotRow + j, high, 16);
    }
    for (let row = x; row < x + down * <usize>m; row += down) {
      if (row === pivotRow) continue;
      const low = f32x4.neg(v128.load(row + own)), high = f32x4.neg(v128.load(row + own, 16));
      v128.store(row + own, zero);
      v128.store(row + own, zero, 16);
      for (let j: usize = 0; j < down; j += LANE_STEP) {
        const a = fma(low, v128.load(pivotRow + j), v128.load(row + j));
        const b = fma(high, v128.load(pivotRow + j, 16), v128.load(row + j, 16));
        v128.store(row + j, a);
        v128.store(row + j, b, 16);
      }
    }
  }
}

/** out_ij = Σ_k a_ik b_kj; the next row of a, and the next k, are `aRow` and `aStep` bytes away, for b `bStep` and `bColumn`. */
function multiply(a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, bColumn: usize, m: i32, out: usize): void {
  for (let i = 0; i < m; i++) {
    let column = b;
    for (let j = 0; j < m; j++) {
      let left = a, right = column;
      let low = f32x4.splat(0), high = f32x4.splat(0);
      for (let k = 0; k < m; k++) {
        low = fma(v128.load(left), v128.load(right), low);
        high = fma(v128.load(left, 16), v128.load(right, 16), high);
        left += aStep;
        right += bStep;
      }
      v128.store(out, low);
      v128.store(out, high, 16);
      out += LANE_STEP;
      column += bColumn;
    }
    a += aRow;
  }
}

/** Add one to the diagonal, or `value`. */
function addDiagonal(matrix: usize, m: i32, value: f32): void {
  const next = LANE_STEP * <usize>(m + 1), one = f32x4.splat(value);
  for (let i = 0; i < m; i++) {
    v128.store(matrix, f32x4.add(v128.load(matrix), one));
    v128.store(matrix, f32x4.add(v128.load(matrix, 16), one), 16);
    matrix += next;
  }
}

/** From here on 1 + a² has lost too much of the 1 in float32. */
const LARGE: f32 = 512;
/** And from here on in float64. */
const MOST: f32 = 1e10;

/** The largest magnitude of a lane of a matrix. */
function largestOfLane(matrix: usize, size: i32): f32 {
  let most: f32 = 0;
  for (let i = 0; i < size; i++) most = max<f32>(most, abs<f32>(load<f32>(matrix + LANE_STEP * <usize>i)));
  return most;
}

/** Q of one lane of I + A, in float64 with the largest of a column as its pivot. `work` holds 2 m² doubles. */
function cayleyWide(matrix: usize, m: i32, work: usize, out: usize): void {
  const down = <usize>m << 4, half = <usize>m << 3;
  for (let i = 0; i < m; i++) {
    const row = work + down * <usize>i;
    memory.fill(row + half, 0, half);
    store<f64>(row + half + (<usize>i << 3), 1);
    for (let j = 0; j < m; j++) store<f64>(row + (<usize>j << 3), <f64>load<f32>(matrix + LANE_STEP * <usize>(i * m + j)));
  }
  const end = work + down * <usize>m;
  for (let k = 0; k < m; k++) {
    const column = <usize>k << 3, pivotRow = work + down * <usize>k;
    let best = pivotRow;
    for (let row = pivotRow + down; row < end; row += down) {
      if (abs<f64>(load<f64>(row + column)) > abs<f64>(load<f64>(best + column))) best = row;
    }
    const pivot = load<f64>(best + column);
    for (let j: usize = 0; j < down; j += 8) {
      const value = load<f64>(best + j) / pivot;
      store<f64>(best + j, load<f64>(pivotRow + j));
      store<f64>(pivotRow + j, value);
    }
    for (let row = work; row < end; row += down) {
      const factor = load<f64>(row + column);
      for (let j: usize = 0; row != pivotRow && j < down; j += 8) {
        store<f64>(row + j, load<f64>(row + j) - factor * load<f64>(pivotRow + j));
      }
    }
  }
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) {
      const x = load<f64>(work + down * <usize>i + half + (<usize>j << 3));
      store<f32>(out + LANE_STEP * <usize>(i * m + j), <f32>(2 * x - (i == j ? 1.0 : 0.0)));
    }
  }
}

/** Q of the lanes with large logits once more. */
function largeLanes(matrix: usize, m: i32, work: usize, q: usize): void {
  for (let lane: usize = 0; lane < <usize>LANES << 2; lane += 4) {
    const most = largestOfLane(matrix + lane, m * m);
    if (most > MOST) {
      for (let i = 0; i < m * m; i++) store<f32>(q + lane + LANE_STEP * <usize>i, NaN);
    } else if (most > LARGE) cayleyWide(matrix + lane, m, work, q + lane);
  }
}

/** Whether a lane of the matrices holds more than LARGE. */
function anyLarge(matrix: usize, bytes: usize): bool {
  const limit = f32x4.splat(LARGE);
  let large = f32x4.splat(0);
  for (let at: usize = 0; at < bytes; at += 16) large = v128.or(large, f32x4.gt(f32x4.abs(v128.load(matrix + at)), limit));
  return v128.any_true(large);
}

export function cayley(args: CayleyArguments, begin: i32, end: i32, scratch: usize): void {
  const logits = args.logits, out = args.q;
  const m = args.m, size = m * m, count = (m * (m - 1)) >> 1;
  const across = LANE_STEP, down = LANE_STEP * <usize>m, all = down * <usize>m;
  const matrix = scratch, x = matrix + all, work = x + all, correction = work + all;
  const two = f32x4.splat(2);
  for (let r = begin; r < end; r += LANES) {
    const rows = min(LANES, end - r);
    gatherLanes(logits + (<usize>(r * count) << 2), count, rows, work);
    onePlusSkew(work, m, matrix);
    memory.copy(x, matrix, all);
    invert(x, m);
    multiply(matrix, down, across, x, down, across, m, work);
    multiply(x, down, across, work, down, across, m, correction);
    for (let at: usize = 0; at < all; at += 16) {
      // Q = 2 (2X − XMX) − I.
      const newton = f32x4.sub(f32x4.mul(two, v128.load(x + at)), v128.load(correction + at));
      v128.store(x + at, f32x4.mul(two, newton));
    }
    addDiagonal(x, m, -1);
    if (anyLarge(matrix, all)) largeLanes(matrix, m, work, x);
    scatterLanes(x, size, rows, out + (<usize>(r * size) << 2));
  }
}

export function cayleyBackward(args: CayleyBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const q = args.q, g = args.g, dlogits = args.dlogits;
  const m = args.m, size = m * m, count = (m * (m - 1)) >> 1;
  const across = LANE_STEP, down = LANE_STEP * <usize>m, all = down * <usize>m;
  const y = scratch, gradient = y + all, work = gradient + all;
  const minusHalf = f32x4.splat(-0.5);
  for (let r = begin; r < end; r += LANES) {
    const rows = min(LANES, end - r), at = <usize>(r * size) << 2;
    gatherLanes(q + at, size, rows, y);
    gatherLanes(g + at, size, rows, gradient);
    addDiagonal(y, m, 1);
    multiply(y, across, down, gradient, down, across, m, work);
    multiply(work, down, across, y, across, down, m, gradient);
    let to = work;
    for (let i = 0; i < m; i++) {
      let right = gradient + (down + across) * <usize>i, below = right;
      for (let j = i + 1; j < m; j++) {
        right += across;
        below += down;
        const low = f32x4.sub(v128.load(right), v128.load(below)), high = f32x4.sub(v128.load(right, 16), v128.load(below, 16));
        v128.store(to, f32x4.mul(minusHalf, low));
        v128.store(to, f32x4.mul(minusHalf, high), 16);
        to += LANE_STEP;
      }
    }
    scatterLanes(work, count, rows, dlogits + (<usize>(r * count) << 2));
  }
}
