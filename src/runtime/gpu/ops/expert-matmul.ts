// Question: how does a GPU multiply the rows of each expert by its matrix, when only the GPU knows how many it has?
//
// There are at most P / tile + E tiles of rows, whatever the counts are: each group of threads finds its expert and rows
// from the offsets, and the few groups beyond the last tile have nothing to store. The gradient of an expert's matrix
// is a product over its rows, whose number is read first. Both by the tiles of all products (tiles.ts); where there is
// little to do, each thread makes one value.

import { lastAxis, rowCount, sizeOf } from "../../../graph/tensor.ts";
import { expertMatmulOperation, expertOuterOperation } from "../../../ops/expert-matmul.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";
import { type Tile, threadsOf, tileMemory, tileText } from "../tiles.ts";

/** Multiplications below which tiles do not pay. */
const LITTLE = 2 ** 20;

const LARGE: Tile = { rows: 128, columns: 128, ownRows: 8, ownColumns: 8 };
const MIDDLE: Tile = { rows: 64, columns: 64, ownRows: 8, ownColumns: 8 };
const FLAT: Tile = { rows: 32, columns: 64, ownRows: 4, ownColumns: 8 };

/** A tile of as many rows as an expert has on average, or fewer. */
const tileFor = (rows: number, columns: number): Tile => {
  if (Math.min(rows, columns) >= 192) return LARGE;
  return rows >= 48 ? MIDDLE : FLAT;
};

/** The expert of `row`: the last that begins at it or before, and has rows. */
const expertOfRow = (E: number): string => `
    var e: u32 = 0u;
    for (var other: u32 = 0u; other < ${u(E)}; other += 1u) {
      if (u32(offsets[other]) <= row && row < u32(offsets[other + 1u])) { e = other; }
    }`;

