// Question: how are the matrices of eight tokens with four streams made doubly stochastic, fast?
//
// After t steps Sinkhorn-Knopp has P = diag(u) K diag(v): it is enough to follow the two scalings,
//
//   v_j = 1 / Σ_i K_ij u_i,   u_i = 1 / Σ_j K_ij v_j
//
// 16 multiply-adds and four divisions, where dividing the matrix itself also loads and stores it. K is the
// result of one step done in place: its rows sum to one and its columns to 1/16 at least, so that u and v can
// only grow by a factor of 4 a step; every FOUR_STEPS steps they are multiplied into K.
//
// Backward, with G = P dP the gradient of log P, a of log u and b of log v:
//
//   a_i = Σ_j G_ij,  b_j = Σ_i G_ij                            at the end
//   w = a u,  b_j ← b_j − v_j Σ_i K_ij w_i,  M_ij += w_i v_j   through the rows of a step
//   z = b v,  a_i ← −u_i Σ_j K_ij z_j,  b ← 0,  M_ij += u_i z_j   through its columns; u of the step before
//   G ← G − K M                                                at the start: the gradient of log K
//
// Lanes (token-lanes.ts): 16 entries of K, then four each of u and v. The room holds, for the way back, the
// sums of the first step (8), then for each block K (16), u = 1 (4), and v (4) and u (4) of every step;
// behind them lies what the backward pass works with.

import { FOUR_STEPS } from "../constants";
import { fma } from "./simd";
import { normaliseLines, unnormaliseLines } from "./sinkhorn-lines";
import { LANE_STEP } from "./token-lanes";

const FOUR: usize = 4 * LANE_STEP;
const MATRIX: usize = 16 * LANE_STEP;
const BLOCK_BYTES: usize = MATRIX + FOUR + 2 * FOUR * <usize>FOUR_STEPS;

/** Bytes of the room for so many iterations, the way back included. */
export function roomBytes(iterations: i32): usize {
  return 2 * FOUR + BLOCK_BYTES * <usize>((iterations + FOUR_STEPS - 1) / FOUR_STEPS) + 6 * FOUR + MATRIX;
}

/**
 * exp(L) → result, in place; `iterations` is at least 1. Each step waits for the one before, so a second
 * group of eight tokens, whose matrix and room lie `apart` bytes behind the first's, takes half the time; 0: none.
 */
export function sinkhornFour(matrix: usize, iterations: i32, room: usize, keep: bool, apart: usize): void {
  let other: usize = 0;
  do {
    normaliseLines(matrix + other, FOUR, LANE_STEP, 4, keep ? room + other : 0, 0, 0);
    normaliseLines(matrix + other, LANE_STEP, FOUR, 4, keep ? room + FOUR + other : 0, 0, 0);
    other += apart;
  } while (other == apart && apart != 0);
  let at = room + 2 * FOUR;
  for (let left = iterations - 1; left > 0; left -= FOUR_STEPS) {
    const steps = min(FOUR_STEPS, left);
    if (keep) {
      copyMatrix(matrix, at);
      if (apart != 0) copyMatrix(matrix + apart, at + apart);
      at += MATRIX;
    }
    let u = at, v = at + FOUR;
    fillLanes(u, 1, FOUR);
    if (apart != 0) fillLanes(u + apart, 1, FOUR);
    for (let t = 0; t < steps; t++) {
      invert(matrix, LANE_STEP, FOUR, u, v);
      if (apart != 0) invert(matrix + apart, LANE_STEP, FOUR, u + apart, v + apart);
      if (keep) u = v + FOUR;
      invert(matrix, FOUR, LANE_STEP, v, u);
      if (apart != 0) invert(matrix + apart, FOUR, LANE_STEP, v + apart, u + apart);
      if (keep && t + 1 < steps) v = u + FOUR;
    }
    if (keep) at = u + FOUR;
    absorb(matrix, u, v);
    if (apart != 0) absorb(matrix + apart, u + apart, v + apart);
  }
}

