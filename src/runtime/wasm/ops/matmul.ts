// Question: how does the CPU multiply matrices?

import { stateOf } from "../../../graph/state.ts";
import { lastAxis, rowCount, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { type MatmulAttributes, type MatmulExtents, matmulExtents, matmulOperation } from "../../../ops/matmul.ts";
import { reshapeOperation } from "../../../ops/reshape.ts";
import { toFloat32Operation } from "../../../ops/bfloat16.ts";
import type { Buffer } from "../../plan/calls.ts";
import { ROW_TILE } from "../constants.ts";
import { outerGrid } from "../gemm-grid.ts";
import { type Calls, type Implementation, implement, inputsOf, packed, weightOf } from "../implement.ts";
import { emitBatched } from "./batched-matmul.ts";

/** Up to so many rows, packing a matrix for a product costs more than it saves. */
const FEW_ROWS = 16;
/** Columns of a task of a product of few rows: whole lines of a cache, and no more than scratch holds sums for. */
const FEW_COLUMNS = { unit: 16, most: 4096 };

export const matmul: readonly Implementation[] = [
  implement(
    matmulOperation,
    ({ a, b, c }, calls, attributes, addend) => {
      const { transposeA, transposeB } = attributes;
      const product = { a, b, c, addend, attributes, ...matmulExtents(a.shape, b.shape, attributes) };
      if (transposeA && transposeB) crossed(product, calls);
      else if (transposeA) outer(product, calls);
      else if (isByPanels(product, calls)) byPanels(product, calls);
      else if (!transposeB && rowCount(a.shape) <= FEW_ROWS) few(product, calls);
      else rowByRow(product, calls);
    },
    { accumulates: true },
  ),
];

interface Product extends MatmulExtents {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  /** What the product is added to. */
  readonly addend: Tensor | undefined;
  readonly attributes: MatmulAttributes;
}

/** op(B) in panels. */
function panelsOf({ b, inner, columns, attributes: { transposeB } }: Product, calls: Calls): Buffer {
  return packed(calls, b, { inner, columns, stride: lastAxis(b.shape), transposed: transposeB });
}

/** A · op(B), row by row of A: B is packed first. */
function rowByRow(product: Product, calls: Calls): void {
  const { a, c, addend, rows, inner, columns } = product;
  const { read, write, emit } = calls;
  const panels = panelsOf(product, calls);
  emit({
    kernel: "gemmRows",
    domain: rows,
    grain: ROW_TILE,
    operands: {
      A: read(a, "share"),
      B: read(panels, "whole"),
      C0: addend && read(addend, "share"),
      C: write(c, "share"),
    },
    words: { K: inner, N: columns, lda: inner, ldc: columns },
    inPlace: { C: "C0" },
  });
}

/** Tiles of rows for each thread up to which these share out the panels instead: more tiles are even enough. */
const FEW_TILES = 2;
/** Rows up to which they do, for they all pass a panel before the next, and are to stay in a cache. */
const MOST_ROWS = 256;
const mostByPanels = ({ threads }: Calls): number => Math.min(MOST_ROWS, FEW_TILES * threads * ROW_TILE);
/** Tasks that a thread should find, so that a delayed thread leaves its share to the others; and panels of one at most. */
const [TASKS_PER_THREAD, MOST_PANELS] = [4, 16];

/**
 * Of a steady parameter. A single row would read it as fast where it lies; but programs of several rows read the panels, and a
 * cache holds one of the two.
 */
function isByPanels({ b, rows }: Product, calls: Calls): boolean {
  const isSteady = calls.steady && stateOf(weightOf(b).source)?.kind === "parameter";
  return isSteady && rows <= mostByPanels(calls);
}

/** A · op(B) of panels that are there already: each thread its own of them, for all rows. */
function byPanels(product: Product, calls: Calls): void {
  const { a, c, addend, rows, inner, columns } = product;
  const { panelWidth, threads, read, write, emit } = calls;
  const panels = panelsOf(product, calls);
  const domain = Math.ceil(columns / panelWidth);
  emit({
    kernel: "gemmPanels",
    domain,
    grain: Math.min(MOST_PANELS, Math.ceil(domain / threads / TASKS_PER_THREAD)),
    // As in `outer`: a task reads of the addend only what it writes.
    operands: {
      A: read(a, "whole"),
      B: read(panels, "whole"),
      C0: addend && read(addend, "share"),
      C: write(c, "share"),
    },
    words: { M: rows, K: inner, N: columns, lda: inner, ldc: columns },
    inPlace: { C: "C0" },
  });
}

/** A · B of few rows: B is read as it lies, each thread its own columns. */
function few({ a, b, c, addend, rows, inner, columns }: Product, { threads, read, write, emit }: Calls): void {
  const { unit, most } = FEW_COLUMNS;
  const { source, rounded } = weightOf(b);
  const block = Math.min(most, unit * Math.ceil(columns / unit / threads));
  emit({
    kernel: "gemv",
    domain: Math.ceil(columns / block),
    grain: 1,
    // As in `outer`: a task reads of the addend only what it writes.
    operands: {
      A: read(a, "whole"),
      B: read(source, "whole"),
      C0: addend && read(addend, "share"),
      C: write(c, "share"),
    },
    words: { M: rows, K: inner, N: columns, block, rounded },
    inPlace: { C: "C0" },
  });
}

/** Aᵀ · B, tile by tile of the result. */
function outer({ a, b, c, addend, rows, inner, columns }: Product, { threads, read, write, emit }: Calls): void {
  const [narrowA, narrowB] = [narrowSource(a), narrowSource(b)];
  const { down, across } = outerGrid(rows, columns, threads);
  emit({
    kernel: "gemmOuter",
    domain: down * across,
    grain: 1,
    // A task reads of the addend only the tile it writes: in this sense both are shared out, and may be one.
    operands: {
      A: read(narrowA ?? a, "whole"),
      B: read(narrowB ?? b, "whole"),
      C0: addend && read(addend, "share"),
      C: write(c, "share"),
    },
    words: {
      T: inner,
      M: rows,
      N: columns,
      lda: rows,
      ldb: columns,
      ldc: columns,
      down,
      across,
      narrowA: narrowA ? 1 : 0,
      narrowB: narrowB ? 1 : 0,
    },
    inPlace: { C: "C0" },
  });
}

/** The bfloat16 values that a tensor is a view of; the kernel widens them as it packs. */
function narrowSource(tensor: Tensor): Tensor | undefined {
  const reshaped = inputsOf(tensor, reshapeOperation);
  return reshaped ? narrowSource(reshaped.x) : inputsOf(tensor, toFloat32Operation)?.narrow;
}

/** Aᵀ · Bᵀ, which no layer needs: one product of a batch, and an addition of its own. */
function crossed({ a, b, c, addend, attributes, ...extents }: Product, calls: Calls): void {
  const { read, write, temporary, emit } = calls;
  const product = addend ? temporary("product", 4 * sizeOf(c.shape)) : c;
  emitBatched(calls, a, b, write(product, "whole"), attributes, { batch: 1, ...extents });
  if (!addend) return;
  emit({
    kernel: "add",
    domain: undefined,
    grain: 1,
    operands: { a: read(product, "share"), b: read(addend, "share"), y: write(c, "share") },
    words: { item: calls.itemOf(c), all: sizeOf(addend.shape) },
    inPlace: { y: ["a", "b"] },
  });
}
