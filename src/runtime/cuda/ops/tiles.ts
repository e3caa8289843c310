// Question: how do the warps of a group multiply tiles that lie in shared memory, by tensor cores?
//
// A warp has 16 rows of the result in its registers, as fragments of mma m16n8: of each 8 columns a lane has (row g,
// columns 2t and 2t + 1) and (row g + 8, the same columns), where g is lane / 4 and t is lane % 4.
//
//   multiplyT  acc [16, 8 NT] += A [16, K] Bᵀ, A and B [8 NT, K] in shared memory
//   multiply   acc [16, 8 NT] += P [16, 8 KT] B, P such a result, B [8 KT, 8 NT] in shared memory
//
// bfloat16: one product, P rounded to bfloat16. float32: each factor is a large part of 11 bits and a small rest, and
// three products of tf32 keep about 21 bits. Rows of tiles are 16 bytes longer than their columns, so that eight rows
// begin in different banks. Columns are padded with zeros to whole fragments.

import type { CudaType } from "../work.ts";

export type TileType = Extract<CudaType, "f32" | "bf16">;

/** How many columns a tile of so many has: whole fragments. */
export const paddedColumns = (columns: number): number => 16 * Math.ceil(columns / 16);

/** Values from one row to the next. */
export const tileStride = (columns: number, type: TileType): number =>
  paddedColumns(columns) + (type === "bf16" ? 8 : 4);

export const tileBytes = (rows: number, columns: number, type: TileType): number =>
  rows * tileStride(columns, type) * (type === "bf16" ? 2 : 4);

/** What one product of fragments is. */
export const tensorProducts: Readonly<Record<TileType, string>> = {
  bf16: `
typedef bf16 Element;`,
  f32: `
typedef float Element;
DEVICE u32 largePart(float x) { return __float_as_uint(x) & 0xffffe000u; }
DEVICE u32 smallPart(float x) { return __float_as_uint(x - __uint_as_float(__float_as_uint(x) & 0xffffe000u)); }
DEVICE void mmaThrice(float* c, const float (&a)[4], float b0, float b1) {
  const u32 a0 = largePart(a[0]), a1 = largePart(a[1]), a2 = largePart(a[2]), a3 = largePart(a[3]);
  mmaTf32(c, smallPart(a[0]), smallPart(a[1]), smallPart(a[2]), smallPart(a[3]), largePart(b0), largePart(b1));
  mmaTf32(c, a0, a1, a2, a3, smallPart(b0), smallPart(b1));
  mmaTf32(c, a0, a1, a2, a3, largePart(b0), largePart(b1));
}`,
};

const products: Readonly<Record<TileType, string>> = {
  bf16: `
template <int NT, int K, int SA, int SB> DEVICE void multiplyT(float (&acc)[NT][4], const Element* a, const Element* b, u32 l) {
#pragma unroll
  for (int k = 0; k < K; k += 16) {
    u32 ra[4];
    ldmatrix4(ra, a + l % 16 * SA + k + l / 16 * 8);
#pragma unroll
    for (int nt = 0; nt < NT; nt += 2) {
      u32 rb[4];
      ldmatrix4(rb, b + (8 * nt + l % 8 + l / 16 * 8) * SB + k + l / 8 % 2 * 8);
      mmaBf16(acc[nt], ra[0], ra[1], ra[2], ra[3], rb[0], rb[1]);
      mmaBf16(acc[nt + 1], ra[0], ra[1], ra[2], ra[3], rb[2], rb[3]);
    }
  }
}
template <int NT, int KT, int SB> DEVICE void multiply(float (&acc)[NT][4], const float (&p)[KT][4], const Element* b, u32 l) {
#pragma unroll
  for (int kt = 0; kt < KT; kt += 2) {
    const u32 a0 = packBf16(p[kt][0], p[kt][1]), a1 = packBf16(p[kt][2], p[kt][3]);
    const u32 a2 = packBf16(p[kt + 1][0], p[kt + 1][1]), a3 = packBf16(p[kt + 1][2], p[kt + 1][3]);
#pragma unroll
    for (int nt = 0; nt < NT; nt += 2) {
      u32 rb[4];
      ldmatrix4Transposed(rb, b + (8 * kt + l % 16) * SB + 8 * nt + l / 16 * 8);
      mmaBf16(acc[nt], a0, a1, a2, a3, rb[0], rb[1]);
      mmaBf16(acc[nt + 1], a0, a1, a2, a3, rb[2], rb[3]);
    }
  }
}`,
  f32: `
template <int NT, int K, int SA, int SB> DEVICE void multiplyT(float (&acc)[NT][4], const Element* a, const Element* b, u32 l) {
  const u32 g = l / 4, t = l % 4;
#pragma unroll 4
  for (int k = 0; k < K; k += 8) {
    const Element* const p = a + g * SA + k + t;
    const float ra[4] = {p[0], p[8 * SA], p[4], p[8 * SA + 4]};
#pragma unroll
    for (int nt = 0; nt < NT; nt++) {
      const Element* const q = b + (8 * nt + g) * SB + k + t;
      mmaThrice(acc[nt], ra, q[0], q[4]);
    }
  }
}
/* The inner index is taken in the order in which P lies: 0 2 4 6 1 3 5 7. */
template <int NT, int KT, int SB> DEVICE void multiply(float (&acc)[NT][4], const float (&p)[KT][4], const Element* b, u32 l) {
  const u32 g = l / 4, t = l % 4;
#pragma unroll
  for (int kt = 0; kt < KT; kt++) {
    const float ra[4] = {p[kt][0], p[kt][2], p[kt][1], p[kt][3]};
#pragma unroll
    for (int nt = 0; nt < NT; nt++) {
      const Element* const q = b + (8 * kt + 2 * t) * SB + 8 * nt + g;
      mmaThrice(acc[nt], ra, q[0], q[SB]);
    }
  }
}`,
};

