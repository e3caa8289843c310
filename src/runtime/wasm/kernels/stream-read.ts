// Question: what does a sublayer read of the streams, and what flows back?
//
//   u = Σ_j pre_j x_j;  dx_j = addend_j + pre_j du,  dpre_j = <du, x_j>
//
// streamRead          row-wise over tokens
// streamReadBackward  row-wise over tokens; dx may be addend
//
// Streams are taken one after the other: memory that is read front to back arrives in time.

import { StreamReadArguments, StreamReadBackwardArguments } from "./arguments";
import { fma } from "./simd";
import { combineRowsInTurn, DOT_BYTES, foldLanes, keepLanes } from "./stream-rows";

export function streamRead(args: StreamReadArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, h = args.h, u = args.u;
  const n = args.n, C = args.C;
  const row = <usize>C << 2, coefficients = <usize>(n * (n + 2)) << 2;
  for (let t = begin; t < end; t++) {
    combineRowsInTurn(0, 0, h + coefficients * <usize>t, 4, x + row * <usize>(t * n), row, n, u + row * <usize>t, C);
  }
}

export function streamReadBackward(args: StreamReadBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, h = args.h, du = args.du;
  const dx = args.dx, dh = args.dh, addend = args.addend;
  const n = args.n, C = args.C;
  const row = <usize>C << 2, coefficients = <usize>(n * (n + 2)) << 2;
  const zeros = scratch + DOT_BYTES;
  if (addend == 0) memory.fill(zeros, 0, row); // a row of zeros stands for the addend's
  memory.fill(dh + coefficients * <usize>begin, 0, coefficients * <usize>(end - begin));
  for (let t = begin; t < end; t++) {
    const pre = h + coefficients * <usize>t, dpre = dh + coefficients * <usize>t;
    for (let j: usize = 0; j < <usize>n; j++) {
      const at = row * (<usize>(t * n) + j);
      const dot = backwardRow(x + at, du + row * <usize>t, addend == 0 ? zeros : addend + at, pre + (j << 2), dx + at, C, scratch);
      store<f32>(dpre + (j << 2), dot);
    }
  }
}

/** dx = from + pre du, and the result <du, x>, for one stream. */
function backwardRow(x: usize, du: usize, from: usize, pre: usize, dx: usize, width: i32, temp: usize): f32 {
  const p = v128.load32_splat(pre);
  const end = <usize>width << 2;
  let s0 = f32x4.splat(0), t0 = s0, s1 = s0, t1 = s0;
  let c: usize = 0;
  for (; c + 64 <= end; c += 64) {
    const g0 = v128.load(du + c), k0 = v128.load(du + c, 16), g1 = v128.load(du + c, 32), k1 = v128.load(du + c, 48);
    s0 = fma(g0, v128.load(x + c), s0); t0 = fma(k0, v128.load(x + c, 16), t0);
    s1 = fma(g1, v128.load(x + c, 32), s1); t1 = fma(k1, v128.load(x + c, 48), t1);
    const a0 = fma(p, g0, v128.load(from + c)), b0 = fma(p, k0, v128.load(from + c, 16));
    const a1 = fma(p, g1, v128.load(from + c, 32)), b1 = fma(p, k1, v128.load(from + c, 48));
    v128.store(dx + c, a0); v128.store(dx + c, b0, 16); v128.store(dx + c, a1, 32); v128.store(dx + c, b1, 48);
  }
  const s = f32x4.add(s0, s1), t = f32x4.add(t0, t1);
  keepLanes(temp, s, t);
  let dot = foldLanes(temp);
  for (; c < end; c += 4) {
    const g = load<f32>(du + c);
    dot += g * load<f32>(x + c);
    store<f32>(dx + c, load<f32>(from + c) + load<f32>(pre) * g);
  }
  return dot;
}
