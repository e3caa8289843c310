// Question: how is arithmetic done element by element?
//
// A class is one function of four floats; the loops take it as a type, so each kernel is compiled for
// its function and calls nothing inside the loop. A slope takes what ops/elementwise.ts saves, and g.

import { AddArguments, AffineArguments, ExpArguments, ExpBackwardArguments, FillArguments } from "./arguments";
import { EXP_FROM, EXP_TO, expRow, expRowWide, log4, log4Wide, opaque, tanh4, within } from "./math";
import { fma } from "./simd";

// Of each kind there are many kernels with the same arguments.
type Curve = ExpArguments;
type Pair = AddArguments;
type Slope = ExpBackwardArguments;

/** 1, unknown to the compiler: a splat of a known constant inside a loop keeps V8 from pairing (see math.ts). */
let ONE: f32 = 1 + <f32>(memory.size() >>> 17);

/** Byte where item `index` begins. */
@inline
function byteOf<A>(index: i32, args: A): usize {
  return <usize>min(index * args.item, args.all) << 2;
}

@inline
function storeFirst(to: usize, v: v128): void {
  store<f32>(to, f32x4.extract_lane(v, 0));
}

/** y[i] = of(x[i]) for bytes [first, last). */
@inline
function mapRange<F>(x: usize, y: usize, first: usize, last: usize): void {
  const f = changetype<F>(0);
  let i = first;
  for (; i + 32 <= last; i += 32) {
    const p = f.of(v128.load(x + i)), q = f.of(v128.load(x + i, 16));
    v128.store(y + i, p);
    v128.store(y + i, q, 16);
  }
  for (; i < last; i += 4) storeFirst(y + i, f.of(v128.load32_splat(x + i)));
}

/** y[i] = of(a[i], b[i]) for bytes [first, last). */
@inline
function zipRange<F>(a: usize, b: usize, y: usize, first: usize, last: usize): void {
  const f = changetype<F>(0);
  let i = first;
  for (; i + 32 <= last; i += 32) {
    const p = f.of(v128.load(a + i), v128.load(b + i));
    const q = f.of(v128.load(a + i, 16), v128.load(b + i, 16));
    v128.store(y + i, p);
    v128.store(y + i, q, 16);
  }
  for (; i < last; i += 4) storeFirst(y + i, f.of(v128.load32_splat(a + i), v128.load32_splat(b + i)));
}

@inline
function map<F>(args: Curve, begin: i32, end: i32): void {
  mapRange<F>(args.x, args.y, byteOf(begin, args), byteOf(end, args));
}

@inline
function zip<F>(args: Pair, begin: i32, end: i32): void {
  zipRange<F>(args.a, args.b, args.y, byteOf(begin, args), byteOf(end, args));
}

@inline
function slope<F>(args: Slope, begin: i32, end: i32): void {
  zipRange<F>(args.saved, args.g, args.dx, byteOf(begin, args), byteOf(end, args));
}

@final class Add { @inline of(a: v128, b: v128): v128 { return f32x4.add(a, b); } }
@final class Subtract { @inline of(a: v128, b: v128): v128 { return f32x4.sub(a, b); } }
@final class Multiply { @inline of(a: v128, b: v128): v128 { return f32x4.mul(a, b); } }
@final class Divide { @inline of(a: v128, b: v128): v128 { return f32x4.div(a, b); } }

export function add(args: Pair, begin: i32, end: i32, scratch: usize): void { zip<Add>(args, begin, end); }
export function subtract(args: Pair, begin: i32, end: i32, scratch: usize): void { zip<Subtract>(args, begin, end); }
export function multiply(args: Pair, begin: i32, end: i32, scratch: usize): void { zip<Multiply>(args, begin, end); }
export function divide(args: Pair, begin: i32, end: i32, scratch: usize): void { zip<Divide>(args, begin, end); }