/**
 * The declarations of the products, and of `loadTile`, by which `threads` threads copy rows to shared memory beside the
 * work: wait for them by copyAsyncWait and a barrier.
 *
 * @param aligned whether all rows begin at multiples of 16 bytes, and are such
 */
export function tiles(type: TileType, threads: number, aligned: boolean): string {
  return `${tensorProducts[type]}${products[type]}
/* ROWS rows of W columns from memory, of which \`rows\` are there; zeros beside them. */
template <int ROWS, int W, int S> DEVICE void loadTile(Element* to, const Element* from, size_t stride, int rows, u32 lane) {
  constexpr int P = (W + 15) / 16 * 16;
${
  aligned
    ? `  constexpr int N = 16 / sizeof(Element), parts = P / N;
  for (u32 id = lane; id < ROWS * parts; id += ${threads}u) {
    const int r = id / parts, c = id % parts * N;
    const bool there = r < rows && c < W;
    copyAsync16(to + r * S + c, there ? from + r * stride + c : from, there);
  }`
    : `  for (u32 id = lane; id < ROWS * P; id += ${threads}u) {
    const int r = id / P, c = id % P;
    to[r * S + c] = r < rows && c < W ? from[r * stride + c] : Element(0);
  }`
}
}
DEVICE void put(float* p, float a, float b, bool both) { p[0] = a; if (both) p[1] = b; }
DEVICE void put(bf16* p, float a, float b, bool both) {
  const u32 pair = packBf16(a, b);
  if (both && ((size_t)p & 3) == 0) *(u32*)p = pair;
  else { p[0] = (bf16)pair; if (both) p[1] = (bf16)(pair >> 16); }
}
/* Rows 0 to 15 of a result, of which \`rows\` are there, W columns of each. */
template <int NT, int W, class To> DEVICE void storeTile(To* to, size_t stride, const float (&acc)[NT][4], int rows, u32 l) {
  const int g = l / 4, t = l % 4;
#pragma unroll
  for (int nt = 0; nt < NT; nt++) {
    const int c = 8 * nt + 2 * t;
    if (c >= W) continue;
    if (g < rows) put(to + g * stride + c, acc[nt][0], acc[nt][1], c + 1 < W);
    if (g + 8 < rows) put(to + (g + 8) * stride + c, acc[nt][2], acc[nt][3], c + 1 < W);
  }
}
template <int NT> DEVICE void clear(float (&acc)[NT][4]) {
#pragma unroll
  for (int nt = 0; nt < NT; nt++) acc[nt][0] = acc[nt][1] = acc[nt][2] = acc[nt][3] = 0.0f;
}`;
}
