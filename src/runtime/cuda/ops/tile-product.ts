// Question: how does a group of threads make a tile of a product of matrices on tensor cores?
//
// Tiles of A and B pass through shared memory DEPTH inner indices at a time, by copies that run STAGES - 1 ahead. A warp
// makes 64 rows (or all, of a flat tile) by 32 columns, as fragments of mma m16n8: of each 8 columns a lane has (row g,
// columns 2t and 2t + 1) and (row g + 8, the same columns), where g is lane / 4 and t is lane % 4. Sums run over the inner
// index in its order, so the bits are fixed.
//
//   A lies as [rows, inner] ("last": the inner index is the last) or [inner, rows] ("first"); B as [columns, inner] or
//   [inner, columns]
//
// bfloat16: one product, float32 sums. float32: three products of tf32, which keep about 21 bits (tiles.ts). e4m3: lines
// of 128 inner indices have a scale (float8.ts); the products of such a step are summed, scaled, and added in float32. A
// line of a tile in shared memory is longer than its values by as much as puts what a warp reads at a time into different
// banks.
//
// Of a tile of 128 x 128 each value from memory is multiplied 128 times: 64 flops a byte of bfloat16, and the second cache
// serves the tiles of one row of groups to the next.

import { tensorProducts, type TileType } from "./tiles.ts";

/** Where the inner index of a factor lies. */
export type Inner = "first" | "last";

/** What the factors are kept in. */
export type FactorType = TileType | "e4m3";

export interface ProductTile {
  /** e4m3 lies with the inner index last, which is a multiple of 128. */
  readonly type: FactorType;
  readonly rows: 128 | 64 | 32;
  readonly columns: 128 | 64;
  readonly a: Inner;
  readonly b: Inner;
}

const WARP_COLUMNS = 32;
/** Bytes of a value, inner indices that pass at a time, and how many of such steps lie in shared memory. */
const kinds: Readonly<Record<FactorType, { readonly bytes: number; readonly depth: number; readonly stages: number }>> =
  {
    bf16: { bytes: 2, depth: 32, stages: 3 },
    f32: { bytes: 4, depth: 16, stages: 3 },
    e4m3: { bytes: 1, depth: 128, stages: 2 },
  };

const warpRows = ({ rows }: ProductTile): number => Math.min(64, rows);

/** Threads of the group of a tile. */
export const tileThreads = (tile: ProductTile): number =>
  32 * (tile.rows / warpRows(tile)) * (tile.columns / WARP_COLUMNS);

/** Lines of a factor's tile, the values of each, and the values from one to the next. */
function sideOf(type: FactorType, lines: number, inner: Inner): { lines: number; width: number; stride: number } {
  const { bytes, depth } = kinds[type];
  if (inner === "last") return { lines, width: depth, stride: depth + 16 / bytes };
  return { lines: depth, width: lines, stride: lines + 8 };
}

/** Bytes of shared memory. */
export function tileShared({ type, rows, columns, a, b }: ProductTile): number {
  const sides = [sideOf(type, rows, a), sideOf(type, columns, b)];
  const { bytes, stages } = kinds[type];
  return stages * bytes * sides.reduce((sum, { lines, stride }) => sum + lines * stride, 0);
}

/** How the fragments of a factor are taken from shared memory, 16 rows of A or 16 columns of B at a time. */
const fragments: Readonly<Record<FactorType, Readonly<Record<"a" | "b", Readonly<Record<Inner, string>>>>>> = {
  e4m3: {
    a: { last: "ldmatrix4(ra[mt], a + (16 * mt + l % 16) * SA + k + l / 16 * 16);", first: "" },
    b: { last: "ldmatrix4(rb, b + (8 * nt + l % 8 + l / 16 * 8) * SB + k + l / 8 % 2 * 16);", first: "" },
  },
  bf16: {
    a: {
      last: "ldmatrix4(ra[mt], a + (16 * mt + l % 16) * SA + k + l / 16 * 8);",
      first: "ldmatrix4Transposed(ra[mt], a + (k + l % 8 + l / 16 * 8) * SA + 16 * mt + l / 8 % 2 * 8);",
    },
    b: {
      last: "ldmatrix4(rb, b + (8 * nt + l % 8 + l / 16 * 8) * SB + k + l / 8 % 2 * 8);",
      first: "ldmatrix4Transposed(rb, b + (k + l % 16) * SB + 8 * nt + l / 16 * 8);",
    },
  },
  f32: {
    a: {
      last: `const float* const p = a + (16 * mt + g) * SA + k + t;
      ra[mt][0] = p[0]; ra[mt][1] = p[8 * SA]; ra[mt][2] = p[4]; ra[mt][3] = p[8 * SA + 4];`,
      first: `const float* const p = a + (k + t) * SA + 16 * mt + g;
      ra[mt][0] = p[0]; ra[mt][1] = p[8]; ra[mt][2] = p[4 * SA]; ra[mt][3] = p[4 * SA + 8];`,
    },
    b: {
      last: `const float* const q = b + (8 * nt + g) * SB + k + t;
      rb[0] = q[0]; rb[1] = q[4]; rb[2] = q[8 * SB]; rb[3] = q[8 * SB + 4];`,
      first: `const float* const q = b + (k + t) * SB + 8 * nt + g;
      rb[0] = q[0]; rb[1] = q[4 * SB]; rb[2] = q[8]; rb[3] = q[4 * SB + 8];`,
    },
  },
};

