// Question: how is y = silu(a) · u computed, and its gradient?
//
// With e = e^a, σ(a) = e / (1 + e). A row is done in blocks: e goes to the scratch memory, then one pass
// of 8 floats an iteration does the rest.
//
// swiglu          row-wise
// swigluBackward  row-wise; dx may be x

import { SwigluArguments, SwigluBackwardArguments } from "./arguments";
import { expRow, opaque } from "./math";
import { fma } from "./simd";

// Unknown to the compiler (it adds 0), or V8 would rebuild the constant at each use; see math.ts.
let ONE: f32 = 1 + <f32>(memory.size() >>> 17);

// The ends are as in elementwise.ts: σ(a) is 0 where e^a is no more than its clamp, and a is held within BIG where it
// would make 0 times infinity.
let LEAST: f32 = opaque(1.22e-38);
let BIG: f32 = opaque(1e10);

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

/** σ(a) from e^a. */
@inline
function share(e: v128, one: v128, least: v128): v128 {
  return v128.andnot(f32x4.div(e, f32x4.add(e, one)), f32x4.le(e, least));
}

@inline
function shareOne(e: f32): f32 {
  return e <= LEAST ? 0 : e / (e + 1);
}

function forward(a: usize, u: usize, y: usize, count: i32, e: usize): void {
  expRow(a, e, count);
  const one = f32x4.splat(ONE), least = f32x4.splat(LEAST), lowest = f32x4.splat(-BIG);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const e0 = v128.load(e + i), e1 = v128.load(e + i, 16);
    const a0 = f32x4.pmax(v128.load(a + i), lowest), a1 = f32x4.pmax(v128.load(a + i, 16), lowest);
    const u0 = v128.load(u + i), u1 = v128.load(u + i, 16);
    const s0 = share(e0, one, least), s1 = share(e1, one, least);
    v128.store(y + i, f32x4.mul(f32x4.mul(a0, s0), u0));
    v128.store(y + i, f32x4.mul(f32x4.mul(a1, s1), u1), 16);
  }
  for (; i < end; i += 4) {
    const gate = load<f32>(a + i);
    store<f32>(y + i, (gate < -BIG ? -BIG : gate) * shareOne(load<f32>(e + i)) * load<f32>(u + i));
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
  const one = f32x4.splat(ONE), least = f32x4.splat(LEAST), lowest = f32x4.splat(-BIG), highest = f32x4.splat(BIG);
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 32 <= end; i += 32) {
    const e0 = v128.load(e + i), e1 = v128.load(e + i, 16);
    const a0 = f32x4.pmax(v128.load(a + i), lowest), a1 = f32x4.pmax(v128.load(a + i, 16), lowest);
    const u0 = v128.load(u + i), u1 = v128.load(u + i, 16);
    const g0 = v128.load(g + i), g1 = v128.load(g + i, 16);
    const s0 = share(e0, one, least), s1 = share(e1, one, least);
    const gs0 = f32x4.mul(g0, s0), gs1 = f32x4.mul(g1, s1);
    const slope0 = fma(f32x4.pmin(a0, highest), f32x4.sub(one, s0), one);
    const slope1 = fma(f32x4.pmin(a1, highest), f32x4.sub(one, s1), one);
    v128.store(da + i, f32x4.mul(f32x4.mul(gs0, u0), slope0));
    v128.store(da + i, f32x4.mul(f32x4.mul(gs1, u1), slope1), 16);
    v128.store(du + i, f32x4.mul(gs0, a0));
    v128.store(du + i, f32x4.mul(gs1, a1), 16);
  }
  for (; i < end; i += 4) {
    const s = shareOne(load<f32>(e + i)), given = load<f32>(a + i);
    const gate = given < -BIG ? -BIG : given, gs = load<f32>(g + i) * s, value = load<f32>(u + i);
    store<f32>(da + i, gs * value * (1 + (gate > BIG ? BIG : gate) * (1 - s)));
    store<f32>(du + i, gs * gate);
  }
}
