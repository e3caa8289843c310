// Question: how does a GPU normalise rows by their root mean square?
//
// Forward: a group of threads a row. Backward: the same for dx, which also keeps s of each row; dw then sums g · x · s
// over parts of the rows, and the parts.

import { lastAxis, rowCount, type Tensor } from "../../../graph/tensor.ts";
import { rmsNormBackwardOperation, rmsNormOperation } from "../../../ops/rms-norm.ts";
import { calls, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { groupReduction, WIDTH } from "../rows.ts";
import { float } from "../work.ts";
import { emitColumnSums, PART_ROWS } from "./reductions.ts";

/** Where squares of a row overflow, they are summed of values that are smaller by this. */
export const LESS: number = 2 ** -80;
/** The least epsilon that counts: a GPU may take what is below for 0. */
const LEAST_EPSILON = 2 ** -126;

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

const sum = groupReduction("fold", (a, b) => `${a} + ${b}`);
const sizes = (x: Tensor): readonly [rows: number, C: number] => [rowCount(x.shape), lastAxis(x.shape)];

export const rmsNorm: readonly Implementation[] = [
  calls(rmsNormOperation, ({ x, w, y }, { epsilon }, context) => {
    const [rows, C] = sizes(x);
    context.emit(
      kernelCall({
        name: "rmsNorm",
        reads: { x: operand(context, x), w: operand(context, w) },
        writes: { y: operand(context, y) },
        functions: sum,
        width: WIDTH,
        groups: rows,
        body: `
  let row: u32 = group;${inverseRms("x", C, epsilon)}
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) { y[row * ${u(C)} + c] = x[row * ${u(C)} + c] * s * w[c]; }`,
      }),
    );
  }),
  calls(
    rmsNormBackwardOperation,
    ({ x, w, g, dx, dw }, { epsilon }, context, addend) => {
      const [rows, C] = sizes(x);
      const scales = temporary(context, "scales", rows);
      const [values, gradient] = [operand(context, x), operand(context, g)];
      context.emit(
        kernelCall({
          name: "rmsNormBackward",
          reads: {
            x: values,
            w: operand(context, w),
            g: gradient,
            ...(addend && { addend: operand(context, addend) }),
          },
          writes: { dx: operand(context, dx), scales },
          ...(addend && { inPlace: { dx: "addend" } }),
          functions: sum,
          width: WIDTH,
          groups: rows,
          body: `
  let row: u32 = group;${inverseRms("x", C, epsilon)}
  var product: f32 = 0.0f;
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = row * ${u(C)} + c;
    product += w[c] * g[at] * (x[at] * s);
  }
  let along: f32 = fold(product, lane) / ${float(C)};
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = row * ${u(C)} + c;
    dx[at] = ${addend ? "addend[at] + " : ""}s * (w[c] * g[at] - (x[at] * s) * along);
  }
  if (lane == 0u) { scales[row] = s; }`,
        }),
      );
      const parts = Math.ceil(rows / PART_ROWS);
      const sums = parts === 1 ? operand(context, dw) : temporary(context, "parts", parts * C);
      context.emit(
        kernelCall({
          name: "rmsNormWeight",
          reads: { x: values, g: gradient, scales },
          writes: { sums },
          width: WIDTH,
          groups: Math.ceil((parts * C) / WIDTH),
          flops: 0,
          body: `
  let cell: u32 = group * ${u(WIDTH)} + lane;
  if (cell < ${u(parts * C)}) {
    let part: u32 = cell / ${u(C)};
    let end: u32 = min((part + 1u) * ${u(PART_ROWS)}, ${u(rows)});
    var value: f32 = 0.0f;
    for (var row: u32 = part * ${u(PART_ROWS)}; row < end; row += 1u) {
      let at: u32 = row * ${u(C)} + cell % ${u(C)};
      value += g[at] * (x[at] * scales[row]);
    }
    sums[cell] = value;
  }`,
        }),
      );
      if (parts > 1) emitColumnSums(context, sums, operand(context, dw), parts, C, { lazy: true });
    },
    { accumulates: true },
  ),
];