/** result and g = P dP → gradient of L (in `g`), from what sinkhornFour kept; the result is used up. */
export function sinkhornFourBackward(matrix: usize, g: usize, iterations: i32, room: usize, apart: usize): void {
  const blocks = (iterations - 1 + FOUR_STEPS - 1) / FOUR_STEPS;
  const first = room + 2 * FOUR;
  const work = first + BLOCK_BYTES * <usize>blocks;
  for (let block = blocks - 1; block >= 0; block--) {
    const K = first + BLOCK_BYTES * <usize>block;
    blockBackward(K, g, min(FOUR_STEPS, iterations - 1 - block * FOUR_STEPS), K + MATRIX, work, apart);
    copyMatrix(K, matrix);
    if (apart != 0) copyMatrix(K + apart, matrix + apart);
  }
  let other: usize = 0;
  do {
    unnormaliseLines(matrix + other, g + other, LANE_STEP, FOUR, 4, room + FOUR + other, 0);
    unnormaliseLines(matrix + other, g + other, FOUR, LANE_STEP, 4, room + other, 0);
    other += apart;
  } while (other == apart && apart != 0);
}

function blockBackward(K: usize, g: usize, steps: i32, scalings: usize, work: usize, apart: usize): void {
  const a = work, sums = a + FOUR, b = sums + FOUR, w = b + FOUR, z = w + FOUR, nothing = z + FOUR, M = nothing + FOUR;
  begin(g, a, sums, nothing);
  if (apart != 0) begin(g + apart, a + apart, sums + apart, nothing + apart);
  let base = sums;
  let u = scalings + 2 * FOUR * <usize>steps;
  for (let t = steps; t > 0; t--) {
    const v = u - FOUR, before = v - FOUR;
    multiply(a, u, w);
    if (apart != 0) multiply(a + apart, u + apart, w + apart);
    pull(K, LANE_STEP, FOUR, w, v, base, b);
    if (apart != 0) pull(K + apart, LANE_STEP, FOUR, w + apart, v + apart, base + apart, b + apart);
    multiply(b, v, z);
    if (apart != 0) multiply(b + apart, v + apart, z + apart);
    pull(K, FOUR, LANE_STEP, z, before, nothing, a);
    if (apart != 0) pull(K + apart, FOUR, LANE_STEP, z + apart, before + apart, nothing + apart, a + apart);
    addProducts(w, v, before, z, M);
    if (apart != 0) addProducts(w + apart, v + apart, before + apart, z + apart, M + apart);
    base = nothing;
    u = before;
  }
  subtractProducts(K, M, g);
  if (apart != 0) subtractProducts(K + apart, M + apart, g + apart);
}

/** The gradients of log u and log v at the end, and zeros for what is added up. */
function begin(g: usize, a: usize, sums: usize, nothing: usize): void {
  addLines(g, LANE_STEP, FOUR, a);
  addLines(g, FOUR, LANE_STEP, sums);
  fillLanes(nothing, 0, FOUR + MATRIX);
}

/** g −= K M. */
function subtractProducts(K: usize, M: usize, g: usize): void {
  for (let at: usize = 0; at < MATRIX; at += 16) {
    v128.store(g + at, f32x4.sub(v128.load(g + at), f32x4.mul(v128.load(K + at), v128.load(M + at))));
  }
}

/** Σ_k K_k from_k along a line, for the first four tokens and (sumHigh) for the others; offsets must be literals. */
@inline
function sumLow(K: usize, step: usize, from: usize): v128 {
  return f32x4.add(
    fma(v128.load(K), v128.load(from), f32x4.mul(v128.load(K + step), v128.load(from, 32))),
    fma(v128.load(K + 2 * step), v128.load(from, 64), f32x4.mul(v128.load(K + 3 * step), v128.load(from, 96))),
  );
}

@inline
function sumHigh(K: usize, step: usize, from: usize): v128 {
  return f32x4.add(
    fma(v128.load(K, 16), v128.load(from, 16), f32x4.mul(v128.load(K + step, 16), v128.load(from, 48))),
    fma(v128.load(K + 2 * step, 16), v128.load(from, 80), f32x4.mul(v128.load(K + 3 * step, 16), v128.load(from, 112))),
  );
}

