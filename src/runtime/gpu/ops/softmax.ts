// Question: how does a GPU find the softmax of rows, and the cross-entropy with targets?
//
// Long rows: a group of threads each. Short rows, such as those of a router: one thread each.

import { lastAxis, rowCount, sizeOf } from "../../../graph/tensor.ts";
import { crossEntropyBackwardOperation, crossEntropyOperation } from "../../../ops/cross-entropy.ts";
import { softmaxBackwardOperation, softmaxOperation } from "../../../ops/softmax.ts";
import { checkIndices } from "../check.ts";
import { calls, elementCall, type Implementation, type KernelCall, kernelCall, operand, u } from "../implement.ts";
import { groupReduction, SHORT_ROW, WIDTH } from "../rows.ts";

/** A row's work, written once for a thread alone and for a group: `each` loops over c, `all` joins what threads found. */
interface RowText {
  readonly each: (body: string) => string;
  readonly sum: (value: string) => string;
  readonly largest: (value: string) => string;
}

type RowCall = Pick<KernelCall, "name" | "reads" | "writes" | "inPlace"> & {
  /** The body for `row`; what it declares outside of `each` is of the row. */
  readonly body: (text: RowText) => string;
};

/** A kernel over the rows of [rows, C]. */
export function rowsCall(rows: number, C: number, { body, ...call }: RowCall): ReturnType<typeof kernelCall> {
  const short = C <= SHORT_ROW;
  const [first, step] = short ? ["0u", 1] : ["lane", WIDTH];
  const text = body({
    each: (inner) => `for (var c: u32 = ${first}; c < ${u(C)}; c += ${u(step)}) { ${inner} }`,
    sum: (value) => (short ? value : `foldSum(${value}, lane)`),
    largest: (value) => (short ? value : `foldLargest(${value}, lane)`),
  });
  return kernelCall({
    ...call,
    width: WIDTH,
    groups: short ? Math.ceil(rows / WIDTH) : rows,
    functions: short
      ? []
      : [
          ...(text.includes("foldSum(") ? groupReduction("foldSum", (a, b) => `${a} + ${b}`) : []),
          ...(text.includes("foldLargest(") ? groupReduction("foldLargest", (a, b) => `larger(${a}, ${b})`) : []),
        ],
    body: short
      ? `
  let row: u32 = group * ${u(WIDTH)} + lane;
  if (row < ${u(rows)}) {${text}
  }`
      : `
  let row: u32 = group;${text}`,
  });
}

/** Finds `highest` and `total`, the sum of the exponentials under it, of a row of `x`. */
const exponentials = ({ each, sum, largest }: RowText, x: string, C: number): string => `
  var found: f32 = fromBits(4286578688u);
  ${each(`found = larger(found, ${x}[row * ${u(C)} + c]);`)}
  let highest: f32 = ${largest("found")};
  var part: f32 = 0.0f;
  ${each(`part += exponential(${x}[row * ${u(C)} + c] - highest);`)}
  let total: f32 = ${sum("part")};`;

/** One store a row. */
const once = (C: number, text: string): string => (C <= SHORT_ROW ? text : `if (lane == 0u) { ${text} }`);

export const softmax: readonly Implementation[] = [
  calls(softmaxOperation, ({ x, y }, _attributes, context) => {
    const [rows, C] = [rowCount(x.shape), lastAxis(x.shape)];
    context.emit(
      rowsCall(rows, C, {
        name: "softmax",
        reads: { x: operand(context, x) },
        writes: { y: operand(context, y) },
        inPlace: { y: "x" },
        body: (text) => `${exponentials(text, "x", C)}
  ${text.each(`y[row * ${u(C)} + c] = exponential(x[row * ${u(C)} + c] - highest) / total;`)}`,
      }),
    );
  }),
  calls(softmaxBackwardOperation, ({ y, g, dx }, _attributes, context) => {
    const [rows, C] = [rowCount(y.shape), lastAxis(y.shape)];
    context.emit(
      rowsCall(rows, C, {
        name: "softmaxBackward",
        reads: { y: operand(context, y), g: operand(context, g) },
        writes: { dx: operand(context, dx) },
        inPlace: { dx: "g" },
        body: ({ each, sum }) => `
  var part: f32 = 0.0f;
  ${each(`part += y[row * ${u(C)} + c] * g[row * ${u(C)} + c];`)}
  let along: f32 = ${sum("part")};
  ${each(`dx[row * ${u(C)} + c] = y[row * ${u(C)} + c] * (g[row * ${u(C)} + c] - along);`)}`,
      }),
    );
  }),
  calls(crossEntropyOperation, ({ logits, targets, loss, lse }, _attributes, context, _addend, scope) => {
    const [rows, V] = [rowCount(logits.shape), lastAxis(logits.shape)];
    checkIndices(context, targets, { operation: "crossEntropy", scope, rows: V });
    context.emit(
      rowsCall(rows, V, {
        name: "crossEntropy",
        reads: { logits: operand(context, logits), targets: operand(context, targets) },
        writes: { loss: operand(context, loss), lse: operand(context, lse) },
        body: (text) => `${exponentials(text, "logits", V)}
  let label: u32 = select(0u, u32(targets[row]), u32(targets[row]) < ${u(V)});
  ${once(V, `lse[row] = highest + logarithm(total); loss[row] = (highest - logits[row * ${u(V)} + label]) + logarithm(total);`)}`,
      }),
    );
  }),
  calls(
    crossEntropyBackwardOperation,
    ({ logits, targets, lse, g, s, dlogits }, _attributes, context, _addend, scope) => {
      const V = lastAxis(logits.shape);
      checkIndices(context, targets, { operation: "crossEntropyBackward", scope, rows: V });
      const row = V === 1 ? "i" : `i / ${u(V)}`;
      const read = (name: string, tensor: typeof logits, index: string): object & Read => ({
        ...operand(context, tensor),
        name,
        index,
      });
      context.emit(
        elementCall({
          name: "crossEntropyBackward",
          reads: [
            read("logit", logits, "i"),
            read("label", targets, row),
            read("lse", lse, row),
            read("g", g, row),
            read("s", s, row),
          ],
          write: operand(context, dlogits),
          value: `exponential(logit - lse) * s - select(0.0f, g, select(0u, u32(label), u32(label) < ${u(V)}) == i % ${u(V)})`,
          size: sizeOf(logits.shape),
        }),
      );
    },
  ),
];

type Read = Parameters<typeof elementCall>[0]["reads"][number];
