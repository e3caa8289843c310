// Question: how does a GPU multiply matrices?
//
// C = A B, tile by tile: a group of 256 threads makes 64 by 64 values of C, each thread 4 by 4, or 16 by 16 where C is
// narrow. Tiles of A and B of depth 16 go through memory that the group shares. Where there is little to do, each thread
// makes one value on its own. Sums run over the inner index in its order, so the bits are fixed.

import { type MatmulAttributes, type MatmulExtents, matmulExtents, matmulOperation } from "../../../ops/matmul.ts";
import { batchedMatmulExtents, batchedMatmulOperation } from "../../../ops/batched-matmul.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import type { LoweringContext } from "../../plan/machine.ts";
import { calls, type Implementation, type KernelCall, kernelCall, operand, u } from "../implement.ts";

/** Threads of a group along either side of its tile. */
const SIDE = 16;
const DEPTH = 16;
const WIDTH = SIDE * SIDE;
/** Values of C along either side of a thread's own square, in large tiles. */
const SQUARE = 4;
/** Multiplications below which tiles do not pay. */
const LITTLE = 2 ** 20;
/** The longest sum that one thread makes alone. */
const LONG = 1024;

type Place = ReturnType<typeof operand>;

/** What is done with each value of C before it is stored. */
interface Finish {
  readonly reads: Readonly<Record<string, Place>>;
  /** An expression of `value`, `row`, `column`, and `at`, the place in C. */
  readonly value: string;
  /** The operand at whose place C may lie: who reads a value of it then writes there. */
  readonly inPlace?: string;
}

export interface Product extends MatmulAttributes {
  readonly a: Place;
  readonly b: Place;
  readonly c: Place;
  readonly extents: MatmulExtents & { readonly batch: number };
  readonly finish?: Finish | undefined;
}

/** Multiply matrices. */
export function emitProduct(context: LoweringContext, product: Product): void {
  const { batch, rows, inner, columns } = product.extents;
  const little = inner <= LONG && batch * rows * inner * columns <= LITTLE;
  context.emit((little ? directCall : tiledCall)(product));
}

function operandsOf({ a, b, c, finish }: Product): Pick<KernelCall, "reads" | "writes" | "inPlace"> {
  return {
    reads: { a, b, ...finish?.reads },
    writes: { c },
    ...(finish?.inPlace !== undefined && { inPlace: { c: finish.inPlace } }),
  };
}

function addTo(context: LoweringContext, addend: Tensor | undefined): Finish | undefined {
  return addend && { reads: { addend: operand(context, addend) }, value: "value + addend[at]", inPlace: "addend" };
}

function directCall(product: Product): ReturnType<typeof kernelCall> {
  const { transposeA, transposeB, finish } = product;
  const { batch, rows, inner, columns } = product.extents;
  const size = batch * rows * columns;
  return kernelCall({
    name: "smallProduct",
    ...operandsOf(product),
    width: WIDTH,
    groups: Math.ceil(size / WIDTH),
    body: `
  let at: u32 = group * ${u(WIDTH)} + lane;
  if (at < ${u(size)}) {
    let batch: u32 = at / ${u(rows * columns)};
    let row: u32 = (at / ${u(columns)}) % ${u(rows)};
    let column: u32 = at % ${u(columns)};
    let firstA: u32 = batch * ${u(rows * inner)} + ${transposeA ? "row" : `row * ${u(inner)}`};
    let firstB: u32 = batch * ${u(inner * columns)} + ${transposeB ? `column * ${u(inner)}` : "column"};
    var value: f32 = 0.0f;
    for (var k: u32 = 0u; k < ${u(inner)}; k += 1u) {
      value += a[firstA + k * ${u(transposeA ? rows : 1)}] * b[firstB + k * ${u(transposeB ? 1 : columns)}];
    }
    c[at] = ${finish?.value ?? "value"};
  }`,
  });
}

