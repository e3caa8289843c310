// Question: how does a small tile of C accumulate the product of two matrices?
//
// C[MR, width] = C0 + A[MR, k] B[k, width], width 8 or 16. All strides are in bytes: A[r, i] is at
// a + r aRow + i aStep, so that A may lie in rows, in columns or in packed panels; rows of B, C0 and C are
// contiguous. C0 may have stride 0: one row for the whole tile (zeros, or minus the log-sum-exp of each column).
// B is read once for each tile, a row of it per k, and is therefore packed: panels of panelWidth() columns, each
// [k, panelWidth()], of which one stays in the first-level cache for all rows. A is read where it lies: packing its
// rows first was as fast for wide B, and slower the narrower it is (5 % at 256 columns, 30 % at 16).
//
// The whole tile lives in registers: 6x16 in 12 registers of 256 bits where the engine pairs
// 128-bit operations (or on a processor with 32 registers), 6x8 in 12 registers of 128 bits elsewhere,
// 4x8 where multiply-add is two operations and needs a temporary. The last rows of a product have lower tiles: a row
// alone is then as fast as its B can be read.
//
// Every output element is the same chain of multiply-adds in the order of k, whatever the tile, its
// place in it, the panel width or the cut of K into blocks: no choice made here changes a bit.
//
// Rules kept for V8's revectorisation (losing one halves the speed): accumulators are loaded before
// the loop and stored plainly after it, no unrolling over k, no shuffle in the loop, B loaded as
// adjacent v128. "No C0" is therefore a row of zeros with stride 0, not a second loop.

import { fma } from "./simd";

/** Rows of a register tile. */
export const MR: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;

/** Depth of a product at most. */
export const DEPTH: i32 = 768;

/** Bytes that `multiplyPanels` needs: a row of zeros, one tile, MR rows of A. */
export const TILE_SCRATCH: usize = 64 + 6 * 16 * 4 + 6 * DEPTH * 4;

let nr: i32 = 8;

/** Columns of a B panel, 8 or 16. Each thread's instance must be told the same width before it packs. */
export function setPanelWidth(width: i32): void {
  nr = ASC_FEATURE_RELAXED_SIMD && width == 16 ? 16 : 8;
}

export function panelWidth(): i32 {
  return nr;
}

function tile6x16(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16), x02 = v128.load(c0, 32), x03 = v128.load(c0, 48);
  c0 += ldc0;
  let x10 = v128.load(c0), x11 = v128.load(c0, 16), x12 = v128.load(c0, 32), x13 = v128.load(c0, 48);
  c0 += ldc0;
  let x20 = v128.load(c0), x21 = v128.load(c0, 16), x22 = v128.load(c0, 32), x23 = v128.load(c0, 48);
  c0 += ldc0;
  let x30 = v128.load(c0), x31 = v128.load(c0, 16), x32 = v128.load(c0, 32), x33 = v128.load(c0, 48);
  c0 += ldc0;
  let x40 = v128.load(c0), x41 = v128.load(c0, 16), x42 = v128.load(c0, 32), x43 = v128.load(c0, 48);
  c0 += ldc0;
  let x50 = v128.load(c0), x51 = v128.load(c0, 16), x52 = v128.load(c0, 32), x53 = v128.load(c0, 48);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
    let s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01); x02 = fma(s, b2, x02); x03 = fma(s, b3, x03);
    s = v128.load32_splat(a + aRow);
    x10 = fma(s, b0, x10); x11 = fma(s, b1, x11); x12 = fma(s, b2, x12); x13 = fma(s, b3, x13);
    s = v128.load32_splat(a + 2 * aRow);
    x20 = fma(s, b0, x20); x21 = fma(s, b1, x21); x22 = fma(s, b2, x22); x23 = fma(s, b3, x23);
    s = v128.load32_splat(a + 3 * aRow);
    x30 = fma(s, b0, x30); x31 = fma(s, b1, x31); x32 = fma(s, b2, x32); x33 = fma(s, b3, x33);
    s = v128.load32_splat(a + 4 * aRow);
    x40 = fma(s, b0, x40); x41 = fma(s, b1, x41); x42 = fma(s, b2, x42); x43 = fma(s, b3, x43);
    s = v128.load32_splat(a + 5 * aRow);
    x50 = fma(s, b0, x50); x51 = fma(s, b1, x51); x52 = fma(s, b2, x52); x53 = fma(s, b3, x53);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16); v128.store(c, x02, 32); v128.store(c, x03, 48);
  c += ldc;
  v128.store(c, x10); v128.store(c, x11, 16); v128.store(c, x12, 32); v128.store(c, x13, 48);
  c += ldc;
  v128.store(c, x20); v128.store(c, x21, 16); v128.store(c, x22, 32); v128.store(c, x23, 48);
  c += ldc;
  v128.store(c, x30); v128.store(c, x31, 16); v128.store(c, x32, 32); v128.store(c, x33, 48);
  c += ldc;
  v128.store(c, x40); v128.store(c, x41, 16); v128.store(c, x42, 32); v128.store(c, x43, 48);
  c += ldc;
  v128.store(c, x50); v128.store(c, x51, 16); v128.store(c, x52, 32); v128.store(c, x53, 48);
}

