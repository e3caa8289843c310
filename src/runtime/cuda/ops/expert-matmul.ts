// Question: how does an NVIDIA GPU multiply the rows of each expert by its matrix, when only the GPU knows how many it has?
//
//   expertMatmul   y[r] = x[r] · op(W[e])  for the rows r of e        expertOuter   W[e] = Σ over the rows r of e of a[r]ᵀ b[r]
//
// Shapes: ops/expert-matmul.ts. Both by tensor cores (tile-product.ts). There are at most P / ROWS + E tiles of rows,
// whatever the counts are; each warp finds the expert of its tile from the offsets, 32 experts at a time, and the few groups
// beyond the last tile end at once. Of an expert's matrix all tiles sum over its rows, whose number is read first.
// Factors of 8 bits: float8.ts; the sum over an expert's rows begins and ends within a block of 128 of them, so its factors
// stay bfloat16, with the same values.
// Small products, rows that are no multiple of 16 bytes, and factors of two types take the kernels of every GPU.

import { lastAxis, rowCount, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { expertMatmulOperation, expertOuterOperation } from "../../../ops/expert-matmul.ts";
import { expertMatmul as everyGpu } from "../../gpu/ops/expert-matmul.ts";
import type { LoweringContext } from "../../plan/machine.ts";
import { cudaCall, type CudaPlace, cudaOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { emitCodes, fitsFloat8, type Rounded, roundedFactor } from "./float8.ts";
import {
  eachPair,
  type FactorType,
  type Inner,
  type ProductTile,
  tileDeclarations,
  tileShared,
  tileThreads,
} from "./tile-product.ts";

/** Multiplications below which most of a tile would be empty. */
const LITTLE = 2 ** 14;

/** Whether tiles can do it: factors of one type, whose lines are whole 16 bytes, and enough work. */
function fits(rows: number, inner: number, columns: number, ...factors: readonly CudaPlace[]): boolean {
  const [first, second] = factors;
  return first!.type === second!.type && inner % 8 === 0 && columns % 8 === 0 && rows * inner * columns > LITTLE;
}

/** A tile of as many rows as there are, or fewer. */
const tileOf = (rows: number, columns: number, type: FactorType, a: Inner, b: Inner): ProductTile => ({
  type,
  rows: rows >= 96 ? 128 : rows >= 48 ? 64 : 32,
  columns: columns > 64 ? 128 : 64,
  a,
  b,
});

const places = (context: LoweringContext, ...tensors: readonly Tensor[]): CudaPlace[] =>
  tensors.map((tensor) => cudaOperand(context, tensor));

const typeOf = ({ type }: CudaPlace): FactorType => (type === "bf16" ? "bf16" : "f32");

/** The factors of a product of experts, and where a tile finds its own. */
interface Factors {
  readonly type: FactorType;
  readonly reads: Readonly<Record<string, CudaPlace>>;
  /** Inner indices of a line. */
  readonly length: number;
  /** Where the inner index of the matrices lies. */
  readonly inner: Inner;
  /** A \`Factor\` each. */
  readonly first: string;
  readonly second: string;
}

type Operands = Readonly<Record<"x" | "weights", Tensor>>;

function codedFactors(float8: boolean, { x, weights }: Operands, transposed: boolean): [Rounded, Rounded] | undefined {
  const rows = float8 ? roundedFactor(x, "last", 1) : undefined;
  const matrices = rows && roundedFactor(weights, transposed ? "last" : "first", weights.shape[0]!);
  return matrices && fitsFloat8(weights.shape[transposed ? 1 : 2]!) ? [rows, matrices] : undefined;
}

function factorsOf(context: LoweringContext, float8: boolean, { x, weights }: Operands, transposed: boolean): Factors {
  const inner = transposed ? "last" : "first";
  const coded = codedFactors(float8, { x, weights }, transposed);
  if (!coded) {
    const [rows, matrices] = places(context, x, weights) as [CudaPlace, CudaPlace];
    return {
      type: typeOf(rows),
      reads: { x: rows, weights: matrices },
      length: lastAxis(x.shape),
      inner,
      first: "{x + (size_t)firstRow * I, I, endRow - firstRow}",
      second: `{weights + (size_t)e * I * M + ${transposed ? "(size_t)firstColumn * I, I" : "firstColumn, M"}, M - firstColumn}`,
    };
  }
  const rows = emitCodes(context, "x", coded[0], "last", 1);
  const matrices = emitCodes(context, "weights", coded[1], inner, weights.shape[0]!);
  return {
    type: "e4m3",
    reads: { x: rows.codes, weights: matrices.codes, scalesX: rows.scales, scalesW: matrices.scales },
    length: rows.inner,
    inner: "last",
    first: "{x + (size_t)firstRow * I, I, endRow - firstRow, scalesX + firstRow, P}",
    second:
      "{weights + ((size_t)e * M + firstColumn) * I, I, M - firstColumn, scalesW + (size_t)e * (I / 128) * M + firstColumn, M}",
  };
}

/** The expert of tile `wanted` of rows, its first row in the tile, and the row behind the last of the expert. */
const findExpert = `
int e = -1, firstRow = 0, endRow = 0;
for (int base = 0, tiles = 0; base < E && e < 0; base += 32) {
  const int other = base + lane % 32;
  const int start = other < E ? offsets[other] : 0, end = other < E ? offsets[other + 1] : 0;
  const int mine = (end - start + ROWS - 1) / ROWS;
  int upTo = mine;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const int before = __shfl_up_sync(0xffffffffu, upTo, by);
    if (lane % 32 >= by) upTo += before;
  }
  const u32 found = __ballot_sync(0xffffffffu, wanted < tiles + upTo);
  const int from = found ? __ffs(found) - 1 : 31;
  const int behind = tiles + __shfl_sync(0xffffffffu, upTo, from), count = __shfl_sync(0xffffffffu, mine, from);
  firstRow = __shfl_sync(0xffffffffu, start, from) + (wanted - (behind - count)) * ROWS;
  endRow = __shfl_sync(0xffffffffu, end, from);
  if (found) e = base + from;
  tiles = behind;
}
if (e < 0) return;`;

/** @param float8 whether the GPU multiplies factors of 8 bits */
export const expertMatmul = (float8: boolean): readonly Own[] => [
  own(expertMatmulOperation, everyGpu, {
    accumulates: true,
    fits: ({ x, weights, y }, { transposed }, context) =>
      codedFactors(float8, { x, weights }, transposed) !== undefined ||
      fits(rowCount(x.shape), lastAxis(x.shape), lastAxis(y.shape), ...places(context, x, weights)),
    lower({ x, weights, offsets, y }, { transposed }, context, addend) {
      const [P, M] = [rowCount(x.shape), lastAxis(y.shape)];
      const E = sizeOf(offsets.shape) - 1;
      const before = addend && cudaOperand(context, addend);
      const factors = factorsOf(context, float8, { x, weights }, transposed);
      const tile = tileOf(P / E, M, factors.type, "last", factors.inner);
      const across = Math.ceil(M / tile.columns);
      context.emit(
        cudaCall({
          name: "expertProduct",
          reads: { ...factors.reads, offsets: cudaOperand(context, offsets), ...(before && { before }) },
          writes: { y: cudaOperand(context, y) },
          ...(before && { inPlace: { y: "before" } }),
          declarations: [
            tileDeclarations(tile),
            `constexpr int E = ${E}, P = ${P}, I = ${factors.length}, M = ${M}, across = ${across};`,
          ],
          width: tileThreads(tile),
          groups: (Math.floor(P / tile.rows) + Math.min(E, P)) * across,
          ...(factors.type !== "e4m3" && { groupsAtOnce: 2 }),
          sharedBytes: tileShared(tile),
          body: `
const int wanted = group / across, firstColumn = group % across * COLUMNS;
${findExpert}
float acc[MT][NT][4];
multiplyTile(acc, (Element*)shared, ${factors.first}, ${factors.second}, I, lane);
${eachPair(
  "firstRow + row < endRow && firstColumn + column < M",
  `const size_t at = (size_t)(firstRow + row) * M + firstColumn + column;
  ${before ? "const float2 sum = loadPair(before + at);\n  storePair(y + at, v0 + sum.x, v1 + sum.y);" : "storePair(y + at, v0, v1);"}`,
)}`,
        }),
      );
    },
  }),
  own(expertOuterOperation, everyGpu, {
    fits: ({ a, b }, _attributes, context) =>
      fits(rowCount(a.shape), lastAxis(a.shape), lastAxis(b.shape), ...places(context, a, b)),
    lower({ a, b, offsets, weights }, _attributes, context) {
      const [K, M] = [lastAxis(a.shape), lastAxis(b.shape)];
      const E = sizeOf(offsets.shape) - 1;
      const [left, right] = places(context, a, b) as [CudaPlace, CudaPlace];
      const tile = tileOf(K, M, typeOf(left), "first", "first");
      const [down, across] = [Math.ceil(K / tile.rows), Math.ceil(M / tile.columns)];
      context.emit(
        cudaCall({
          name: "expertOuter",
          reads: { a: left, b: right, offsets: cudaOperand(context, offsets) },
          writes: { weights: cudaOperand(context, weights) },
          declarations: [
            tileDeclarations(tile),
            `constexpr int K = ${K}, M = ${M}, down = ${down}, across = ${across};`,
          ],
          width: tileThreads(tile),
          groups: E * down * across,
          groupsAtOnce: 2,
          sharedBytes: tileShared(tile),
          body: `
const int e = group / (down * across), firstRow = group / across % down * ROWS, firstColumn = group % across * COLUMNS;
const int start = offsets[e], count = offsets[e + 1] - start;
float acc[MT][NT][4];
multiplyTile(acc, (Element*)shared,
  {a + (size_t)start * K + firstRow, K, K - firstRow}, {b + (size_t)start * M + firstColumn, M, M - firstColumn}, count, lane);
${eachPair(
  "firstRow + row < K && firstColumn + column < M",
  "storePair(weights + ((size_t)e * K + firstRow + row) * M + firstColumn + column, v0, v1);",
)}`,
        }),
      );
    },
  }),
];
