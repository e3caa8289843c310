// Question: how does an NVIDIA GPU multiply factors of 8 bits?
//
// A graph in fp8 says product(widened(rounded(x)), …) with the values of ops/float8.ts. From compute capability 8.9 a
// factor becomes codes of e4m3, a byte each, and scales, and tensor cores multiply the codes:
//
//   c = Σ over steps of 128 inner indices of s_a s_b Σ e4m3(a / s_a) e4m3(b / s_b)
//
// The inner index is the last of the codes, whatever it is in the factor, and is filled up with zeros to whole steps.
// Scales are [matrices, steps, lines] float32, a line being a row of A or a column of B; all lines of a block of 128 x 128
// have the same. The values are those of the emulation: both make the same products, exact in float32, and differ only in
// the order of sums. A block with values that are not finite, or beyond 2¹⁰⁰, has the scale NaN.

import { attributesOf, lastAxis, type Node, rowCount, type Tensor } from "../../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../../ops/bfloat16.ts";
import { type Float8Block, roundToFloat8Operation, rowsOfMatrix } from "../../../ops/float8.ts";
import type { LoweringContext } from "../../plan/machine.ts";
import { cudaCall, type CudaPlace, cudaOperand, cudaTemporary } from "../implement.ts";
import { eachPair, type Inner, type ProductTile, tileDeclarations, tileShared, tileThreads } from "./tile-product.ts";

/** Inner indices that share a scale. */
const STEP = 128;
const THREADS = 256;

/** A factor that a graph rounds to 8 bits: the values before, and the blocks. */
export interface Rounded {
  readonly x: Tensor;
  readonly block: Float8Block;
}

/** Codes and scales in memory. */
export interface Coded {
  readonly codes: CudaPlace;
  readonly scales: CudaPlace;
  /** Codes of a line. */
  readonly inner: number;
  readonly lines: number;
}

/**
 * What a factor was rounded from, if its blocks lie along the inner index: then every step of a line has one scale.
 *
 * @param inner where the inner index of its rows and columns lies
 * @param matrices how many the product takes it for
 */
export function roundedFactor(factor: Tensor, inner: Inner, matrices: number): Rounded | undefined {
  const made = (tensor: Tensor | undefined, op: unknown): Node | undefined =>
    tensor && (tensor.node.op as unknown) === op ? tensor.node : undefined;
  const wide = made(factor, toFloat32Operation);
  const narrow = made(wide?.inputs[0], toBfloat16Operation);
  const rounding = made(narrow?.inputs[0], roundToFloat8Operation);
  const block = rounding && attributesOf(roundToFloat8Operation, rounding);
  if (!rounding || !block) return undefined;
  const fits = (inner === "last" ? block.columns : block.rows) === STEP;
  const other = inner === "last" ? block.rows : block.columns;
  const x = rounding.inputs[0]!;
  // Blocks of several rows begin anew where the rounding sees another matrix, the codes where the product does.
  const [rounded, multiplied] = [rowsOfMatrix(x, block), rowCount(x.shape) / matrices];
  const same = block.rows === 1 || rounded === multiplied || (rounded % STEP === 0 && multiplied % STEP === 0);
  return fits && same && (other === 1 || other === STEP) ? { x, block } : undefined;
}

/**
 * Emit the call that makes codes and scales of a factor.
 *
 * @param name of the buffers, different for the factors of a node
 * @param matrices how many the factor has
 */