function tile6x8(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16);
  c0 += ldc0;
  let x10 = v128.load(c0), x11 = v128.load(c0, 16);
  c0 += ldc0;
  let x20 = v128.load(c0), x21 = v128.load(c0, 16);
  c0 += ldc0;
  let x30 = v128.load(c0), x31 = v128.load(c0, 16);
  c0 += ldc0;
  let x40 = v128.load(c0), x41 = v128.load(c0, 16);
  c0 += ldc0;
  let x50 = v128.load(c0), x51 = v128.load(c0, 16);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01);
    s = v128.load32_splat(a + aRow);
    x10 = fma(s, b0, x10); x11 = fma(s, b1, x11);
    s = v128.load32_splat(a + 2 * aRow);
    x20 = fma(s, b0, x20); x21 = fma(s, b1, x21);
    s = v128.load32_splat(a + 3 * aRow);
    x30 = fma(s, b0, x30); x31 = fma(s, b1, x31);
    s = v128.load32_splat(a + 4 * aRow);
    x40 = fma(s, b0, x40); x41 = fma(s, b1, x41);
    s = v128.load32_splat(a + 5 * aRow);
    x50 = fma(s, b0, x50); x51 = fma(s, b1, x51);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16);
  c += ldc;
  v128.store(c, x10); v128.store(c, x11, 16);
  c += ldc;
  v128.store(c, x20); v128.store(c, x21, 16);
  c += ldc;
  v128.store(c, x30); v128.store(c, x31, 16);
  c += ldc;
  v128.store(c, x40); v128.store(c, x41, 16);
  c += ldc;
  v128.store(c, x50); v128.store(c, x51, 16);
}

function tile4x8(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16);
  c0 += ldc0;
  let x10 = v128.load(c0), x11 = v128.load(c0, 16);
  c0 += ldc0;
  let x20 = v128.load(c0), x21 = v128.load(c0, 16);
  c0 += ldc0;
  let x30 = v128.load(c0), x31 = v128.load(c0, 16);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01);
    s = v128.load32_splat(a + aRow);
    x10 = fma(s, b0, x10); x11 = fma(s, b1, x11);
    s = v128.load32_splat(a + 2 * aRow);
    x20 = fma(s, b0, x20); x21 = fma(s, b1, x21);
    s = v128.load32_splat(a + 3 * aRow);
    x30 = fma(s, b0, x30); x31 = fma(s, b1, x31);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16);
  c += ldc;
  v128.store(c, x10); v128.store(c, x11, 16);
  c += ldc;
  v128.store(c, x20); v128.store(c, x21, 16);
  c += ldc;
  v128.store(c, x30); v128.store(c, x31, 16);
}

