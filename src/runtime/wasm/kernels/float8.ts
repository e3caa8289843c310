// Question: how are blocks of values rounded to e4m3 with a scale of a power of two?
//
// A step of the grid is a power of two: 2⁻³ of the number's own, and no less than 2⁻⁹ of the scale. Adding and taking
// away 1.5 · 2²³ steps rounds to the nearest multiple of one, ties to even.
//
// roundToFloat8  domain: blocks of rows of all matrices; with blocks of one row, row-wise

import { RoundToFloat8Arguments } from "./arguments";

/** Blocks whose largest magnitude has this exponent or more are left as they are: 2¹⁰⁰, infinities and NaN. */
const TOO_LARGE: u32 = (100 + 127) << 23;

@inline
function larger(a: v128, b: v128): v128 {
  return i32x4.max_u(a, b);
}

export function roundToFloat8(args: RoundToFloat8Arguments, begin: i32, end: i32, scratch: usize): void {
  const columns = args.columns, matrixRows = args.matrixRows;
  const blockRows = args.blockRows, blockColumns = args.blockColumns;
  const perMatrix = (matrixRows + blockRows - 1) / blockRows;
  const stride = <usize>columns << 2;
  for (let item = begin; item < end; item++) {
    const matrix = item / perMatrix, block = item - matrix * perMatrix;
    const row = block * blockRows, rows = min(blockRows, matrixRows - row);
    const corner = stride * <usize>(matrix * matrixRows + row);
    if (blockColumns == 1) roundColumns(args.x + corner, args.y + corner, stride, rows, columns, scratch);
    else
      for (let column = 0; column < columns; column += blockColumns) {
        const at = corner + (<usize>column << 2);
        roundBlock(args.x + at, args.y + at, stride, rows, min(blockColumns, columns - column));
      }
  }
}

/** 2⁻⁶ of the scale of a block, as bits, from the bits of its largest magnitude m · 2^e: e − 14, or e − 13 if m > 1.75. */
@inline
function leastPower(largest: v128): v128 {
  const power = v128.and(largest, i32x4.splat(0x7f800000));
  const above = i32x4.gt_u(v128.and(largest, i32x4.splat(0x7fffff)), i32x4.splat(0x600000));
  const down = i32x4.sub(i32x4.splat(14 << 23), v128.and(above, i32x4.splat(1 << 23)));
  return i32x4.max_s(i32x4.sub(power, down), i32x4.splat(0));
}

/** Four values, given 2⁻⁶ of their scales and where they are too large to be rounded. */
@inline
function roundFour(x: v128, least: v128, leave: v128): v128 {
  const power = i32x4.max_u(v128.and(x, i32x4.splat(0x7f800000)), least);
  const shifter = f32x4.mul(power, f32x4.splat(1572864)); // 1.5 · 2²³ · 2⁻³
  return v128.bitselect(x, f32x4.sub(f32x4.add(x, shifter), shifter), leave);
}

@inline
function magnitude(x: v128): v128 {
  return v128.and(x, i32x4.splat(0x7fffffff));
}

/** One block with one scale. */
function roundBlock(x: usize, y: usize, stride: usize, rows: i32, columns: i32): void {
  let most = i32x4.splat(0);
  const whole = columns & ~3;
  for (let i = 0; i < rows; i++) {
    const from = x + stride * <usize>i;
    for (let j = 0; j < whole; j += 4) most = larger(most, magnitude(v128.load(from + (<usize>j << 2))));
    for (let j = whole; j < columns; j++) most = larger(most, magnitude(v128.load32_zero(from + (<usize>j << 2))));
  }
  most = larger(most, i32x4.shuffle(most, most, 2, 3, 0, 1));
  most = larger(most, i32x4.shuffle(most, most, 1, 0, 3, 2));
  const least = leastPower(most), leave = i32x4.ge_u(most, i32x4.splat(TOO_LARGE));
  for (let i = 0; i < rows; i++) {
    const from = x + stride * <usize>i, to = y + stride * <usize>i;
    for (let j = 0; j < whole; j += 4) {
      const at = <usize>j << 2;
      v128.store(to + at, roundFour(v128.load(from + at), least, leave));
    }
    for (let j = whole; j < columns; j++) {
      const at = <usize>j << 2;
      store<f32>(to + at, f32x4.extract_lane(roundFour(v128.load32_zero(from + at), least, leave), 0));
    }
  }
}

/** Blocks of one column: four at a time, each lane with its own scale; the last ones alone. */
function roundColumns(x: usize, y: usize, stride: usize, rows: i32, columns: i32, scratch: usize): void {
  const whole = columns & ~3;
  for (let j = 0; j < whole; j += 4) {
    const at = <usize>j << 2;
    let most = i32x4.splat(0);
    for (let i = 0; i < rows; i++) most = larger(most, magnitude(v128.load(x + stride * <usize>i + at)));
    const least = leastPower(most), leave = i32x4.ge_u(most, i32x4.splat(TOO_LARGE));
    for (let i = 0; i < rows; i++) {
      const place = stride * <usize>i + at;
      v128.store(y + place, roundFour(v128.load(x + place), least, leave));
    }
  }
  for (let j = whole; j < columns; j++) roundBlock(x + (<usize>j << 2), y + (<usize>j << 2), stride, rows, 1);
}