export function emitCodes(
  context: LoweringContext,
  name: string,
  { x, block }: Rounded,
  inner: Inner,
  matrices: number,
): Coded {
  const [columns, rows] = [lastAxis(x.shape), rowCount(x.shape) / matrices];
  const [length, lines] = inner === "last" ? [columns, rows] : [rows, columns];
  const steps = Math.ceil(length / STEP);
  const codes = cudaTemporary(context, `${name}Codes`, matrices * lines * steps * STEP, "e4m3");
  const scales = cudaTemporary(context, `${name}Scales`, 4 * matrices * lines * steps, "f32");
  const [down, across] = [Math.ceil(rows / STEP), Math.ceil(columns / STEP)];
  const square = block.rows === block.columns;
  context.emit(
    cudaCall({
      name: "float8Codes",
      reads: { x: cudaOperand(context, x) },
      writes: { codes, scales },
      declarations: [
        `constexpr int R = ${rows}, C = ${columns}, L = ${lines}, I = ${steps * STEP}, steps = ${steps}, down = ${down}, across = ${across};
DEVICE float asFloat(float v) { return v; }
DEVICE float asFloat(bf16 v) { return fromBf16(v); }
/* NaN is the largest. */
DEVICE float larger(float a, float b) { return b > a || b != b ? b : a; }
DEVICE float warpLargest(float v) {
#pragma unroll
  for (int s = 16; s > 0; s >>= 1) v = larger(v, __shfl_xor_sync(0xffffffffu, v, s));
  return v;
}
/* The smallest power of two with largest <= 448 of it. */
DEVICE float scaleOf(float largest) {
  if (largest == 0.0f) return 1.0f;
  if (!(largest < 1.2676506e30f)) return __uint_as_float(0x7fc00000u);
  const u32 word = __float_as_uint(largest);
  const int k = (int)(word >> 23) - 127 - ((word & 0x7fffffu) <= 0x600000u ? 8 : 7);
  return __uint_as_float((u32)((k < -126 ? -126 : k) + 127) << 23);
}
/* Exact: a power of two by a power of two. */
DEVICE float inverseOf(float scale) { return scale == scale ? 1.0f / scale : 0.0f; }`,
        ...(inner === "last" ? [] : [`__shared__ u32 turned[${STEP} * ${STEP / 4 + 1}];`]),
        ...(inner === "last" && !square ? [] : ["__shared__ float largestOf[8][128];"]),
      ],
      width: THREADS,
      groups: matrices * down * across,
      // A warp has 16 rows of the block, a thread 4 columns of each.
      body: `
const int m = group / (down * across), top = group / across % down * ${STEP}, left = group % across * ${STEP};
const int w = lane / 32, l = lane % 32;
float v[16][4];
#pragma unroll
for (int i = 0; i < 16; i++)
#pragma unroll
  for (int q = 0; q < 4; q++) {
    const int row = top + 16 * w + i, column = left + 4 * l + q;
    v[i][q] = row < R && column < C ? asFloat(x[((size_t)m * R + row) * C + column]) : 0.0f;
  }
${scaling(inner, square)}
${store(inner, square ? "by" : inner === "last" ? "by[i]" : "by[q]")}`,
    }),
  );
  return { codes, scales, inner: steps * STEP, lines };
}

/** The codes, a line of the block after the other. */
function store(inner: Inner, by: string): string {
  const code = (i: string, q: string): string =>
    `v[${i}][${q}] * ${by.replace("[i]", `[${i}]`).replace("[q]", `[${q}]`)}`;
  if (inner === "last")
    return `
#pragma unroll
for (int i = 0; i < 16; i++) {
  const int line = top + 16 * w + i;
  const u32 four = packE4m3(${code("i", "0")}, ${code("i", "1")}) | packE4m3(${code("i", "2")}, ${code("i", "3")}) << 16;
  if (line < L) *(u32*)(codes + ((size_t)m * L + line) * I + left + 4 * l) = four;
}`;
  return `
#pragma unroll
for (int q = 0; q < 4; q++)
#pragma unroll
  for (int i = 0; i < 16; i += 4)
    turned[(4 * l + q) * ${STEP / 4 + 1} + 4 * w + i / 4] = packE4m3(${code("i", "q")}, ${code("i + 1", "q")}) | packE4m3(${code("i + 2", "q")}, ${code("i + 3", "q")}) << 16;
__syncthreads();
#pragma unroll
for (int part = 0; part < 4; part++) {
  const int id = part * ${THREADS} + lane, line = id / 8, at = id % 8 * 4;
  const u32* const four = turned + line * ${STEP / 4 + 1} + at;
  if (left + line < L)
    *(uint4*)(codes + ((size_t)m * L + left + line) * I + top + 4 * at) = make_uint4(four[0], four[1], four[2], four[3]);
}`;
}