function tile4x16(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16), x02 = v128.load(c0, 32), x03 = v128.load(c0, 48);
  c0 += ldc0;
  let x10 = v128.load(c0), x11 = v128.load(c0, 16), x12 = v128.load(c0, 32), x13 = v128.load(c0, 48);
  c0 += ldc0;
  let x20 = v128.load(c0), x21 = v128.load(c0, 16), x22 = v128.load(c0, 32), x23 = v128.load(c0, 48);
  c0 += ldc0;
  let x30 = v128.load(c0), x31 = v128.load(c0, 16), x32 = v128.load(c0, 32), x33 = v128.load(c0, 48);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
    let s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01); x02 = fma(s, b2, x02); x03 = fma(s, b3, x03);
    s = v128.load32_splat(a + aRow);
    x10 = fma(s, b0, x10); x11 = fma(s, b1, x11); x12 = fma(s, b2, x12); x13 = fma(s, b3, x13);
    s = v128.load32_splat(a + 2 * aRow);
    x20 = fma(s, b0, x20); x21 = fma(s, b1, x21); x22 = fma(s, b2, x22); x23 = fma(s, b3, x23);
    s = v128.load32_splat(a + 3 * aRow);
    x30 = fma(s, b0, x30); x31 = fma(s, b1, x31); x32 = fma(s, b2, x32); x33 = fma(s, b3, x33);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16); v128.store(c, x02, 32); v128.store(c, x03, 48);
  c += ldc;
  v128.store(c, x10); v128.store(c, x11, 16); v128.store(c, x12, 32); v128.store(c, x13, 48);
  c += ldc;
  v128.store(c, x20); v128.store(c, x21, 16); v128.store(c, x22, 32); v128.store(c, x23, 48);
  c += ldc;
  v128.store(c, x30); v128.store(c, x31, 16); v128.store(c, x32, 32); v128.store(c, x33, 48);
}

function tile2x16(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16), x02 = v128.load(c0, 32), x03 = v128.load(c0, 48);
  c0 += ldc0;
  let x10 = v128.load(c0), x11 = v128.load(c0, 16), x12 = v128.load(c0, 32), x13 = v128.load(c0, 48);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
    let s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01); x02 = fma(s, b2, x02); x03 = fma(s, b3, x03);
    s = v128.load32_splat(a + aRow);
    x10 = fma(s, b0, x10); x11 = fma(s, b1, x11); x12 = fma(s, b2, x12); x13 = fma(s, b3, x13);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16); v128.store(c, x02, 32); v128.store(c, x03, 48);
  c += ldc;
  v128.store(c, x10); v128.store(c, x11, 16); v128.store(c, x12, 32); v128.store(c, x13, 48);
}

function tile1x16(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16), x02 = v128.load(c0, 32), x03 = v128.load(c0, 48);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
    const s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01); x02 = fma(s, b2, x02); x03 = fma(s, b3, x03);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16); v128.store(c, x02, 32); v128.store(c, x03, 48);
}

/** One row and two panels of 16 columns, whose sums are neighbours: one panel alone would wait for its four sums. */
function tile1x32(a: usize, b: usize, other: usize, k: i32, c0: usize, next0: usize, c: usize): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16), x02 = v128.load(c0, 32), x03 = v128.load(c0, 48);
  c0 += next0;
  let x10 = v128.load(c0), x11 = v128.load(c0, 16), x12 = v128.load(c0, 32), x13 = v128.load(c0, 48);
  for (let i = 0; i < k; i++) {
    const s = v128.load32_splat(a);
    const b0 = v128.load(b), b1 = v128.load(b, 16), b2 = v128.load(b, 32), b3 = v128.load(b, 48);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01); x02 = fma(s, b2, x02); x03 = fma(s, b3, x03);
    const d0 = v128.load(other), d1 = v128.load(other, 16), d2 = v128.load(other, 32), d3 = v128.load(other, 48);
    x10 = fma(s, d0, x10); x11 = fma(s, d1, x11); x12 = fma(s, d2, x12); x13 = fma(s, d3, x13);
    a += 4;
    b += 64;
    other += 64;
  }
  v128.store(c, x00); v128.store(c, x01, 16); v128.store(c, x02, 32); v128.store(c, x03, 48);
  v128.store(c, x10, 64); v128.store(c, x11, 80); v128.store(c, x12, 96); v128.store(c, x13, 112);
}