@final class Log { @inline of(x: v128): v128 { return log4(x); } }
@final class LogWide { @inline of(x: v128): v128 { return log4Wide(x); } }
@final class LogSlope { @inline of(x: v128, g: v128): v128 { return f32x4.div(g, x); } }
@final class Tanh { @inline of(x: v128): v128 { return tanh4(x); } }
@final class TanhSlope { @inline of(y: v128, g: v128): v128 { return f32x4.sub(g, f32x4.mul(f32x4.mul(g, y), y)); } }
@final class SigmoidSlope { @inline of(y: v128, g: v128): v128 { return f32x4.mul(g, f32x4.sub(y, f32x4.mul(y, y))); } }
// pmax(x, 0) is 0 only where x < 0, so NaN stays NaN.
@final class Relu { @inline of(x: v128): v128 { return f32x4.pmax(x, f32x4.splat(0)); } }
@final class ReluSlope { @inline of(y: v128, g: v128): v128 { return v128.and(g, f32x4.gt(y, f32x4.splat(0))); } }
@final class Square { @inline of(x: v128): v128 { return f32x4.mul(x, x); } }
@final class SquareSlope { @inline of(x: v128, g: v128): v128 { return f32x4.mul(g, f32x4.add(x, x)); } }
@final class Sqrt { @inline of(x: v128): v128 { return f32x4.sqrt(x); } }
@final class SqrtSlope { @inline of(y: v128, g: v128): v128 { return f32x4.div(g, f32x4.add(y, y)); } }
@final class Reciprocal { @inline of(x: v128): v128 { return f32x4.div(f32x4.splat(1), x); } }
@final class ReciprocalSlope { @inline of(y: v128, g: v128): v128 { return f32x4.neg(f32x4.mul(g, f32x4.mul(y, y))); } }

export function expBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<Multiply>(args, begin, end); }
export function log(args: Curve, begin: i32, end: i32, scratch: usize): void {
  const first = byteOf(begin, args), last = byteOf(end, args);
  if (within(args.x + first, <i32>((last - first) >> 2), 1.17549435e-38, f32.MAX_VALUE)) map<Log>(args, begin, end);
  else map<LogWide>(args, begin, end);
}
export function logBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<LogSlope>(args, begin, end); }
export function tanh(args: Curve, begin: i32, end: i32, scratch: usize): void { map<Tanh>(args, begin, end); }
export function tanhBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<TanhSlope>(args, begin, end); }
export function sigmoidBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<SigmoidSlope>(args, begin, end); }
export function relu(args: Curve, begin: i32, end: i32, scratch: usize): void { map<Relu>(args, begin, end); }
export function reluBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<ReluSlope>(args, begin, end); }
export function square(args: Curve, begin: i32, end: i32, scratch: usize): void { map<Square>(args, begin, end); }
export function squareBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<SquareSlope>(args, begin, end); }
export function sqrt(args: Curve, begin: i32, end: i32, scratch: usize): void { map<Sqrt>(args, begin, end); }
export function sqrtBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<SqrtSlope>(args, begin, end); }
export function reciprocal(args: Curve, begin: i32, end: i32, scratch: usize): void { map<Reciprocal>(args, begin, end); }
export function reciprocalBackward(args: Slope, begin: i32, end: i32, scratch: usize): void { slope<ReciprocalSlope>(args, begin, end); }

/** y = factor x + offset. Words after [item, all]: factor, offset. */
export function affine(args: AffineArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, y = args.y;
  const last = byteOf(end, args);
  const factor = f32x4.splat(args.factor), offset = f32x4.splat(args.offset);
  let i = byteOf(begin, args);
  for (; i + 32 <= last; i += 32) {
    const p = fma(v128.load(x + i), factor, offset), q = fma(v128.load(x + i, 16), factor, offset);
    v128.store(y + i, p);
    v128.store(y + i, q, 16);
  }
  for (; i < last; i += 4) storeFirst(y + i, fma(v128.load32_splat(x + i), factor, offset));
}

