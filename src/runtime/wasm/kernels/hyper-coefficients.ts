// Question: what are the coefficients of HC, given the projections of a token's streams, and what flows back?
//
//   h_kj = α_group t_jk + b_kj,  t = tanh(p) (or p without it)
//   dp_jk = α_group dh_kj (1 − t_jk²),  dα_group = Σ dh t,  db = Σ dh
//
// A token's p is [n, n + 2], its h [n + 2, n]: the transpose is a matter of where a lane is stored
// (token-lanes.ts). M = n (n + 2).
//
// hyperCoefficients          row-wise over tokens
// hyperCoefficientsBackward  row-wise over tokens

import { HyperCoefficientsArguments, HyperCoefficientsBackwardArguments } from "./arguments";
import { tanh4 } from "./math";
import { affineCoefficients, affineCoefficientsBackward, foldLanes, gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

/** from [rows, columns] lanes to their transpose in `to`. */
function transposeLanes(from: usize, rows: i32, columns: i32, to: usize): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) memory.copy(to + LANE_STEP * <usize>(j * rows + i), from + LANE_STEP * <usize>(i * columns + j), LANE_STEP);
  }
}

/** The projections of a group of tokens in the order of h, bent. `work` is used up. */
function bentProjections(p: usize, n: i32, bend: i32, tokens: i32, work: usize, t: usize): void {
  const M = n * (n + 2);
  gatherLanes(p, M, tokens, work);
  transposeLanes(work, n, n + 2, t);
  if (!bend) return;
  for (let at: usize = 0; at < LANE_STEP * <usize>M; at += 16) v128.store(t + at, tanh4(v128.load(t + at)));
}

export function hyperCoefficients(args: HyperCoefficientsArguments, begin: i32, end: i32, scratch: usize): void {
  const p = args.p, alpha = args.alpha, bias = args.bias, h = args.h;
  const n = args.n, bend = args.tanh;
  const M = n * (n + 2);
  const t = scratch + LANE_STEP * <usize>M;
  for (let token = begin; token < end; token += LANES) {
    const tokens = min(LANES, end - token), at = <usize>(token * M) << 2;
    bentProjections(p + at, n, bend, tokens, scratch, t);
    affineCoefficients(t, alpha, bias, n, t);
    scatterLanes(t, M, tokens, h + at);
  }
}

export function hyperCoefficientsBackward(args: HyperCoefficientsBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const p = args.p, alpha = args.alpha, dh = args.dh;
  const dp = args.dp, dalpha = args.dalphaPartials, dbias = args.dbiasPartials;
  const n = args.n, bend = args.tanh, tile = <usize>(begin / args.tile);
  const M = n * (n + 2), all = LANE_STEP * <usize>M;
  const work = scratch, t = work + all, e = t + all, biasSums = e + all, alphaSums = biasSums + all;
  memory.fill(biasSums, 0, all + 3 * LANE_STEP);
  const one = f32x4.splat(1);
  for (let token = begin; token < end; token += LANES) {
    const tokens = min(LANES, end - token), at = <usize>(token * M) << 2;
    bentProjections(p + at, n, bend, tokens, work, t);
    gatherLanes(dh + at, M, tokens, e);
    affineCoefficientsBackward(e, t, alpha, n, biasSums, alphaSums);
    for (let i: usize = 0; bend && i < all; i += 16) {
      const bent = v128.load(t + i);
      v128.store(e + i, f32x4.mul(v128.load(e + i), f32x4.sub(one, f32x4.mul(bent, bent))));
    }
    transposeLanes(e, n + 2, n, work);
    scatterLanes(work, M, tokens, dp + at);
  }
  foldLanes(biasSums, M, dbias + (<usize>M << 2) * tile);
  foldLanes(alphaSums, 3, dalpha + 12 * tile);
}