function tile2x8(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16);
  c0 += ldc0;
  let x10 = v128.load(c0), x11 = v128.load(c0, 16);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01);
    s = v128.load32_splat(a + aRow);
    x10 = fma(s, b0, x10); x11 = fma(s, b1, x11);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16);
  c += ldc;
  v128.store(c, x10); v128.store(c, x11, 16);
}

function tile1x8(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
): void {
  let x00 = v128.load(c0), x01 = v128.load(c0, 16);
  for (let i = 0; i < k; i++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    const s = v128.load32_splat(a);
    x00 = fma(s, b0, x00); x01 = fma(s, b1, x01);
    a += aStep;
    b += bStep;
  }
  v128.store(c, x00); v128.store(c, x01, 16);
}

/** MR rows and 8 or 16 columns. */
@inline
export function tile(
  a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize, ldc: usize,
  width: i32,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (width == 16 && nr == 16) {
      tile6x16(a, aRow, aStep, b, bStep, k, c0, ldc0, c, ldc);
    } else {
      tile6x8(a, aRow, aStep, b, bStep, k, c0, ldc0, c, ldc);
      if (width == 16) tile6x8(a, aRow, aStep, b + 32, bStep, k, c0 + 32, ldc0, c + 32, ldc);
    }
  } else {
    tile4x8(a, aRow, aStep, b, bStep, k, c0, ldc0, c, ldc);
    if (width == 16) tile4x8(a, aRow, aStep, b + 32, bStep, k, c0 + 32, ldc0, c + 32, ldc);
  }
}

/** As `tile` for 1, 2 or 4 rows. */
function shortTile(
  height: i32, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, k: i32, c0: usize, ldc0: usize, c: usize,
  ldc: usize, width: i32,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (width == 16 && nr == 16) {
      if (height == 1) tile1x16(a, aRow, aStep, b, bStep, k, c0, ldc0, c, ldc);
      else if (height == 2) tile2x16(a, aRow, aStep, b, bStep, k, c0, ldc0, c, ldc);
      else tile4x16(a, aRow, aStep, b, bStep, k, c0, ldc0, c, ldc);
      return;
    }
  }
  for (let j: usize = 0; j < <usize>width << 2; j += 32) {
    if (height == 1) tile1x8(a, aRow, aStep, b + j, bStep, k, c0 + j, ldc0, c + j, ldc);
    else if (height == 2) tile2x8(a, aRow, aStep, b + j, bStep, k, c0 + j, ldc0, c + j, ldc);
    else tile4x8(a, aRow, aStep, b + j, bStep, k, c0 + j, ldc0, c + j, ldc);
  }
}

/** Move `rows` x `cols` floats; the strides are in bytes. */
function copyTile(from: usize, ldFrom: usize, to: usize, ldTo: usize, rows: i32, cols: i32): void {
  const quads = cols & ~3;
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < quads; j += 4) v128.store(to + (<usize>j << 2), v128.load(from + (<usize>j << 2)));
    for (let j = quads; j < cols; j++) store<f32>(to + (<usize>j << 2), load<f32>(from + (<usize>j << 2)));
    from += ldFrom;
    to += ldTo;
  }
}

/**
 * C[rows, cols] = C0 + A B, all strides in bytes, k at most DEPTH. A panel i of MR rows begins at `a + i * aPanel`,
 * B panel j at `b + j * strideB`. Nothing outside rows x cols is touched in C or C0, nor read of an A that lies in
 * rows (aStep 4); of one in columns up to 20 bytes behind each are read. `c0` may be 0 (start from zero) or C
 * itself; `temp` has TILE_SCRATCH bytes.
 */
