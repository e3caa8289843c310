// Question: how does a GPU multiply matrices?
//
// C = A B, by the kernel that suits the shape:
//
//   tiled    a group of threads makes a tile of C (tiles.ts): 128 by 128 values where there are enough such tiles to
//            busy a large GPU, 64 by 64, or 32 by 64 and 64 by 32 for narrow ones
//   thin     up to 8 rows (or columns) of C: every value of the large factor is read once, by neighbours side by side;
//            shares of the inner index are added at the end
//   direct   where there is little to do: each thread makes one value
//
// Where C has few tiles and the inner index is long, parts of it are products of their own, which a second kernel adds
// in their order: the gradient of a weight is a sum over all tokens. All sums have an order that the shapes decide.

import { type MatmulAttributes, type MatmulExtents, matmulExtents, matmulOperation } from "../../../ops/matmul.ts";
import { batchedMatmulExtents, batchedMatmulOperation } from "../../../ops/batched-matmul.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import type { LoweringContext } from "../../plan/machine.ts";
import { calls, type Implementation, type KernelCall, kernelCall, operand, temporary, u } from "../implement.ts";
import { type Tile, threadsOf, tileMemory, tileText } from "../tiles.ts";

/** Multiplications below which tiles do not pay. */
const LITTLE = 2 ** 20;
/** The longest sum that one thread makes alone. */
const LONG = 1024;
/** Rows or columns of C that are few. */
const FEW = 8;
/** Threads that a large GPU has at work at the same time. */
const BUSY = 2 ** 16;
/** The shortest part of the inner index that is worth a product of its own. */
const SHORTEST_PART = 256;
const WIDTH = 256;

/** Tiles, the largest first. */
const LARGE: Tile = { rows: 128, columns: 128, ownRows: 8, ownColumns: 8 };
const MIDDLE: Tile = { rows: 64, columns: 64, ownRows: 8, ownColumns: 8 };
const FLAT: Tile = { rows: 32, columns: 64, ownRows: 4, ownColumns: 8 };
const TALL: Tile = { rows: 64, columns: 32, ownRows: 8, ownColumns: 4 };

type Place = ReturnType<typeof operand>;
type Extents = MatmulExtents & { readonly batch: number };

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
  readonly extents: Extents;
  readonly finish?: Finish | undefined;
}

function kindOf({ batch, rows, inner, columns }: Extents): "direct" | "thin" | "tiled" {
  if (inner <= LONG && batch * rows * inner * columns <= LITTLE) return "direct";
  return batch === 1 && Math.min(rows, columns) <= FEW ? "thin" : "tiled";
}

/** Whether a product can store C as bfloat16: its values are made in pairs then. */
export const canRound = (extents: Extents): boolean => extents.columns % 2 === 0 && kindOf(extents) !== "thin";

/** Multiply matrices. */
export function emitProduct(context: LoweringContext, product: Product): void {
  const { rows, inner, columns } = product.extents;
  const kind = kindOf(product.extents);
  if (kind === "direct") {
    context.emit(directCall(product));
    return;
  }
  if (kind === "thin") {
    const each = columnsOfGroup(product);
    const groups = Math.ceil(Math.max(rows, columns) / each);
    emitInParts(context, product, partsOf(inner, groups, WIDTH), (part) => thinCall(part, each));
    return;
  }
  const tile = tileFor(product.extents);
  const tiles = tilesOf(product.extents, tile);
  emitInParts(context, product, partsOf(inner, tiles, threadsOf(tile)), (part) => tiledCall(part, tile));
}

const tilesOf = ({ batch, rows, columns }: Extents, tile: Tile): number =>
  batch * Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);

/** The tile for a product: as large as leaves a large GPU something to do everywhere, and not much larger than C. */
export function tileFor(extents: Extents): Tile {
  if (extents.rows <= 32) return FLAT;
  if (extents.columns <= 32) return TALL;
  if (Math.min(extents.rows, extents.columns) <= MIDDLE.rows) return MIDDLE;
  const parts = Math.max(1, Math.floor(extents.inner / SHORTEST_PART));
  return tilesOf(extents, LARGE) * Math.min(parts, 4) * threadsOf(LARGE) >= BUSY / 2 ? LARGE : MIDDLE;
}

/** Into how many parts the inner index is cut, so that a large GPU has something to do everywhere. */
export function partsOf(inner: number, groups: number, threads: number): number {
  if (groups * threads >= BUSY / 2) return 1;
  return Math.max(1, Math.min(Math.ceil(BUSY / (groups * threads)), Math.floor(inner / SHORTEST_PART)));
}

/** A product over a part of the inner index for each `part`: [parts, the size of C]. */
interface PartialProduct extends Product {
  readonly parts: number;
}

type Emitted = ReturnType<typeof kernelCall>;