export const expertMatmul: readonly Implementation[] = [
  calls(
    expertMatmulOperation,
    ({ x, weights, offsets, y }, { transposed }, context, addend) => {
      const [P, K, M] = [rowCount(x.shape), lastAxis(x.shape), lastAxis(y.shape)];
      const E = sizeOf(offsets.shape) - 1;
      const place = (k: string, m: string): string =>
        `weights[e * ${u(K * M)} + ${transposed ? `(${m}) * ${u(K)} + ${k}` : `(${k}) * ${u(M)} + ${m}`}]`;
      const result = addend ? "value + addend[at]" : "value";
      const operands = {
        reads: {
          x: operand(context, x),
          weights: operand(context, weights),
          offsets: operand(context, offsets),
          ...(addend && { addend: operand(context, addend) }),
        },
        writes: { y: operand(context, y) },
        ...(addend && { inPlace: { y: "addend" } }),
      };
      if (P * K * M <= LITTLE) {
        context.emit(
          kernelCall({
            name: "smallExpertProduct",
            ...operands,
            width: WIDTH,
            groups: Math.ceil((P * M) / WIDTH),
            body: `
  let at: u32 = group * ${u(WIDTH)} + lane;
  if (at < ${u(P * M)}) {
    let row: u32 = at / ${u(M)};${expertOfRow(E)}
    var value: f32 = 0.0f;
    for (var k: u32 = 0u; k < ${u(K)}; k += 1u) { value += x[row * ${u(K)} + k] * ${place("k", `at % ${u(M)}`)}; }
    y[at] = ${result};
  }`,
          }),
        );
        return;
      }
      const tile = tileFor(P / E, M);
      const across = Math.ceil(M / tile.columns);
      context.emit(
        kernelCall({
          name: "expertProduct",
          ...operands,
          functions: tileMemory(tile),
          width: threadsOf(tile),
          groups: (Math.floor(P / tile.rows) + Math.min(E, P)) * across,
          body: `
  let wanted: u32 = group / ${u(across)};
  let tileColumn: u32 = (group % ${u(across)}) * ${u(tile.columns)};
  var e: u32 = 0u;
  var firstRow: u32 = 0u;
  var endRow: u32 = 0u;
  var tiles: u32 = 0u;
  for (var other: u32 = 0u; other < ${u(E)}; other += 1u) {
    let start: u32 = u32(offsets[other]);
    let end: u32 = u32(offsets[other + 1u]);
    let own: u32 = (end - start + ${u(tile.rows - 1)}) / ${u(tile.rows)};
    if (wanted >= tiles && wanted < tiles + own) {
      e = other;
      firstRow = start + (wanted - tiles) * ${u(tile.rows)};
      endRow = end;
    }
    tiles += own;
  }${tileText({
    tile,
    a: {
      value: (line, k) => `x[(firstRow + ${line}) * ${u(K)} + ${k}]`,
      has: (line) => `firstRow + ${line} < endRow`,
      innerLast: true,
    },
    b: {
      value: (line, k) => place(k, `tileColumn + ${line}`),
      ...(M % tile.columns > 0 && { has: (line: string): string => `tileColumn + ${line} < ${u(M)}` }),
      innerLast: transposed,
    },
    first: "0u",
    end: u(K),
    store: `if (firstRow + row < endRow && tileColumn + column < ${u(M)}) { let at: u32 = (firstRow + row) * ${u(M)} + tileColumn + column; y[at] = ${result}; }`,
  })}`,
        }),
      );
    },
    { accumulates: true },
  ),
  calls(expertOuterOperation, ({ a, b, offsets, weights }, _attributes, context) => {
    const [P, K, M] = [rowCount(a.shape), lastAxis(a.shape), lastAxis(b.shape)];
    const E = sizeOf(offsets.shape) - 1;
    const operands = {
      reads: { a: operand(context, a), b: operand(context, b), offsets: operand(context, offsets) },
      writes: { weights: operand(context, weights) },
    };
    if (P * K * M <= LITTLE) {
      context.emit(
        kernelCall({
          name: "smallExpertOuter",
          ...operands,
          width: WIDTH,
          groups: Math.ceil((E * K * M) / WIDTH),
          body: `
  let at: u32 = group * ${u(WIDTH)} + lane;
  if (at < ${u(E * K * M)}) {
    let e: u32 = at / ${u(K * M)};
    let k: u32 = (at / ${u(M)}) % ${u(K)};
    var value: f32 = 0.0f;
    for (var row: u32 = u32(offsets[e]); row < u32(offsets[e + 1u]); row += 1u) {
      value += a[row * ${u(K)} + k] * b[row * ${u(M)} + at % ${u(M)}];
    }
    weights[at] = value;
  }`,
        }),
      );
      return;
    }
    const tile = Math.min(K, M) >= 192 ? LARGE : MIDDLE;
    const [down, across] = [Math.ceil(K / tile.rows), Math.ceil(M / tile.columns)];
    const factor = (name: string, first: string, extent: number, of: number): Parameters<typeof tileText>[0]["a"] => ({
      value: (line, k) => `${name}[(${k}) * ${u(extent)} + ${first} + ${line}]`,
      ...(extent % of > 0 && { has: (line: string): string => `${first} + ${line} < ${u(extent)}` }),
      innerLast: false,
    });
    context.emit(
      kernelCall({
        name: "expertOuter",
        ...operands,
        functions: [...tileMemory(tile), "var<workgroup> sharedFirst: u32;", "var<workgroup> sharedEnd: u32;"],
        width: threadsOf(tile),
        groups: E * down * across,
        body: `
  let e: u32 = group / ${u(down * across)};
  let tileRow: u32 = ((group / ${u(across)}) % ${u(down)}) * ${u(tile.rows)};
  let tileColumn: u32 = (group % ${u(across)}) * ${u(tile.columns)};
  if (lane == 0u) {
    sharedFirst = u32(offsets[e]);
    sharedEnd = u32(offsets[e + 1u]);
  }
  let firstInner: u32 = workgroupUniformLoad(&sharedFirst);
  let endInner: u32 = workgroupUniformLoad(&sharedEnd);${tileText({
    tile,
    a: factor("a", "tileRow", K, tile.rows),
    b: factor("b", "tileColumn", M, tile.columns),
    first: "firstInner",
    end: "endInner",
    store: `if (tileRow + row < ${u(K)} && tileColumn + column < ${u(M)}) { weights[(e * ${u(K)} + tileRow + row) * ${u(M)} + tileColumn + column] = value; }`,
  })}`,
      }),
    );
  }),
];