function tiledCall(product: Product): ReturnType<typeof kernelCall> {
  const { transposeA, transposeB, finish } = product;
  const { batch, rows, inner, columns } = product.extents;
  const square = Math.min(rows, columns) >= SIDE * SQUARE ? SQUARE : 1;
  const tile = SIDE * square;
  const [down, across] = [Math.ceil(rows / tile), Math.ceil(columns / tile)];
  const size = tile * DEPTH;
  /** Load a tile: neighbouring threads read neighbouring values, along the inner index where that is the last axis. */
  const load = (name: string, matrix: string, first: string, extent: number, innerLast: boolean): string => `
    for (var at: u32 = lane; at < ${u(size)}; at += ${u(WIDTH)}) {
      let deep: u32 = at ${innerLast ? "%" : "/"} ${u(innerLast ? DEPTH : tile)};
      let other: u32 = at ${innerLast ? "/" : "%"} ${u(innerLast ? DEPTH : tile)};
      let k: u32 = begin + deep;
      var value: f32 = 0.0f;
      if (${first} + other < ${u(extent)} && k < ${u(inner)}) {
        value = ${matrix}[batch * ${u(extent * inner)} + ${innerLast ? `(${first} + other) * ${u(inner)} + k` : `k * ${u(extent)} + ${first} + other`}];
      }
      ${name}[deep * ${u(tile)} + other] = value;
    }`;
  const cells = Array.from({ length: square }, (_, at) => at);
  const each = (line: (r: number, s: number) => string): string =>
    cells.flatMap((r) => cells.map((s) => line(r, s))).join("\n");
  return kernelCall({
    name: square > 1 ? "product" : "narrowProduct",
    ...operandsOf(product),
    functions: [`var<workgroup> tileA: array<f32, ${size}>;`, `var<workgroup> tileB: array<f32, ${size}>;`],
    width: WIDTH,
    groups: batch * down * across,
    body: `
  let batch: u32 = group / ${u(down * across)};
  let tileRow: u32 = ((group / ${u(across)}) % ${u(down)}) * ${u(tile)};
  let tileColumn: u32 = (group % ${u(across)}) * ${u(tile)};
  let ownRow: u32 = (lane / ${u(SIDE)}) * ${u(square)};
  let ownColumn: u32 = lane % ${u(SIDE)};
${each((r, s) => `  var c${r}${s}: f32 = 0.0f;`)}
  for (var begin: u32 = 0u; begin < ${u(inner)}; begin += ${u(DEPTH)}) {${load("tileA", "a", "tileRow", rows, !transposeA)}${load("tileB", "b", "tileColumn", columns, transposeB)}
    workgroupBarrier();
    for (var deep: u32 = 0u; deep < ${u(DEPTH)}; deep += 1u) {
${cells.map((r) => `      let a${r}: f32 = tileA[deep * ${u(tile)} + ownRow + ${u(r)}];`).join("\n")}
${cells.map((s) => `      let b${s}: f32 = tileB[deep * ${u(tile)} + ownColumn + ${u(s * SIDE)}];`).join("\n")}
${each((r, s) => `      c${r}${s} += a${r} * b${s};`)}
    }
    workgroupBarrier();
  }
  let base: u32 = batch * ${u(rows * columns)};
${each(
  (r, s) => `  {
    let row: u32 = tileRow + ownRow + ${u(r)};
    let column: u32 = tileColumn + ownColumn + ${u(s * SIDE)};
    let at: u32 = base + row * ${u(columns)} + column;
    let value: f32 = c${r}${s};
    if (row < ${u(rows)} && column < ${u(columns)}) { c[at] = ${finish?.value ?? "value"}; }
  }`,
)}`,
  });
}

export const products: readonly Implementation[] = [
  calls(
    matmulOperation,
    ({ a, b, c }, attributes, context, addend) =>
      emitProduct(context, {
        ...attributes,
        ...places(context, a, b, c),
        extents: { batch: 1, ...matmulExtents(a.shape, b.shape, attributes) },
        finish: addTo(context, addend),
      }),
    { accumulates: true },
  ),
  calls(
    batchedMatmulOperation,
    ({ a, b, c }, attributes, context, addend) =>
      emitProduct(context, {
        ...attributes,
        ...places(context, a, b, c),
        extents: batchedMatmulExtents(a.shape, b.shape, attributes),
        finish: addTo(context, addend),
      }),
    { accumulates: true },
  ),
];

function places(context: LoweringContext, a: Tensor, b: Tensor, c: Tensor): Pick<Product, "a" | "b" | "c"> {
  return { a: operand(context, a), b: operand(context, b), c: operand(context, c) };
}