/** The scales of the block, stored; \`by\`, their inverses for each value of a thread. */
function scaling(inner: Inner, square: boolean): string {
  if (inner === "last" && !square)
    return `
float by[16];
#pragma unroll
for (int i = 0; i < 16; i++) {
  float largest = 0.0f;
#pragma unroll
  for (int q = 0; q < 4; q++) largest = larger(largest, fabsf(v[i][q]));
  const float scale = scaleOf(warpLargest(largest));
  by[i] = inverseOf(scale);
  const int line = top + 16 * w + i;
  if (l == 0 && line < L) scales[((size_t)m * steps + left / ${STEP}) * L + line] = scale;
}`;
  const ofColumns = `
#pragma unroll
for (int q = 0; q < 4; q++) {
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < 16; i++) largest = larger(largest, fabsf(v[i][q]));
  largestOf[w][4 * l + q] = largest;
}
__syncthreads();`;
  const [line, step] = inner === "last" ? ["top", "left"] : ["left", "top"];
  if (square)
    return `${ofColumns}
float all = 0.0f;
#pragma unroll
for (int q = 0; q < 4; q++)
#pragma unroll
  for (int other = 0; other < 8; other++) all = larger(all, largestOf[other][4 * l + q]);
const float scale = scaleOf(warpLargest(all)), by = inverseOf(scale);
if (lane < ${STEP} && ${line} + lane < L) scales[((size_t)m * steps + ${step} / ${STEP}) * L + ${line} + lane] = scale;`;
  return `${ofColumns}
float by[4];
#pragma unroll
for (int q = 0; q < 4; q++) {
  float largest = 0.0f;
#pragma unroll
  for (int other = 0; other < 8; other++) largest = larger(largest, largestOf[other][4 * l + q]);
  const float scale = scaleOf(largest);
  by[q] = inverseOf(scale);
  if (w == 0 && left + 4 * l + q < L) scales[((size_t)m * steps + top / ${STEP}) * L + left + 4 * l + q] = scale;
}`;
}

/** C = A B of rounded factors, or A B + before, in whose place C may lie. */
export interface Float8Product {
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  readonly a: Coded;
  readonly b: Coded;
  readonly c: CudaPlace;
  readonly before?: CudaPlace | undefined;
}

/** Pairs of columns are stored together. */
export const fitsFloat8 = (columns: number): boolean => columns % 2 === 0;

export function emitFloat8Product(context: LoweringContext, product: Float8Product): void {
  const { batch, rows, columns, a, b, c, before } = product;
  const tile: ProductTile = { type: "e4m3", rows: rows > 64 ? 128 : 64, columns: 128, a: "last", b: "last" };
  const [down, across] = [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns)];
  const steps = a.inner / STEP;
  context.emit(
    cudaCall({
      name: "float8Product",
      reads: { a: a.codes, b: b.codes, scalesA: a.scales, scalesB: b.scales, ...(before && { before }) },
      writes: { c },
      ...(before && { inPlace: { c: "before" } }),
      declarations: [
        tileDeclarations(tile),
        `constexpr int R = ${rows}, C = ${columns}, I = ${a.inner}, steps = ${steps}, down = ${down}, across = ${across};`,
      ],
      width: tileThreads(tile),
      groups: batch * down * across,
      sharedBytes: tileShared(tile),
      body: `
const int m = group / (down * across), firstRow = group / across % down * ROWS, firstColumn = group % across * COLUMNS;
float acc[MT][NT][4];
multiplyTile(acc, shared,
  {a + ((size_t)m * R + firstRow) * I, I, R - firstRow, scalesA + (size_t)m * steps * R + firstRow, R},
  {b + ((size_t)m * C + firstColumn) * I, I, C - firstColumn, scalesB + (size_t)m * steps * C + firstColumn, C}, I, lane);
${eachPair(
  "firstRow + row < R && firstColumn + column < C",
  `const size_t at = ((size_t)m * R + firstRow + row) * C + firstColumn + column;
  ${before ? "const float2 sum = loadPair(before + at);\n  storePair(c + at, v0 + sum.x, v1 + sum.y);" : "storePair(c + at, v0, v1);"}`,
)}`,
    }),
  );
}