/** y = value. Words after [item, all]: value. */
export function fill(args: FillArguments, begin: i32, end: i32, scratch: usize): void {
  const y = args.y, last = byteOf(end, args);
  const value = f32x4.splat(args.value);
  let i = byteOf(begin, args);
  for (; i + 16 <= last; i += 16) v128.store(y + i, value);
  for (; i < last; i += 4) storeFirst(y + i, value);
}

// The functions around e^x go block by block: exponentials into the scratch with expRow, whose constants
// stay in registers, then the arithmetic, here with its constants as arguments for the same reason.

/** Bytes of a block: with its operands it stays in the first-level cache. */
const BLOCK: usize = 8192;

export function exp(args: Curve, begin: i32, end: i32, scratch: usize): void {
  const last = byteOf(end, args);
  for (let block = byteOf(begin, args); block < last; block += BLOCK) {
    const x = args.x + block, y = args.y + block, count = <i32>((min(block + BLOCK, last) - block) >> 2);
    if (within(x, count, EXP_FROM, EXP_TO)) expRow(x, y, count);
    else expRowWide(x, y, count);
  }
}

export function sigmoid(args: Curve, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, y = args.y, last = byteOf(end, args);
  const one = f32x4.splat(ONE);
  for (let block = byteOf(begin, args); block < last; block += BLOCK) {
    const stop = min(block + BLOCK, last);
    expRow(x + block, scratch, <i32>((stop - block) >> 2));
    let i = block, from = scratch;
    for (; i + 32 <= stop; i += 32, from += 32) {
      const d = v128.load(from), e = v128.load(from, 16);
      const p = f32x4.div(d, f32x4.add(one, d)), q = f32x4.div(e, f32x4.add(one, e));
      v128.store(y + i, p);
      v128.store(y + i, q, 16);
    }
    for (; i < stop; i += 4, from += 4) {
      const e = v128.load32_splat(from);
      storeFirst(y + i, f32x4.div(e, f32x4.add(one, e)));
    }
  }
}

// silu and gelu are x s(u) with s(u) = e^u / (1 + e^u) and u = linear x + cubic x^3: (1, 0) for silu; for
// gelu (2 k, 2 k 0.044715) with k = sqrt(2/pi), because (1 + tanh v) / 2 = s(2 v). The slope is
// s(u) (1 + x u' (1 - s(u))), with 1 - s(u) = 1 / (1 + e^u).

//
// At the ends the limits hold: where e^u is no more than its clamp s(u) is 0, and x is held within BIG where it would
// make 0 times infinity or hide that s(u) is 0 or 1. Between the ends neither changes a bit.

/** e^u at its lower clamp, and a little more. */
let LEAST: f32 = opaque(1.22e-38);
let BIG: f32 = opaque(1e10);

const GELU_LINEAR: f32 = 1.5957691216057308;
const GELU_CUBIC: f32 = 0.07135481282963889;

/** to = e^u for a block. */
function gateExponentials(x: usize, to: usize, bytes: usize, linear: f32, cubic: f32): void {
  const count = <i32>(bytes >> 2);
  if (cubic == 0) return expRow(x, to, count);
  const c1 = f32x4.splat(linear), c3 = f32x4.splat(cubic);
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    const a = v128.load(x + i), b = v128.load(x + i, 16);
    const p = f32x4.mul(a, fma(f32x4.mul(a, a), c3, c1)), q = f32x4.mul(b, fma(f32x4.mul(b, b), c3, c1));
    v128.store(to + i, p);
    v128.store(to + i, q, 16);
  }
  for (; i < bytes; i += 4) {
    const a = v128.load32_splat(x + i);
    storeFirst(to + i, f32x4.mul(a, fma(f32x4.mul(a, a), c3, c1)));
  }
  expRow(to, to, count);
}

