// Question: what is the gradient of the logits of doubly stochastic matrices, given the matrices?
//
//   f_jk = Σ_i R_ij R_ik (G_ij − G_ik),  x: the shifts of the columns (column-graph.ts)
//   dL_ij = R_ij Σ_k R_ik (H_ij − H_ik),  H = G − 1xᵀ
//
// As in ops/sinkhorn-implicit.ts; eight matrices at a time (token-lanes.ts).
//
// entropicBackward  row-wise over matrices

import { EntropicBackwardArguments } from "./arguments";
import { eliminateColumns, solveColumns } from "./column-graph";
import { fma } from "./simd";
import { gatherLanes, LANE_STEP, LANES, scatterLanes } from "./token-lanes";

/** f_jk = Σ_i R_ij R_ik (G_ij − G_ik) for j < k, and the weights w_jk. */
function columnFlows(r: usize, g: usize, n: i32, w: usize, f: usize): void {
  const down = LANE_STEP * <usize>n, across = g - r;
  for (let j = 0; j < n; j++) {
    for (let k = j + 1; k < n; k++) {
      let a = r + LANE_STEP * <usize>j, b = r + LANE_STEP * <usize>k;
      let weightLow = f32x4.splat(0), weightHigh = weightLow, flowLow = weightLow, flowHigh = weightLow;
      for (let i = 0; i < n; i++) {
        const low = f32x4.mul(v128.load(a), v128.load(b)), high = f32x4.mul(v128.load(a, 16), v128.load(b, 16));
        const apartLow = f32x4.sub(v128.load(a + across), v128.load(b + across));
        const apartHigh = f32x4.sub(v128.load(a + across, 16), v128.load(b + across, 16));
        weightLow = f32x4.add(weightLow, low);
        weightHigh = f32x4.add(weightHigh, high);
        flowLow = fma(low, apartLow, flowLow);
        flowHigh = fma(high, apartHigh, flowHigh);
        a += down;
        b += down;
      }
      const at = down * <usize>j + LANE_STEP * <usize>k;
      v128.store(w + at, weightLow);
      v128.store(w + at, weightHigh, 16);
      v128.store(f + at, flowLow);
      v128.store(f + at, flowHigh, 16);
    }
  }
}

/** out_ij = R_ij Σ_k R_ik (H_ij − H_ik). */
function softmaxBackward(r: usize, h: usize, n: i32, out: usize): void {
  const down = LANE_STEP * <usize>n;
  for (let i = 0; i < n; i++) {
    for (let j: usize = 0; j < down; j += LANE_STEP) {
      const hLow = v128.load(h + j), hHigh = v128.load(h + j, 16);
      let low = f32x4.splat(0), high = low;
      for (let k: usize = 0; k < down; k += LANE_STEP) {
        low = fma(v128.load(r + k), f32x4.sub(hLow, v128.load(h + k)), low);
        high = fma(v128.load(r + k, 16), f32x4.sub(hHigh, v128.load(h + k, 16)), high);
      }
      const a = f32x4.mul(low, v128.load(r + j)), b = f32x4.mul(high, v128.load(r + j, 16));
      v128.store(out + j, a);
      v128.store(out + j, b, 16);
    }
    r += down;
    h += down;
    out += down;
  }
}

/** G ← G − 1xᵀ. */
function subtractColumns(g: usize, x: usize, n: i32): void {
  const rowBytes = LANE_STEP * <usize>n;
  for (let i = 0; i < n; i++) {
    for (let j: usize = 0; j < rowBytes; j += LANE_STEP) {
      const low = f32x4.sub(v128.load(g + j), v128.load(x + j)), high = f32x4.sub(v128.load(g + j, 16), v128.load(x + j, 16));
      v128.store(g + j, low);
      v128.store(g + j, high, 16);
    }
    g += rowBytes;
  }
}

export function entropicBackward(args: EntropicBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const r = args.r, g = args.g, dlogits = args.dlogits;
  const n = args.n, size = n * n;
  const all = LANE_STEP * <usize>size;
  const matrix = scratch, gradient = matrix + all, work = gradient + all, flows = work + all, x = flows + all;
  for (let m = begin; m < end; m += LANES) {
    const count = min(LANES, end - m), at = <usize>(m * size) << 2;
    gatherLanes(r + at, size, count, matrix);
    gatherLanes(g + at, size, count, gradient);
    columnFlows(matrix, gradient, n, work, flows);
    eliminateColumns(work, flows, n);
    solveColumns(work, flows, n, x);
    subtractColumns(gradient, x, n);
    softmaxBackward(matrix, gradient, n, work);
    scatterLanes(work, size, count, dlogits + at);
  }
}
