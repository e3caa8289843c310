// Question: how does a GPU project the streams to coefficients?
//
// A group of threads makes the coefficients of 16 rows while it reads x once: tiles of x and w go through shared
// memory, each thread multiplies 4 rows by a quarter of the columns over its share of the inner index, and adds up the
// squares of x beside. The shares are then added, halves to halves, and divided by the norm. x [rows, K] is K values of
// 4 bytes from memory for P products each; w, P / 16 of that, comes from the cache. For many columns: the norms first,
// then the products. Backward: the part along x is taken away as the products are stored.

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import {
  projectionRows,
  type StreamProjectionAttributes,
  streamProjectionBackwardOperation,
  streamProjectionOperation,
} from "../../../ops/stream-projection.ts";
import { calls, type Implementation, type KernelCall, kernelCall, operand, temporary, u } from "../implement.ts";
import { groupReduction, WIDTH } from "../rows.ts";
import { float } from "../work.ts";
import { canRound, emitProduct } from "./matmul.ts";
import { inverseRms, inverseRmsOf, LESS } from "./rms-norm.ts";

/** Rows of a group, and of a thread. */
const ROWS = 16;
const OWN = 4;
/** Inner indices of a tile; a row of it is one longer, so that rows begin in different banks. */
const TILE = 64;
/** Columns for which tiles and shares fit 16 KiB, the least that WebGPU promises. */
const MOST_COLUMNS = 44;

/**
 * The kernel of p and s. Threads: [shares of the inner index, 4 fours of rows, 4 parts of the columns]; `c` are a
 * thread's sums, `squares` those of x, which the first part of the columns takes as they are and the second LESS times.
 */
function projectionText(
  rows: number,
  K: number,
  P: number,
  epsilon: number,
): Pick<KernelCall, "functions" | "width" | "groups" | "body"> {
  const own = Math.ceil(P / 4);
  const shares = own <= 6 ? 16 : 8;
  const width = 16 * shares;
  const count = OWN * own + OWN;
  const stride = count | 1;
  const row = TILE + 1;
  const size = Math.max((ROWS + P) * row, (shares / 2) * 16 * stride);
  const numbers = (length: number): number[] => Array.from({ length }, (_, at) => at);
  const each = (line: (r: number, q: number) => string): string =>
    numbers(OWN)
      .flatMap((r) => numbers(own).map((q) => line(r, q)))
      .join("\n");
  const rowsOf = (line: (r: number) => string): string => numbers(OWN).map(line).join("\n");
  const names = numbers(OWN).flatMap((r) => [...numbers(own).map((q) => `c${r}_${q}`), `squares${r}`]);
  return {
    functions: [`var<workgroup> tile: array<f32, ${size}>;`, `var<workgroup> sums: array<f32, ${2 * ROWS}>;`],
    width,
    groups: Math.ceil(rows / ROWS),
    body: `
  let share: u32 = lane / 16u;
  let four: u32 = (lane / 4u) % 4u;
  let part: u32 = lane % 4u;
  let firstRow: u32 = group * ${u(ROWS)};
  let firstColumn: u32 = part * ${u(own)};
  let factor: f32 = select(1.0f, ${float(LESS)}, part == 1u);
${names.map((name) => `  var ${name}: f32 = 0.0f;`).join("\n")}
  for (var begin: u32 = 0u; begin < ${u(K)}; begin += ${u(TILE)}) {
    for (var at: u32 = lane; at < ${u((ROWS + P) * TILE)}; at += ${u(width)}) {
      let line: u32 = at / ${u(TILE)};
      let k: u32 = begin + at % ${u(TILE)};
      var value: f32 = 0.0f;
      if (k < ${u(K)}) {
        if (line < ${u(ROWS)}) {
          if (firstRow + line < ${u(rows)}) { value = x[(firstRow + line) * ${u(K)} + k]; }
        } else { value = w[(line - ${u(ROWS)}) * ${u(K)} + k]; }
      }
      tile[line * ${u(row)} + at % ${u(TILE)}] = value;
    }
    workgroupBarrier();
    for (var k: u32 = share; k < ${u(TILE)}; k += ${u(shares)}) {
${rowsOf((r) => `      let x${r}: f32 = tile[(four * ${u(OWN)} + ${u(r)}) * ${u(row)} + k];`)}
${numbers(own)
  .map((q) => `      let w${q}: f32 = tile[(${u(ROWS)} + min(firstColumn + ${u(q)}, ${u(P - 1)})) * ${u(row)} + k];`)
  .join("\n")}
${rowsOf((r) => `      let less${r}: f32 = x${r} * factor;\n      squares${r} += less${r} * less${r};`)}
${each((r, q) => `      c${r}_${q} += x${r} * w${q};`)}
    }
    workgroupBarrier();
  }
  for (var half: u32 = ${u(shares / 2)}; half > 0u; half = half / 2u) {
    let place: u32 = ((share % half) * 16u + lane % 16u) * ${u(stride)};
    if (share >= half && share < 2u * half) {
${names.map((name, at) => `      tile[place + ${u(at)}] = ${name};`).join("\n")}
    }
    workgroupBarrier();
    if (share < half) {
${names.map((name, at) => `      ${name} += tile[place + ${u(at)}];`).join("\n")}
    }
    workgroupBarrier();
  }
  if (share == 0u && part < 2u) {
${rowsOf((r) => `    sums[part * ${u(ROWS)} + four * ${u(OWN)} + ${u(r)}] = squares${r};`)}
  }
  workgroupBarrier();
  if (share == 0u) {
${rowsOf(
  (r) => `    {
      let line: u32 = four * ${u(OWN)} + ${u(r)};
      let row: u32 = firstRow + line;
      let s: f32 = ${inverseRmsOf("sums[line]", `sums[${u(ROWS)} + line]`, K, epsilon)};
      if (row < ${u(rows)}) {
        if (part == 0u) { norms[row] = s; }
${numbers(own)
  .map(
    (q) =>
      `        if (firstColumn + ${u(q)} < ${u(P)}) { p[row * ${u(P)} + firstColumn + ${u(q)}] = s * c${r}_${q}; }`,
  )
  .join("\n")}
      }
    }`,
)}
  }`,
  };
}