/** Emit a product, over parts of the inner index where there are several, which are then added. */
function emitInParts(
  context: LoweringContext,
  product: Product,
  parts: number,
  call: (product: PartialProduct) => Emitted,
): void {
  if (parts === 1) {
    context.emit(call({ ...product, parts }));
    return;
  }
  const { batch, rows, columns } = product.extents;
  const size = batch * rows * columns;
  const sums = temporary(context, "parts", parts * size);
  const { finish, c, ...factors } = product;
  const own = c.narrow ? 2 : 1;
  context.emit(call({ ...factors, c: sums, parts }));
  context.emit(
    kernelCall({
      name: "sumParts",
      ...operandsOf({ a: sums, c, finish }),
      width: WIDTH,
      groups: Math.ceil(size / own / WIDTH),
      flops: 0,
      body: `
  let at: u32 = (group * ${u(WIDTH)} + lane) * ${u(own)};
  if (at < ${u(size)}) {
    let row: u32 = (at / ${u(columns)}) % ${u(rows)};
    let column: u32 = at % ${u(columns)};
    var value: f32 = 0.0f;
    var after: f32 = 0.0f;
    for (var part: u32 = 0u; part < ${u(parts)}; part += 1u) {
      value += a[part * ${u(size)} + at];
      ${own === 2 ? `after += a[part * ${u(size)} + at + 1u];` : ""}
    }
    ${storeText(c, finish)}
  }`,
    }),
  );
}

function operandsOf({
  a,
  b,
  c,
  finish,
}: Pick<Product, "a" | "c" | "finish"> & { readonly b?: Place }): Pick<KernelCall, "reads" | "writes" | "inPlace"> {
  return {
    reads: { a, ...(b && { b }), ...finish?.reads },
    writes: { c },
    ...(finish?.inPlace !== undefined && { inPlace: { c: finish.inPlace } }),
  };
}

/** Where A [batch, rows, inner] and B [batch, inner, columns] have a value, however they lie. */
function factorsOf({ transposeA, transposeB, extents: { batch, rows, inner, columns } }: Product): {
  a: (row: string, k: string) => string;
  b: (k: string, column: string) => string;
} {
  const start = (size: number): string => (batch === 1 ? "" : `batch * ${u(size)} + `);
  return {
    a: (row, k) =>
      `a[${start(rows * inner)}${transposeA ? `(${k}) * ${u(rows)} + ${row}` : `(${row}) * ${u(inner)} + ${k}`}]`,
    b: (k, column) =>
      `b[${start(inner * columns)}${transposeB ? `(${column}) * ${u(inner)} + ${k}` : `(${k}) * ${u(columns)} + ${column}`}]`,
  };
}

/** The statement that stores `value`, and `after` in the next column where C is narrow: at `at`, of `row` and `column`. */
function storeText(c: Place, finish: Finish | undefined): string {
  const value = finish?.value ?? "value";
  if (!c.narrow) return `c[at] = ${value};`;
  const after = value
    .replaceAll(/\bvalue\b/g, "after")
    .replaceAll(/\bat\b/g, "(at + 1u)")
    .replaceAll(/\bcolumn\b/g, "(column + 1u)");
  return `c[at / 2u] = packed(${value}, ${after});`;
}

function directCall(product: Product): Emitted {
  const { batch, rows, inner, columns } = product.extents;
  const size = batch * rows * columns;
  const { a, b } = factorsOf(product);
  const own = product.c.narrow ? 2 : 1;
  return kernelCall({
    name: "smallProduct",
    ...operandsOf(product),
    width: WIDTH,
    groups: Math.ceil(size / own / WIDTH),
    body: `
  let at: u32 = (group * ${u(WIDTH)} + lane) * ${u(own)};
  if (at < ${u(size)}) {
    let batch: u32 = at / ${u(rows * columns)};
    let row: u32 = (at / ${u(columns)}) % ${u(rows)};
    let column: u32 = at % ${u(columns)};
    var value: f32 = 0.0f;
    var after: f32 = 0.0f;
    for (var k: u32 = 0u; k < ${u(inner)}; k += 1u) {
      let own: f32 = ${a("row", "k")};
      value += own * ${b("k", "column")};
      ${own === 2 ? `after += own * ${b("k", "column + 1u")};` : ""}
    }
    ${storeText(product.c, product.finish)}
  }`,
  });
}

function tiledCall(product: PartialProduct, tile: Tile): Emitted {
  const { c, transposeA, transposeB, finish, parts, extents } = product;
  const { batch, rows, inner, columns } = extents;
  const [down, across] = [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns)];
  const { a, b } = factorsOf(product);
  const length = Math.ceil(inner / parts);
  const beyond = (extent: number, of: number, first: string): { has?: (line: string) => string } =>
    extent % of === 0 ? {} : { has: (line) => `${first} + ${line} < ${u(extent)}` };
  return kernelCall({
    name: "product",
    ...operandsOf(product),
    functions: tileMemory(tile),
    width: threadsOf(tile),
    groups: parts * batch * down * across,
    body: `
  let part: u32 = group / ${u(batch * down * across)};
  let batch: u32 = (group / ${u(down * across)}) % ${u(batch)};
  let tileRow: u32 = ((group / ${u(across)}) % ${u(down)}) * ${u(tile.rows)};
  let tileColumn: u32 = (group % ${u(across)}) * ${u(tile.columns)};
  let firstInner: u32 = part * ${u(length)};
  let endInner: u32 = min(firstInner + ${u(length)}, ${u(inner)});
  let base: u32 = (part * ${u(batch)} + batch) * ${u(rows * columns)};${tileText({
    tile,
    a: {
      value: (line, k) => a(`tileRow + ${line}`, k),
      innerLast: !transposeA,
      ...beyond(rows, tile.rows, "tileRow"),
    },
    b: {
      value: (line, k) => b(k, `tileColumn + ${line}`),
      innerLast: transposeB,
      ...beyond(columns, tile.columns, "tileColumn"),
    },
    first: "firstInner",
    end: "endInner",
    inPairs: c.narrow ?? false,
    store: `if (tileRow + row < ${u(rows)} && tileColumn + column < ${u(columns)}) { ${inTile(columns, storeText(c, finish))} }`,
  })}`,
  });
}