export function multiplyPanels(
  a: usize, aRow: usize, aStep: usize, aPanel: usize, b: usize, strideB: usize, k: i32,
  c0: usize, ldc0: usize, c: usize, ldc: usize, rows: i32, cols: i32, temp: usize,
): void {
  const edge = temp + 64;
  if (c0 == 0) {
    memory.fill(temp, 0, 64);
    ldc0 = 0;
  }
  let whole = rows / MR * MR, left = rows - whole;
  // A tile of one or two rows waits for its own sums; with six before it, it takes as long as two tiles of four.
  const four = MR == 6 && whole > 0 && (left == 1 || left == 2) && aPanel == aRow * MR;
  if (four) {
    whole -= 6;
    left += 2;
  }
  // The last panel, if it has fewer rows: a tile as high, or a higher one of copied rows, for it reads them all.
  const height = left == 3 ? 4 : left == 5 ? MR : left;
  let last = a + aPanel * <usize>(whole / MR) + (four ? 4 * aRow : 0), lastRow = aRow;
  if (left < height && aStep == 4) {
    const copied = edge + 6 * 16 * 4, bytes = <usize>k << 2;
    for (let r = 0; r < left; r++) memory.copy(copied + bytes * <usize>r, last + aRow * <usize>r, bytes);
    last = copied;
    lastRow = bytes;
  }
  const stepB = <usize>nr << 2;
  let j = 0;
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (rows == 1 && nr == 16 && aStep == 4) {
      const start = c0 == 0 ? temp : c0, next = c0 == 0 ? 0 : 64;
      for (; j + 32 <= cols; j += 32) {
        const corner = <usize>j << 2;
        tile1x32(a, b, b + strideB, k, c0 == 0 ? start : start + corner, next, c + corner);
        b += 2 * strideB;
      }
    }
  }
  for (; j < cols; j += nr) {
    const width = min(nr, cols - j);
    const half = width <= 8 ? 8 : 16;
    let panel = a;
    let from = c0 == 0 ? temp : c0 + (<usize>j << 2);
    let to = c + (<usize>j << 2);
    for (let i = 0; i < whole; i += MR) {
      if (width == half) tile(panel, aRow, aStep, b, stepB, k, from, ldc0, to, ldc, half);
      else {
        copyTile(from, ldc0, edge, 64, MR, width);
        tile(panel, aRow, aStep, b, stepB, k, edge, 64, edge, 64, half);
        copyTile(edge, 64, to, ldc, MR, width);
      }
      panel += aPanel;
      from += ldc0 * MR;
      to += ldc * MR;
    }
    if (four) {
      if (width == half) shortTile(4, panel, aRow, aStep, b, stepB, k, from, ldc0, to, ldc, half);
      else {
        copyTile(from, ldc0, edge, 64, 4, width);
        shortTile(4, panel, aRow, aStep, b, stepB, k, edge, 64, edge, 64, half);
        copyTile(edge, 64, to, ldc, 4, width);
      }
      from += ldc0 * 4;
      to += ldc * 4;
    }
    if (left > 0) {
      const direct = width == half && left == height;
      if (!direct) copyTile(from, ldc0, edge, 64, left, width);
      const c0Of = direct ? from : edge, ldc0Of = direct ? ldc0 : 64, cOf = direct ? to : edge, ldcOf = direct ? ldc : 64;
      if (height < MR) shortTile(height, last, lastRow, aStep, b, stepB, k, c0Of, ldc0Of, cOf, ldcOf, half);
      else tile(last, lastRow, aStep, b, stepB, k, c0Of, ldc0Of, cOf, ldcOf, half);
      if (!direct) copyTile(edge, 64, to, ldc, left, width);
    }
    b += strideB;
  }
}