/** to_l = 1 / Σ_k K[l, k] from_k; `line` leads from line to line of K, `step` along one. */
function invert(K: usize, line: usize, step: usize, from: usize, to: usize): void {
  const one = f32x4.splat(1);
  for (let l: usize = 0; l < FOUR; l += LANE_STEP) {
    const low = f32x4.div(one, sumLow(K, step, from)), high = f32x4.div(one, sumHigh(K, step, from));
    v128.store(to + l, low);
    v128.store(to + l, high, 16);
    K += line;
  }
}

/** to_l = base_l − scale_l Σ_k K[l, k] from_k. */
function pull(K: usize, line: usize, step: usize, from: usize, scale: usize, base: usize, to: usize): void {
  for (let l: usize = 0; l < FOUR; l += LANE_STEP) {
    const low = f32x4.sub(v128.load(base + l), f32x4.mul(v128.load(scale + l), sumLow(K, step, from)));
    const high = f32x4.sub(v128.load(base + l, 16), f32x4.mul(v128.load(scale + l, 16), sumHigh(K, step, from)));
    v128.store(to + l, low);
    v128.store(to + l, high, 16);
    K += line;
  }
}

/** M_ij += w_i v_j + u_i z_j. */
function addProducts(w: usize, v: usize, u: usize, z: usize, M: usize): void {
  for (let i: usize = 0; i < FOUR; i += LANE_STEP) {
    const wl = v128.load(w + i), wh = v128.load(w + i, 16), ul = v128.load(u + i), uh = v128.load(u + i, 16);
    for (let j: usize = 0; j < FOUR; j += LANE_STEP) {
      const low = fma(ul, v128.load(z + j), fma(wl, v128.load(v + j), v128.load(M + j)));
      const high = fma(uh, v128.load(z + j, 16), fma(wh, v128.load(v + j, 16), v128.load(M + j, 16)));
      v128.store(M + j, low);
      v128.store(M + j, high, 16);
    }
    M += FOUR;
  }
}

/** K_ij ← u_i K_ij v_j. */
function absorb(K: usize, u: usize, v: usize): void {
  for (let i: usize = 0; i < FOUR; i += LANE_STEP) {
    const low = v128.load(u + i), high = v128.load(u + i, 16);
    for (let j: usize = 0; j < FOUR; j += LANE_STEP) {
      const a = f32x4.mul(f32x4.mul(v128.load(K), v128.load(v + j)), low);
      const b = f32x4.mul(f32x4.mul(v128.load(K, 16), v128.load(v + j, 16)), high);
      v128.store(K, a);
      v128.store(K, b, 16);
      K += LANE_STEP;
    }
  }
}

/** sums_l = Σ_k g[l, k]. */
function addLines(g: usize, step: usize, line: usize, sums: usize): void {
  for (let l: usize = 0; l < FOUR; l += LANE_STEP) {
    const low = f32x4.add(f32x4.add(v128.load(g), v128.load(g + step)), f32x4.add(v128.load(g + 2 * step), v128.load(g + 3 * step)));
    const high = f32x4.add(
      f32x4.add(v128.load(g, 16), v128.load(g + step, 16)), f32x4.add(v128.load(g + 2 * step, 16), v128.load(g + 3 * step, 16)),
    );
    v128.store(sums + l, low);
    v128.store(sums + l, high, 16);
    g += line;
  }
}

@inline
function multiply(a: usize, b: usize, out: usize): void {
  for (let at: usize = 0; at < FOUR; at += 16) v128.store(out + at, f32x4.mul(v128.load(a + at), v128.load(b + at)));
}

@inline
function fillLanes(out: usize, value: f32, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 16) v128.store(out + at, f32x4.splat(value));
}

@inline
function copyMatrix(from: usize, to: usize): void {
  for (let at: usize = 0; at < MATRIX; at += 16) v128.store(to + at, v128.load(from + at));
}
