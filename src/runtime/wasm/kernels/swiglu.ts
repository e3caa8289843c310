// Question: how is y = silu(a) · u computed, and its gradient?
//
// With e = e^a, σ(a) = e / (1 + e). A row is done in blocks: e goes to the scratch memory, then one pass
// of 8 floats an iteration does the rest.
//
// swiglu          row-wise
// swigluBackward  row-wise; dx may be x

import { SwigluArguments, SwigluBackwardArguments } from "./arguments";
import { expRow } from "./math";
import { fma } from "./simd";

// Unknown to the compiler (it adds 0), or V8 would rebuild the constant at each use; see math.ts.
let ONE: f32 = 1 + <f32>(memory.size() >>> 17);

/** Floats of a block: 4 KiB of e beside 12 KiB of operands stay in the first-level cache. */
const BLOCK: i32 = 1024;

export function swiglu(args: SwigluArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, y = args.y;
  const H = args.H;
  const bytes = <usize>H << 2;
  for (let row = begin; row < end; row++) {
    const a = x + 2 * bytes * <usize>row;
    const to = y + bytes * <usize>row;
    for (let h = 0; h < H; h += BLOCK) {
      const at = <usize>h << 2;
      forward(a + at, a + bytes + at, to + at, min(BLOCK, H - h), scratch);
    }
  }
}

function forward(a: usize, u: usize, y: usize, count: i32, e: usize): void {
  expRow(a, e, count);
  const one = f32x4.splat(ONE);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const e0 = v128.load(e + i), e1 = v128.load(e + i, 16);
    const a0 = v128.load(a + i), a1 = v128.load(a + i, 16);
    const u0 = v128.load(u + i), u1 = v128.load(u + i, 16);
    const s0 = f32x4.div(e0, f32x4.add(e0, one)), s1 = f32x4.div(e1, f32x4.add(e1, one));
    v128.store(y + i, f32x4.mul(f32x4.mul(a0, s0), u0));
    v128.store(y + i, f32x4.mul(f32x4.mul(a1, s1), u1), 16);
  }
  for (; i < end; i += 4) {
    const s = load<f32>(e + i) / (load<f32>(e + i) + 1);
    store<f32>(y + i, load<f32>(a + i) * s * load<f32>(u + i));
  }
}

export function swigluBackward(args: SwigluBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, g = args.g, dx = args.dx;
  const H = args.H;
  const bytes = <usize>H << 2;
  for (let row = begin; row < end; row++) {
    const a = 2 * bytes * <usize>row;
    const from = g + bytes * <usize>row;
    for (let h = 0; h < H; h += BLOCK) {
      const at = <usize>h << 2;
      backward(x + a + at, bytes, from + at, dx + a + at, min(BLOCK, H - h), scratch);
    }
  }
}

/** u lies `half` bytes after a, du after da. */
function backward(a: usize, half: usize, g: usize, da: usize, count: i32, e: usize): void {
  expRow(a, e, count);
  const u = a + half, du = da + half;
  const one = f32x4.splat(ONE);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const e0 = v128.load(e + i), e1 = v128.load(e + i, 16);
    const a0 = v128.load(a + i), a1 = v128.load(a + i, 16);
    const u0 = v128.load(u + i), u1 = v128.load(u + i, 16);
    const g0 = v128.load(g + i), g1 = v128.load(g + i, 16);
    const s0 = f32x4.div(e0, f32x4.add(e0, one)), s1 = f32x4.div(e1, f32x4.add(e1, one));
    const gs0 = f32x4.mul(g0, s0), gs1 = f32x4.mul(g1, s1);
    const slope0 = fma(a0, f32x4.sub(one, s0), one), slope1 = fma(a1, f32x4.sub(one, s1), one);
    v128.store(da + i, f32x4.mul(f32x4.mul(gs0, u0), slope0));
    v128.store(da + i, f32x4.mul(f32x4.mul(gs1, u1), slope1), 16);
    v128.store(du + i, f32x4.mul(gs0, a0));
    v128.store(du + i, f32x4.mul(gs1, a1), 16);
  }
  for (; i < end; i += 4) {
    const s = load<f32>(e + i) / (load<f32>(e + i) + 1);
    const gate = load<f32>(a + i), gs = load<f32>(g + i) * s, value = load<f32>(u + i);
    store<f32>(da + i, gs * value * (1 + gate * (1 - s)));
    store<f32>(du + i, gs * gate);
  }
}