export const streamProjection: readonly Implementation[] = [
  calls(streamProjectionOperation, ({ x, w, p, s }, attributes, context) => {
    const { rows, length: K } = projectionRows(x, attributes);
    const [streams, scales] = [operand(context, x), operand(context, s)];
    const P = rowCount(w.shape);
    if (P <= MOST_COLUMNS) {
      context.emit(
        kernelCall({
          name: "streamProjection",
          reads: { x: streams, w: operand(context, w) },
          writes: { p: operand(context, p), norms: scales },
          ...projectionText(rows, K, P, attributes.epsilon),
        }),
      );
      return;
    }
    context.emit(
      kernelCall({
        name: "inverseNorms",
        reads: { x: streams },
        writes: { norms: scales },
        functions: groupReduction("fold", (a, b) => `${a} + ${b}`),
        width: WIDTH,
        groups: rows,
        flops: 2 * rows * K,
        body: `
  let row: u32 = group;${inverseRms("x", K, attributes.epsilon)}
  if (lane == 0u) { norms[row] = s; }`,
      }),
    );
    emitProduct(context, {
      a: streams,
      b: operand(context, w),
      c: operand(context, p),
      extents: { batch: 1, rows, inner: K, columns: P },
      transposeA: false,
      transposeB: true,
      finish: { reads: { norms: scales }, value: "norms[row] * value" },
    });
  }),
  calls(
    streamProjectionBackwardOperation,
    ({ x, w, p, s, dp, dx, draw }, attributes, context, addend) => {
      const { rows, length: K } = projectionRows(x, attributes);
      const P = lastAxis(p.shape);
      const along = temporary(context, "along", rows);
      const [norms, rawGradient] = [operand(context, s), operand(context, draw)];
      context.emit(
        kernelCall({
          name: "projectionRows",
          reads: { p: operand(context, p), norms, dp: operand(context, dp) },
          writes: { draw: rawGradient, along },
          width: WIDTH,
          groups: Math.ceil(rows / WIDTH),
          flops: 4 * rows * P,
          body: `
  let row: u32 = group * ${u(WIDTH)} + lane;
  if (row < ${u(rows)}) {
    let s: f32 = norms[row];
    var value: f32 = 0.0f;
    for (var m: u32 = row * ${u(P)}; m < (row + 1u) * ${u(P)}; m += 1u) {
      value += dp[m] * p[m];
      draw[m] = s * dp[m];
    }
    along[row] = s * value / ${float(K)};
  }`,
        }),
      );
      emitProduct(context, {
        a: rawGradient,
        b: operand(context, w),
        c: operand(context, dx),
        extents: { batch: 1, rows, inner: P, columns: K },
        transposeA: false,
        transposeB: false,
        // s² of a long row may be below what float32 holds; s x is not.
        finish: {
          reads: { along, norms, x: operand(context, x), ...(addend && { addend: operand(context, addend) }) },
          value: `${addend ? "addend[at] + " : ""}(value - along[row] * (norms[row] * x[at]))`,
          ...(addend && { inPlace: "addend" }),
        },
      });
    },
    {
      accumulates: true,
      rounds: ({ inputs: [x, w], attributes }) => {
        const { rows, length: K } = projectionRows(x!, attributes as StreamProjectionAttributes);
        return canRound({ batch: 1, rows, inner: rowCount(w!.shape), columns: K });
      },
    },
  ),
];