@inline
function gateValue(x: v128, e: v128, one: v128, least: v128, lowest: v128): v128 {
  // Not (x e) / (1 + e): the product overflows where e^u is near its largest.
  const s = v128.andnot(f32x4.div(e, f32x4.add(one, e)), f32x4.le(e, least));
  return f32x4.mul(f32x4.pmax(x, lowest), s);
}

function gate(args: Curve, begin: i32, end: i32, scratch: usize, linear: f32, cubic: f32): void {
  const x = args.x, y = args.y, last = byteOf(end, args);
  const one = f32x4.splat(ONE), least = f32x4.splat(LEAST), lowest = f32x4.splat(-BIG);
  for (let block = byteOf(begin, args); block < last; block += BLOCK) {
    const stop = min(block + BLOCK, last);
    gateExponentials(x + block, scratch, stop - block, linear, cubic);
    let i = block, from = scratch;
    for (; i + 32 <= stop; i += 32, from += 32) {
      const a = v128.load(x + i), b = v128.load(x + i, 16), d = v128.load(from), e = v128.load(from, 16);
      const p = gateValue(a, d, one, least, lowest), q = gateValue(b, e, one, least, lowest);
      v128.store(y + i, p);
      v128.store(y + i, q, 16);
    }
    for (; i < stop; i += 4, from += 4) {
      storeFirst(y + i, gateValue(v128.load32_splat(x + i), v128.load32_splat(from), one, least, lowest));
    }
  }
}

@inline
function gateSlope(x: v128, e: v128, g: v128, one: v128, linear: v128, cubic3: v128, least: v128, big: v128): v128 {
  const rest = f32x4.div(one, f32x4.add(one, e));
  const held = f32x4.pmax(f32x4.pmin(x, big), f32x4.neg(big));
  const along = fma(f32x4.mul(held, rest), fma(f32x4.mul(held, held), cubic3, linear), one);
  return f32x4.mul(f32x4.mul(g, v128.andnot(f32x4.mul(e, rest), f32x4.le(e, least))), along);
}

function gateBackward(args: Slope, begin: i32, end: i32, scratch: usize, linear: f32, cubic: f32): void {
  const x = args.saved, g = args.g, dx = args.dx;
  const last = byteOf(end, args);
  const one = f32x4.splat(ONE), c1 = f32x4.splat(linear), c3 = f32x4.splat(3 * cubic);
  const least = f32x4.splat(LEAST), big = f32x4.splat(BIG);
  for (let block = byteOf(begin, args); block < last; block += BLOCK) {
    const stop = min(block + BLOCK, last);
    gateExponentials(x + block, scratch, stop - block, linear, cubic);
    let i = block, from = scratch;
    for (; i + 32 <= stop; i += 32, from += 32) {
      const a = v128.load(x + i), b = v128.load(x + i, 16), d = v128.load(from), e = v128.load(from, 16);
      const f = v128.load(g + i), h = v128.load(g + i, 16);
      const p = gateSlope(a, d, f, one, c1, c3, least, big), q = gateSlope(b, e, h, one, c1, c3, least, big);
      v128.store(dx + i, p);
      v128.store(dx + i, q, 16);
    }
    for (; i < stop; i += 4, from += 4) {
      storeFirst(dx + i, gateSlope(v128.load32_splat(x + i), v128.load32_splat(from), v128.load32_splat(g + i), one, c1, c3, least, big));
    }
  }
}

export function silu(args: Curve, begin: i32, end: i32, scratch: usize): void {
  gate(args, begin, end, scratch, 1, 0);
}
export function siluBackward(args: Slope, begin: i32, end: i32, scratch: usize): void {
  gateBackward(args, begin, end, scratch, 1, 0);
}
export function gelu(args: Curve, begin: i32, end: i32, scratch: usize): void {
  gate(args, begin, end, scratch, GELU_LINEAR, GELU_CUBIC);
}
export function geluBackward(args: Slope, begin: i32, end: i32, scratch: usize): void {
  gateBackward(args, begin, end, scratch, GELU_LINEAR, GELU_CUBIC);
}
