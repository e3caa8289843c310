// Question: what are the coefficients of mHC, given a token's projections, and what flows back?
//
//   l = α_group p + b;  pre = σ(l_pre),  post = 2 σ(l_post),  res = Sinkhorn(l_res)
//   e = gradient of l:  dpre pre (1 − pre),  dpost post (1 − post / 2),  e_res as in sinkhorn.ts
//   dp = α_group e,  dα_group = Σ e p,  db = Σ e
//
// Eight tokens at a time, or two groups of eight (token-lanes.ts); M = n² + 2n.
//
// manifoldCoefficients          row-wise over tokens
// manifoldCoefficientsBackward  row-wise over tokens

import { ManifoldCoefficientsArguments, ManifoldCoefficientsBackwardArguments } from "./arguments";
import { sigmoid4 } from "./math";
import { pairStep, sinkhornBackwardLanes, sinkhornLanes } from "./sinkhorn";
import { affineCoefficients, affineCoefficientsBackward, foldLanes, gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

/** l → scale · σ(l) for n values, in place. */
function sigmoids(l: usize, scale: f32, n: i32): void {
  const factor = f32x4.splat(scale);
  for (let at: usize = 0; at < LANE_STEP * <usize>n; at += 16) {
    v128.store(l + at, f32x4.mul(factor, sigmoid4(v128.load(l + at))));
  }
}

/** dh → dh · h (1 − h / scale), in place, for n values h = scale · σ(l). */
function sigmoidsBackward(h: usize, dh: usize, scale: f32, n: i32): void {
  const inverse = f32x4.splat(1 / scale), one = f32x4.splat(1);
  for (let at: usize = 0; at < LANE_STEP * <usize>n; at += 16) {
    const value = v128.load(h + at);
    const slope = f32x4.mul(value, f32x4.sub(one, f32x4.mul(value, inverse)));
    v128.store(dh + at, f32x4.mul(v128.load(dh + at), slope));
  }
}

/** p of a group of tokens → the logits, with pre and post done. */
function beginGroup(p: usize, alpha: usize, bias: usize, n: i32, tokens: i32, q: usize, value: usize): void {
  gatherLanes(p, n * (n + 2), tokens, q);
  affineCoefficients(q, alpha, bias, n, value);
  sigmoids(value, 1, n);
  sigmoids(value + LANE_STEP * <usize>n, 2, n);
}

export function manifoldCoefficients(args: ManifoldCoefficientsArguments, begin: i32, end: i32, scratch: usize): void {
  const p = args.p, alpha = args.alpha, bias = args.bias, h = args.h;
  const n = args.n, iterations = args.iterations;
  const M = n * (n + 2), row = <usize>M << 2, res = LANE_STEP * <usize>(2 * n), room = scratch + LANE_STEP * <usize>M;
  const step = pairStep(M, n, iterations);
  for (let t = begin; t < end; t += LANES) {
    const tokens = min(LANES, end - t), apart = end - t > LANES ? step : 0;
    beginGroup(p + row * <usize>t, alpha, bias, n, tokens, scratch, scratch);
    if (apart != 0) beginGroup(p + row * <usize>(t + LANES), alpha, bias, n, min(LANES, end - t - LANES), scratch + apart, scratch + apart);
    sinkhornLanes(scratch + res, n, iterations, room, false, apart);
    scatterLanes(scratch, M, tokens, h + row * <usize>t);
    if (apart == 0) continue;
    t += LANES;
    scatterLanes(scratch + apart, M, min(LANES, end - t), h + row * <usize>t);
  }
}

export function manifoldCoefficientsBackward(args: ManifoldCoefficientsBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const p = args.p, alpha = args.alpha, bias = args.bias, dh = args.dh;
  const dp = args.dp, dalpha = args.dalphaPartials, dbias = args.dbiasPartials;
  const n = args.n, iterations = args.iterations, tile = <usize>(begin / args.tile);
  const M = n * (n + 2), row = <usize>M << 2, group = LANE_STEP * <usize>n, all = LANE_STEP * <usize>M;
  const biasSums = scratch, alphaSums = biasSums + all;
  const q = alphaSums + 3 * LANE_STEP, value = q + all, e = value + all, room = e + all;
  const step = pairStep(3 * M, n, iterations);
  memory.fill(biasSums, 0, all + 3 * LANE_STEP);
  for (let t = begin; t < end; t += LANES) {
    const apart = end - t > LANES ? step : 0;
    for (let other: usize = 0; other <= apart; other += step) {
      const first = other == 0 ? t : t + LANES, tokens = min(LANES, end - first);
      beginGroup(p + row * <usize>first, alpha, bias, n, tokens, q + other, value + other);
      gatherLanes(dh + row * <usize>first, M, tokens, e + other);
      sigmoidsBackward(value + other, e + other, 1, n);
      sigmoidsBackward(value + group + other, e + group + other, 2, n);
      if (step == 0) break;
    }
    sinkhornLanes(value + 2 * group, n, iterations, room, true, apart);
    sinkhornBackwardLanes(value + 2 * group, e + 2 * group, n, iterations, room, apart);
    affineCoefficientsBackward(e, q, alpha, n, biasSums, alphaSums);
    scatterLanes(e, M, min(LANES, end - t), dp + row * <usize>t);
    if (apart == 0) continue;
    t += LANES;
    affineCoefficientsBackward(e + apart, q + apart, alpha, n, biasSums, alphaSums);
    scatterLanes(e + apart, M, min(LANES, end - t), dp + row * <usize>t);
  }
  foldLanes(biasSums, M, dbias + (<usize>M << 2) * tile);
  foldLanes(alphaSums, 3, dalpha + 12 * tile);
}