const multiplied: Readonly<
  Record<FactorType, { readonly step: number; readonly word: string; readonly text: string }>
> = {
  e4m3: {
    step: 32,
    word: "u32",
    text: `mmaE4m3(part[mt][nt], ra[mt][0], ra[mt][1], ra[mt][2], ra[mt][3], rb[0], rb[1]);
        mmaE4m3(part[mt][nt + 1], ra[mt][0], ra[mt][1], ra[mt][2], ra[mt][3], rb[2], rb[3]);`,
  },
  bf16: {
    step: 16,
    word: "u32",
    text: `mmaBf16(acc[mt][nt], ra[mt][0], ra[mt][1], ra[mt][2], ra[mt][3], rb[0], rb[1]);
        mmaBf16(acc[mt][nt + 1], ra[mt][0], ra[mt][1], ra[mt][2], ra[mt][3], rb[2], rb[3]);`,
  },
  f32: {
    step: 8,
    word: "float",
    text: `mmaThrice(acc[mt][nt], ra[mt], rb[0], rb[1]);
        mmaThrice(acc[mt][nt + 1], ra[mt], rb[2], rb[3]);`,
  },
};

/** acc += the products of a step, with the scales of their rows and columns. */
const addScaled = `
    float scales[NT][2];
#pragma unroll
    for (int nt = 0; nt < NT; nt++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int column = w % ACROSS * ${WARP_COLUMNS} + 8 * nt + 2 * t + e;
        scales[nt][e] = column < second.there ? second.scales[column] : 0.0f;
      }
#pragma unroll
    for (int mt = 0; mt < MT; mt++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = w / ACROSS * WARP_ROWS + 16 * mt + 8 * half + g;
        const float scale = row < first.there ? first.scales[row] : 0.0f;
#pragma unroll
        for (int nt = 0; nt < NT; nt++)
#pragma unroll
          for (int e = 0; e < 2; e++) acc[mt][nt][2 * half + e] += part[mt][nt][2 * half + e] * (scale * scales[nt][e]);
      }
    first.scales += first.each;
    second.scales += second.each;`;