/** Statements about `row` and `column` of C, for those of a tile. */
const inTile = (columns: number, text: string): string =>
  `let at: u32 = base + (tileRow + row) * ${u(columns)} + tileColumn + column; ${text
    .replaceAll(/\brow\b/g, "(tileRow + row)")
    .replaceAll(/\bcolumn\b/g, "(tileColumn + column)")}`;

/** Columns (or rows) of C that a group of a thin product makes: neighbours in memory are neighbours among threads. */
function columnsOfGroup({ transposeA, transposeB, extents: { rows, columns } }: Product): number {
  const innerLast = rows <= columns ? transposeB : !transposeA;
  return innerLast ? 16 : 64;
}

/** C has few rows, which each thread makes for one column over its share of the inner index, or few columns. */
function thinCall(product: PartialProduct, each: number): Emitted {
  const { finish, parts, extents } = product;
  const { rows, inner, columns } = extents;
  const [few, many] = [Math.min(rows, columns), Math.max(rows, columns)];
  const flat = rows <= columns;
  const shares = WIDTH / each;
  const blocks = Math.ceil(many / each);
  const length = Math.ceil(inner / parts);
  const { a, b } = factorsOf(product);
  const lines = Array.from({ length: few }, (_, at) => at);
  const [large, small] = flat
    ? [b("k", "safe"), (r: number): string => a(u(r), "k")]
    : [a("safe", "k"), (r: number): string => b("k", u(r))];
  return kernelCall({
    name: "thinProduct",
    ...operandsOf(product),
    functions: [`var<workgroup> sums: array<f32, ${WIDTH * few}>;`],
    width: WIDTH,
    groups: parts * blocks,
    body: `
  let part: u32 = group / ${u(blocks)};
  let mine: u32 = ${each === 64 ? `lane % ${u(each)}` : `lane / ${u(shares)}`};
  let share: u32 = ${each === 64 ? `lane / ${u(each)}` : `lane % ${u(shares)}`};
  let line: u32 = (group % ${u(blocks)}) * ${u(each)} + mine;
  let safe: u32 = min(line, ${u(many - 1)});
  let end: u32 = min((part + 1u) * ${u(length)}, ${u(inner)});
${lines.map((r) => `  var c${r}: f32 = 0.0f;`).join("\n")}
  for (var k: u32 = part * ${u(length)} + share; k < end; k += ${u(shares)}) {
    let value: f32 = ${large};
${lines.map((r) => `    c${r} += ${small(r)} * value;`).join("\n")}
  }
${lines.map((r) => `  sums[(${u(r * shares)} + share) * ${u(each)} + mine] = c${r};`).join("\n")}
  workgroupBarrier();
  for (var cell: u32 = lane; cell < ${u(few * each)}; cell += ${u(WIDTH)}) {
    let own: u32 = cell / ${u(each)};
    let place: u32 = (group % ${u(blocks)}) * ${u(each)} + cell % ${u(each)};
    if (place < ${u(many)}) {
      var value: f32 = 0.0f;
      for (var other: u32 = 0u; other < ${u(shares)}; other += 1u) {
        value += sums[(own * ${u(shares)} + other) * ${u(each)} + cell % ${u(each)}];
      }
      let row: u32 = ${flat ? "own" : "place"};
      let column: u32 = ${flat ? "place" : "own"};
      let at: u32 = part * ${u(rows * columns)} + row * ${u(columns)} + column;
      c[at] = ${finish?.value ?? "value"};
    }
  }`,
  });
}

function addTo(context: LoweringContext, addend: Tensor | undefined): Finish | undefined {
  return addend && { reads: { addend: operand(context, addend) }, value: "value + addend[at]", inPlace: "addend" };
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
    {
      accumulates: true,
      rounds: ({ inputs: [a, b], attributes }) =>
        canRound({ batch: 1, ...matmulExtents(a!.shape, b!.shape, attributes as MatmulAttributes) }),
    },
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
    {
      accumulates: true,
      rounds: ({ inputs: [a, b], attributes }) =>
        canRound(batchedMatmulExtents(a!.shape, b!.shape, attributes as MatmulAttributes)),
    },
  ),
];

function places(context: LoweringContext, a: Tensor, b: Tensor, c: Tensor): Pick<Product, "a" | "b" | "c"> {
  return { a: operand(context, a), b: operand(context, b), c: operand(context, c) };
}
