// Question: how does a GPU sum, or find the largest, along the last axis or over all leading ones?
//
// Short rows: one thread a row. Long rows: one group of threads a row, each sums every WIDTH-th value, then halves are
// added to halves. Over leading axes: one thread a column; many rows are cut into parts that are summed in a second
// call. The order is fixed by the shapes, so the bits are the same in every run.

import { lastAxis, rowCount, sizeOf } from "../../../graph/tensor.ts";
import { maxLastOperation } from "../../../ops/max-last.ts";
import { sumLastOperation, sumLeadingOperation } from "../../../ops/reductions.ts";
import { clipScaleOperation } from "../../../ops/clip-scale.ts";
import { sumSquaresOperation } from "../../../ops/sum-squares.ts";
import { calls, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { groupReduction, SHORT_ROW, WIDTH } from "../rows.ts";
import { float } from "../work.ts";

/** Rows of a part of a sum over leading axes. */
const PART_ROWS = 128;

interface Fold {
  readonly start: string;
  readonly join: (a: string, b: string) => string;
}

const sum: Fold = { start: "0.0f", join: (a, b) => `${a} + ${b}` };
const largest: Fold = { start: "fromBits(4286578688u)", join: (a, b) => `larger(${a}, ${b})` };

function foldRows(op: typeof sumLastOperation, { start, join }: Fold): Implementation {
  return calls(op, ({ x, y }, _attributes, context) => {
    const [rows, C] = [rowCount(x.shape), lastAxis(x.shape)];
    const loop = (first: string, step: number): string => `
  var value: f32 = ${start};
  for (var c: u32 = ${first}; c < ${u(C)}; c += ${u(step)}) { value = ${join("value", `x[row * ${u(C)} + c]`)}; }`;
    const short = C <= SHORT_ROW;
    context.emit(
      kernelCall({
        name: op.name,
        reads: { x: operand(context, x) },
        writes: { y: operand(context, y) },
        width: WIDTH,
        groups: short ? Math.ceil(rows / WIDTH) : rows,
        functions: short ? [] : groupReduction("fold", join),
        body: short
          ? `
  let row: u32 = group * ${u(WIDTH)} + lane;
  if (row < ${u(rows)}) {${loop("0u", 1)}
    y[row] = value;
  }`
          : `
  let row: u32 = group;${loop("lane", WIDTH)}
  let total: f32 = fold(value, lane);
  if (lane == 0u) { y[row] = total; }`,
      }),
    );
  });
}

export const reductions: readonly Implementation[] = [
  calls(sumSquaresOperation, ({ x, total }, _attributes, context) =>
    emitTotal(context, {
      x: operand(context, x),
      y: operand(context, total),
      size: sizeOf(x.shape),
      term: "x[i] * x[i]",
      lazy: true,
    }),
  ),
  calls(clipScaleOperation, ({ sums, clip }, { limit }, context) => {
    const reads = Object.fromEntries(sums.map((sum, at) => [`sum${at}`, operand(context, sum)]));
    context.emit(
      kernelCall({
        name: "clipScale",
        reads,
        writes: { clip: operand(context, clip) },
        numbers: {},
        width: 1,
        groups: 1,
        body: `
  var total: f32 = 0.0f;
${Object.keys(reads)
  .map((name) => `  total += ${name}[0];`)
  .join("\n")}
  let norm: f32 = root(total);
  clip[0] = norm;
  clip[1] = ${limit === Number.POSITIVE_INFINITY ? "1.0f" : `smaller(${float(limit)} / (norm + 1e-6f), 1.0f)`};`,
      }),
    );
  }),
  foldRows(sumLastOperation, sum),
  foldRows(maxLastOperation, largest),
  calls(sumLeadingOperation, ({ x, y }, _attributes, context) => {
    const C = sizeOf(y.shape);
    const rows = sizeOf(x.shape) / C;
    if (C === 1) {
      emitTotal(context, { x: operand(context, x), y: operand(context, y), size: rows });
      return;
    }
    emitColumnSums(context, operand(context, x), operand(context, y), rows, C);
  }),
];

type Place = ReturnType<typeof operand>;
type Context = Parameters<Implementation["lowering"]["lower"]>[1];

export interface SumOptions {
  /** Whether it waits until somebody needs the result: it may then be one kernel with others. Default false. */
  readonly lazy?: boolean;
}

/** Sum the rows of [rows, C]: parts of them at first where there are many. */
export function emitColumnSums(
  context: Context,
  x: Place,
  y: Place,
  rows: number,
  C: number,
  { lazy = false }: SumOptions = {},
): void {
  const parts = Math.ceil(rows / PART_ROWS);
  const target = parts === 1 ? y : temporary(context, "parts", parts * C);
  context.emit(
    kernelCall({
      name: "sumColumns",
      reads: { x },
      writes: { y: target },
      numbers: { rows, columns: C, threads: parts * C },
      width: WIDTH,
      groups: Math.ceil((parts * C) / WIDTH),
      lazy,
      body: `
  let at: u32 = group * ${u(WIDTH)} + lane;
  if (at < threads) {
    let part: u32 = at / columns;
    let end: u32 = min((part + 1u) * ${u(PART_ROWS)}, rows);
    var value: f32 = 0.0f;
    for (var row: u32 = part * ${u(PART_ROWS)}; row < end; row += 1u) { value += x[row * columns + at % columns]; }
    y[at] = value;
  }`,
    }),
  );
  // What is left is small: it can wait.
  if (parts > 1) emitColumnSums(context, target, y, parts, C, { lazy: true });
}

/** Sum all values, or a function of each, into one. */
export function emitTotal(
  context: Context,
  { x, y, size, term = "x[i]", lazy = false }: SumOptions & { x: Place; y: Place; size: number; term?: string },
): void {
  const each = WIDTH * 16;
  const groups = Math.ceil(size / each);
  const target = groups === 1 ? y : temporary(context, "parts", groups);
  context.emit(
    kernelCall({
      name: "sumAll",
      reads: { x },
      writes: { y: target },
      numbers: { size },
      width: WIDTH,
      groups,
      lazy,
      functions: groupReduction("fold", sum.join),
      body: `
  var value: f32 = 0.0f;
  let end: u32 = min((group + 1u) * ${u(each)}, size);
  for (var i: u32 = group * ${u(each)} + lane; i < end; i += ${u(WIDTH)}) { value += ${term}; }
  let total: f32 = fold(value, lane);
  if (lane == 0u) { y[group] = total; }`,
    }),
  );
  if (groups > 1) emitTotal(context, { x: target, y, size: groups, lazy: true });
}