/** The declarations: `Factor`, where a factor's values lie, and `multiplyTile`. */
export function tileDeclarations(tile: ProductTile): string {
  const { type, rows, columns, a, b } = tile;
  const [sideA, sideB] = [sideOf(type, rows, a), sideOf(type, columns, b)];
  const { step, word, text } = multiplied[type];
  const scaled = type === "e4m3";
  return `${scaled ? "typedef unsigned char Element;" : tensorProducts[type]}
constexpr int ROWS = ${rows}, COLUMNS = ${columns}, DEPTH = ${kinds[type].depth}, STAGES = ${kinds[type].stages};
constexpr int WARP_ROWS = ${warpRows(tile)}, MT = WARP_ROWS / 16, NT = ${WARP_COLUMNS / 8}, ACROSS = COLUMNS / ${WARP_COLUMNS};
constexpr int SA = ${sideA.stride}, SB = ${sideB.stride}, SIZE_A = ${sideA.lines} * SA, SIZE_B = ${sideB.lines} * SB;
/* A factor from its first row (or column) of the tile and its first inner index on: values from one line to the next, and how
   many rows (or columns) there are${scaled ? "; the scales of these for the first step, and how many scales a step has" : ""}. */
struct Factor { const Element* from; u32 stride; int there;${scaled ? " const float* scales; u32 each;" : ""} };
/* Lines of WIDTH values, of which so many are there; zeros beside them. */
template <int LINES, int WIDTH, int S> DEVICE void loadLines(Element* to, const Element* from, u32 stride, int lines, int width, u32 lane) {
  constexpr int N = 16 / sizeof(Element), parts = WIDTH / N, together = ${tileThreads(tile)} / parts;
  static_assert(LINES % together == 0, "every thread copies as much");
  const int r = lane / parts, c = lane % parts * N;
  const Element* at = from + (size_t)r * stride + c;
#pragma unroll
  for (int q = 0; q < LINES; q += together) {
    const bool there = r + q < lines && c < width;
    copyAsync16(to + (r + q) * S + c, there ? at : from, there);
    at += (size_t)together * stride;
  }
}
/* The factors from the next step on. */
DEVICE void loadStep(Element* shared, Factor& a, Factor& b, int stage, int left, u32 lane) {
  Element* const toA = shared + stage * SIZE_A;
  Element* const toB = shared + STAGES * SIZE_A + stage * SIZE_B;
  ${a === "last" ? "loadLines<ROWS, DEPTH, SA>(toA, a.from, a.stride, a.there, left, lane);" : "loadLines<DEPTH, ROWS, SA>(toA, a.from, a.stride, left, a.there, lane);"}
  a.from += ${a === "last" ? "DEPTH" : "DEPTH * (size_t)a.stride"};
  ${b === "last" ? "loadLines<COLUMNS, DEPTH, SB>(toB, b.from, b.stride, b.there, left, lane);" : "loadLines<DEPTH, COLUMNS, SB>(toB, b.from, b.stride, left, b.there, lane);"}
  b.from += ${b === "last" ? "DEPTH" : "DEPTH * (size_t)b.stride"};
}
DEVICE void clearTile(float (&acc)[MT][NT][4]) {
#pragma unroll
  for (int mt = 0; mt < MT; mt++)
#pragma unroll
    for (int nt = 0; nt < NT; nt++) acc[mt][nt][0] = acc[mt][nt][1] = acc[mt][nt][2] = acc[mt][nt][3] = 0.0f;
}
/* acc = A B, the part of this warp. */
DEVICE void multiplyTile(float (&acc)[MT][NT][4], Element* shared, Factor first, Factor second, int inner, u32 lane) {
  const u32 w = lane / 32, l = lane % 32, g = l / 4, t = l % 4;
  (void)g; (void)t;
  clearTile(acc);
  int left = inner, stage = 0, next = STAGES - 1;
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) {
    if (left > 0) loadStep(shared, first, second, s, left, lane);
    left -= DEPTH;
    copyAsyncGroup();
  }
#pragma unroll 1
  for (int at = 0; at < inner; at += DEPTH) {
    copyAsyncWait<STAGES - 2>();
    __syncthreads();
    if (left > 0) loadStep(shared, first, second, next, left, lane);
    left -= DEPTH;
    copyAsyncGroup();
    const Element* const a = shared + stage * SIZE_A + w / ACROSS * WARP_ROWS * ${a === "last" ? "SA" : "1"};
    const Element* const b = shared + STAGES * SIZE_A + stage * SIZE_B + w % ACROSS * ${WARP_COLUMNS} * ${b === "last" ? "SB" : "1"};
    stage = stage == STAGES - 1 ? 0 : stage + 1;
    next = next == STAGES - 1 ? 0 : next + 1;
${scaled ? "    float part[MT][NT][4];\n    clearTile(part);" : ""}
#pragma unroll
    for (int k = 0; k < DEPTH; k += ${step}) {
      ${word} ra[MT][4];
#pragma unroll
      for (int mt = 0; mt < MT; mt++) {
        ${fragments[type].a[a]}
      }
#pragma unroll
      for (int nt = 0; nt < NT; nt += 2) {
        ${word} rb[4];
        ${fragments[type].b[b]}
#pragma unroll
        for (int mt = 0; mt < MT; mt++) {
        ${text}
        }
      }
    }
${scaled ? addScaled : ""}
  }
}
/* A pair of neighbours, rounded where the result is bfloat16; at an even column. */
DEVICE void storePair(float* p, float a, float b) { *(float2*)p = make_float2(a, b); }
DEVICE void storePair(bf16* p, float a, float b) { *(u32*)p = packBf16(a, b); }
DEVICE float2 loadPair(const float* p) { return *(const float2*)p; }
DEVICE float2 loadPair(const bf16* p) { const u32 pair = *(const u32*)p; return make_float2(lowBf16(pair), highBf16(pair)); }`;
}

/**
 * Statements for each pair of values that a lane has of `acc`.
 *
 * @param there whether there is the `row`, and the `column` after it, of the tile
 * @param store what is done with `v0` and `v1`, the values of row `row` and columns `column` and `column + 1`
 */
export const eachPair = (there: string, store: string): string => `
#pragma unroll
for (int mt = 0; mt < MT; mt++)
#pragma unroll
  for (int nt = 0; nt < NT; nt++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const u32 w = lane / 32, l = lane % 32;
      const int row = w / ACROSS * WARP_ROWS + 16 * mt + 8 * half + l / 4, column = w % ACROSS * ${WARP_COLUMNS} + 8 * nt + 2 * (l % 4);
      const float v0 = acc[mt][nt][2 * half], v1 = acc[mt][nt][2 * half + 1];
      if (${there}) { ${store} }
    }`;
