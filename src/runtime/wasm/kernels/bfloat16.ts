// Question: how do four float32 become bfloat16, and back?
//
// bfloat16 is the upper half of a float32. Rounding to the nearest, ties to even, adds 0x7fff and the last
// bit that stays, then drops the lower half; NaN stays NaN. Widening is exact.

/** Eight bfloat16 at `at`, the first or the last four of them as float32. */
@inline
export function widenLow(eight: v128): v128 {
  return i16x8.shuffle(i16x8.splat(0), eight, 0, 8, 1, 9, 2, 10, 3, 11);
}

@inline
export function widenHigh(eight: v128): v128 {
  return i16x8.shuffle(i16x8.splat(0), eight, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** The rounded upper halves of four float32 that are numbers. */
@inline
function rounded(x: v128): v128 {
  const odd = i32x4.shr_u(i32x4.shl(x, 15), 31);
  return i32x4.shr_u(i32x4.add(i32x4.add(x, odd), i32x4.splat(0x7fff)), 16);
}

/** Two times four float32 that are numbers to eight bfloat16. */
@inline
export function narrow(low: v128, high: v128): v128 {
  return i16x8.narrow_i32x4_u(rounded(low), rounded(high));
}

/** Four float32 rounded to bfloat16, still as float32; NaN stays NaN. */
@inline
function roundFour(x: v128): v128 {
  const odd = i32x4.shr_u(i32x4.shl(x, 15), 31);
  const up = v128.and(i32x4.add(i32x4.add(x, odd), i32x4.splat(0x7fff)), i32x4.splat(0xffff0000));
  return v128.bitselect(x, up, f32x4.ne(x, x));
}

/** Round `bytes` of float32 to bfloat16, as they are copied to `to` or in their place; a multiple of 16. */
export function roundRow(from: usize, to: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    const a = v128.load(from + i), b = v128.load(from + i, 16);
    v128.store(to + i, roundFour(a));
    v128.store(to + i, roundFour(b), 16);
  }
  for (; i < bytes; i += 16) v128.store(to + i, roundFour(v128.load(from + i)));
}

@inline
export function widenOne(at: usize): f32 {
  return reinterpret<f32>(<u32>load<u16>(at) << 16);
}

export function narrowOne(x: f32, to: usize): void {
  const bits = reinterpret<u32>(x);
  store<u16>(to, x == x ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : 0x7fc0);
}
