// Question: how does a GPU normalise rows by their root mean square?
//
// A group of threads a row, which it keeps in registers: every value is read once. Backward: a group goes through
// several rows and keeps its share of dw, g · x · s, which is added up over the groups afterwards. Rows that are too
// long for registers are read again.
//
// Bytes a row, in values: forward 2 C, backward 3 C (4 C where it adds to a gradient), and dw's share C / rows.

import { lastAxis, rowCount, type Tensor } from "../../../graph/tensor.ts";
import { rmsNormBackwardOperation, rmsNormOperation } from "../../../ops/rms-norm.ts";
import { calls, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { groupReduction, type KeptRow, keptRow, keptValues, WIDTH } from "../rows.ts";
import { float } from "../work.ts";
import { emitColumnSums } from "./reductions.ts";

/** Where squares of a row overflow, they are summed of values that are smaller by this. */
export const LESS: number = 2 ** -80;
/** The least epsilon that counts: a GPU may take what is below for 0. */
export const LEAST_EPSILON: number = 2 ** -126;

/** s from the sum of the squares of a row, and from that of LESS times as large values, where the first overflows. */
export function inverseRmsOf(squares: string, lessSquares: string, C: number, epsilon: number): string {
  return `select(
    1.0f / root(${squares} / ${float(C)} + ${float(epsilon === 0 ? 0 : Math.max(epsilon, LEAST_EPSILON))}),
    ${float(LESS)} / root(${lessSquares} / ${float(C)}),
    (bitcast<u32>(${squares}) & 0x7f800000u) == 0x7f800000u)`;
}

/** The text that finds s of `row` by all threads of a group. */
export function inverseRms(x: string, C: number, epsilon: number): string {
  return `
  var squares: f32 = 0.0f;
  var lessSquares: f32 = 0.0f;
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let value: f32 = ${x}[row * ${u(C)} + c];
    squares += value * value;
    let less: f32 = value * ${float(LESS)};
    lessSquares += less * less;
  }
  let total: f32 = fold(squares, lane);
  let lessTotal: f32 = fold(lessSquares, lane);
  let s: f32 = ${inverseRmsOf("total", "lessTotal", C, epsilon)};`;
}

/** The same from the kept values of a row. */
function keptInverseRms(row: KeptRow, C: number, epsilon: number): string {
  return `
  var squares: f32 = 0.0f;
  var lessSquares: f32 = 0.0f;
${row.each((at) => `squares += x${at} * x${at}; let less: f32 = x${at} * ${float(LESS)}; lessSquares += less * less;`)}
  let total: f32 = fold(squares, lane);
  let lessTotal: f32 = fold(lessSquares, lane);
  let s: f32 = ${inverseRmsOf("total", "lessTotal", C, epsilon)};`;
}

const sum = (width: number = WIDTH): string[] => groupReduction("fold", (a, b) => `${a} + ${b}`, width);
const sizes = (x: Tensor): readonly [rows: number, C: number] => [rowCount(x.shape), lastAxis(x.shape)];

/** A thread stores two neighbours as bfloat16. */
const storePair = (at: number): string =>
  at % 2 === 0 ? "" : `y[(first + c) / 2u] = packed(x${at - 1} * s * w[c - 1u], x${at} * s * w[c]);`;

/** Groups that busy a large GPU: each goes through so many rows that there are about so many. */
const GROUPS = 1024;
/** Fewer would make the shares as large as dx. */
const LEAST_ROWS = 4;
const MOST_ROWS = 16;

export const rmsNorm: readonly Implementation[] = [
  calls(
    rmsNormOperation,
    ({ x, w, y }, { epsilon }, context) => {
      const [rows, C] = sizes(x);
      const result = operand(context, y);
      const kept = keptRow(C, result.narrow);
      context.emit(
        kernelCall({
          name: "rmsNorm",
          reads: { x: operand(context, x), w: operand(context, w) },
          writes: { y: result },
          ...(kept && { inPlace: { y: "x" } }),
          functions: sum(kept?.width),
          width: kept?.width ?? WIDTH,
          groups: rows,
          body: kept
            ? `
  let first: u32 = group * ${u(C)};
${keptValues("x", kept)}
${kept.each((at) => `x${at} = x[first + c];`)}${keptInverseRms(kept, C, epsilon)}
${kept.each(result.narrow ? storePair : (at) => `y[first + c] = x${at} * s * w[c];`)}`
            : `
  let row: u32 = group;${inverseRms("x", C, epsilon)}
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) { y[row * ${u(C)} + c] = x[row * ${u(C)} + c] * s * w[c]; }`,
        }),
      );
    },
    { rounds: ({ outputs: [y] }) => lastAxis(y!.shape) % 2 === 0 && keptRow(lastAxis(y!.shape)) !== undefined },
  ),
  calls(
    rmsNormBackwardOperation,
    ({ x, w, g, dx, dw }, { epsilon }, context, addend) => {
      const [rows, C] = sizes(x);
      const kept = keptRow(C);
      const each = kept ? Math.max(LEAST_ROWS, Math.min(MOST_ROWS, Math.floor(rows / GROUPS))) : 1;
      const groups = Math.ceil(rows / each);
      const shares = groups === 1 ? operand(context, dw) : temporary(context, "shares", groups * C);
      const plus = addend ? "addend[at] + " : "";
      context.emit(
        kernelCall({
          name: "rmsNormBackward",
          reads: {
            x: operand(context, x),
            w: operand(context, w),
            g: operand(context, g),
            ...(addend && { addend: operand(context, addend) }),
          },
          writes: { dx: operand(context, dx), shares },
          ...(addend ? { inPlace: { dx: "addend" } } : kept && { inPlace: { dx: "g" } }),
          functions: sum(kept?.width),
          width: kept?.width ?? WIDTH,
          groups,
          body: kept
            ? `
${keptValues("share", kept)}
  for (var row: u32 = group * ${u(each)}; row < min((group + 1u) * ${u(each)}, ${u(rows)}); row += 1u) {
  let first: u32 = row * ${u(C)};
${keptValues("x", kept)}
${keptValues("g", kept)}
${kept.each((at) => `x${at} = x[first + c]; g${at} = g[first + c];`)}${keptInverseRms(kept, C, epsilon)}
  var product: f32 = 0.0f;
${kept.each((at) => `product += w[c] * g${at} * (x${at} * s);`)}
  let along: f32 = fold(product, lane) / ${float(C)};
${kept.each((at) => `let at: u32 = first + c; dx[at] = ${plus}s * (w[c] * g${at} - (x${at} * s) * along); share${at} += g${at} * (x${at} * s);`)}
  }
${kept.each((at) => `shares[group * ${u(C)} + c] = share${at};`)}`
            : `
  let row: u32 = group;${inverseRms("x", C, epsilon)}
  var product: f32 = 0.0f;
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = row * ${u(C)} + c;
    product += w[c] * g[at] * (x[at] * s);
  }
  let along: f32 = fold(product, lane) / ${float(C)};
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = row * ${u(C)} + c;
    shares[at] = g[at] * (x[at] * s);
    dx[at] = ${plus}s * (w[c] * g[at] - (x[at] * s) * along);
  }`,
        }),
      );
      if (groups > 1) emitColumnSums(context, shares, operand(context, dw), groups, C);
    },
    { accumulates: true },
  ),
];
