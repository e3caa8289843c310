// Question: how do eight tokens share one vector operation?
//
// The coefficients of a token are a few dozen numbers with a formula of their own each, so the tokens
// are what runs in parallel: value m of eight tokens lies together, [count][8] floats, and every formula
// is written once for two v128. A group of fewer than eight tokens is filled up with zeros.

import { LANES } from "../constants";
import { fma, horizontalSum } from "./simd";

export { LANES };
/** Bytes from one value's lanes to the next's. */
export const LANE_STEP: usize = 32;

/** Rows [tokens <= 8, count] into lanes [count][8]. */
export function gatherLanes(rows: usize, count: i32, tokens: i32, lanes: usize): void {
  if (tokens < LANES) memory.fill(lanes, 0, LANE_STEP * <usize>count);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    let to = lanes + (t << 2);
    for (let m = 0; m < count; m++) {
      store<f32>(to, load<f32>(rows));
      rows += 4;
      to += LANE_STEP;
    }
  }
}

/** Lanes [count][8] into rows [tokens <= 8, count]. */
export function scatterLanes(lanes: usize, count: i32, tokens: i32, rows: usize): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    let from = lanes + (t << 2);
    for (let m = 0; m < count; m++) {
      store<f32>(rows, load<f32>(from));
      rows += 4;
      from += LANE_STEP;
    }
  }
}

/** out = α_group q + bias for the M = n² + 2n values of the groups pre (n), post (n), res (n²); out may be q. */
export function affineCoefficients(q: usize, alpha: usize, bias: usize, n: i32, out: usize): void {
  const group = LANE_STEP * <usize>n, floats = <usize>n << 2;
  affine(q, alpha, bias, n, out);
  affine(q + group, alpha + 4, bias + floats, n, out + group);
  affine(q + 2 * group, alpha + 8, bias + 2 * floats, n * n, out + 2 * group);
}

function affine(q: usize, scale: usize, bias: usize, count: i32, out: usize): void {
  const s = v128.load32_splat(scale);
  for (let m = 0; m < count; m++) {
    const b = v128.load32_splat(bias);
    const low = fma(s, v128.load(q), b), high = fma(s, v128.load(q, 16), b);
    v128.store(out, low);
    v128.store(out, high, 16);
    q += LANE_STEP;
    out += LANE_STEP;
    bias += 4;
  }
}

/**
 * The way back through affineCoefficients: e, the gradient of its result, becomes that of q in place;
 * biasSums [M] and alphaSums [3] take up e and e q, lane by lane.
 */
export function affineCoefficientsBackward(e: usize, q: usize, alpha: usize, n: i32, biasSums: usize, alphaSums: usize): void {
  const group = LANE_STEP * <usize>n;
  affineBackward(e, q, alpha, n, biasSums, alphaSums);
  affineBackward(e + group, q + group, alpha + 4, n, biasSums + group, alphaSums + LANE_STEP);
  affineBackward(e + 2 * group, q + 2 * group, alpha + 8, n * n, biasSums + 2 * group, alphaSums + 2 * LANE_STEP);
}

function affineBackward(e: usize, q: usize, scale: usize, count: i32, biasSums: usize, scaleSum: usize): void {
  const s = v128.load32_splat(scale);
  let low = v128.load(scaleSum), high = v128.load(scaleSum, 16);
  for (let m = 0; m < count; m++) {
    const a = v128.load(e), b = v128.load(e, 16);
    low = fma(a, v128.load(q), low);
    high = fma(b, v128.load(q, 16), high);
    const c = f32x4.add(v128.load(biasSums), a), d = f32x4.add(v128.load(biasSums, 16), b);
    v128.store(e, f32x4.mul(s, a));
    v128.store(e, f32x4.mul(s, b), 16);
    v128.store(biasSums, c);
    v128.store(biasSums, d, 16);
    e += LANE_STEP;
    q += LANE_STEP;
    biasSums += LANE_STEP;
  }
  v128.store(scaleSum, low);
  v128.store(scaleSum, high, 16);
}

/** Add up the eight lanes of `count` sums: out[m] = Σ lanes[m]. */
export function foldLanes(lanes: usize, count: i32, out: usize): void {
  for (let m = 0; m < count; m++) {
    store<f32>(out, horizontalSum(f32x4.add(v128.load(lanes), v128.load(lanes, 16))));
    lanes += LANE_STEP;
    out += 4;
  }
}
