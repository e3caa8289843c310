// Question: how does a GPU iterate until a matrix is doubly stochastic, and what flows back?
//
// One thread a matrix, as ops/sinkhorn-until.ts. The way back keeps no iterates, which would not fit a thread: before each
// way back through rows and through columns the iterates up to it are computed again, some T² iterations in all.

import { lastAxis, sizeOf } from "../../../graph/tensor.ts";
import { sinkhornUntilBackwardOperation, sinkhornUntilOperation } from "../../../ops/sinkhorn-until.ts";
import { EXP_LOWEST } from "../../../ops/sinkhorn-form.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";
import { float } from "../work.ts";

/** l, the logits; q, the iterate; c, sums of its lines. */
const declarations = (n: number): string[] => {
  const [N, square] = [u(n), n * n];
  const divided = (name: string, entry: string): string => `fn ${name}() {
  for (var a: u32 = 0u; a < ${N}; a += 1u) {
    var sum: f32 = 0.0f;
    for (var b: u32 = 0u; b < ${N}; b += 1u) { sum += q[${entry}]; }
    c[a] = sum;
    for (var b: u32 = 0u; b < ${N}; b += 1u) { q[${entry}] = q[${entry}] / sum; }
  }
}`;
  const [inColumn, inRow] = [`b * ${N} + a`, `a * ${N} + b`];
  return [
    `var<private> l: array<f32, ${square}>;
var<private> q: array<f32, ${square}>;
var<private> c: array<f32, ${n}>;`,
    // q = exp of l, each column divided by its largest entry.
    `fn begin() {
  for (var a: u32 = 0u; a < ${N}; a += 1u) {
    var highest: f32 = l[a];
    for (var b: u32 = 1u; b < ${N}; b += 1u) { highest = larger(highest, l[${inColumn}]); }
    for (var b: u32 = 0u; b < ${N}; b += 1u) { q[${inColumn}] = exponential(larger(l[${inColumn}] - highest, ${float(EXP_LOWEST)})); }
  }
}`,
    divided("columns", inColumn),
    divided("rows", inRow),
    `fn columnError() -> f32 {
  var worst: f32 = 0.0f;
  for (var a: u32 = 0u; a < ${N}; a += 1u) {
    var sum: f32 = 0.0f;
    for (var b: u32 = 0u; b < ${N}; b += 1u) { sum += q[${inColumn}]; }
    worst = max(worst, abs(sum - 1.0f));
  }
  return worst;
}`,
  ];
};

/** Loads matrix t and iterates; `steps` is then T. */
const iterated = (n: number, tolerance: number, most: number): string => `
    for (var k: u32 = 0u; k < ${u(n * n)}; k += 1u) { l[k] = logits[t * ${u(n * n)} + k]; }
    begin();
    var steps: u32 = 0u;
    for (; steps < ${u(most)}; steps += 1u) {
      if (steps > 0u) { if (columnError() <= ${float(tolerance)}) { break; } }
      columns();
      rows();
    }`;

export const sinkhornUntil: readonly Implementation[] = [
  calls(sinkhornUntilOperation, ({ logits, h }, { tolerance, most }, context) => {
    const n = lastAxis(logits.shape);
    const count = sizeOf(logits.shape) / n ** 2;
    context.emit(
      kernelCall({
        name: "sinkhornUntil",
        reads: { logits: operand(context, logits) },
        writes: { h: operand(context, h) },
        functions: declarations(n),
        width: WIDTH,
        groups: Math.ceil(count / WIDTH),
        body: `
  let t: u32 = group * ${u(WIDTH)} + lane;
  if (t < ${u(count)}) {${iterated(n, tolerance, most)}
    for (var k: u32 = 0u; k < ${u(n * n)}; k += 1u) { h[t * ${u(n * n)} + k] = q[k]; }
  }`,
      }),
    );
  }),
  calls(sinkhornUntilBackwardOperation, ({ logits, g, dlogits }, { tolerance, most }, context) => {
    const n = lastAxis(logits.shape);
    const [N, square] = [u(n), u(n * n)];
    const count = sizeOf(logits.shape) / n ** 2;
    const through = (name: string, entry: string): string => `fn ${name}() {
  for (var a: u32 = 0u; a < ${N}; a += 1u) {
    var sum: f32 = 0.0f;
    for (var b: u32 = 0u; b < ${N}; b += 1u) { sum += d[${entry}]; }
    for (var b: u32 = 0u; b < ${N}; b += 1u) { d[${entry}] = d[${entry}] - q[${entry}] * sum; }
  }
}`;
    context.emit(
      kernelCall({
        name: "sinkhornUntilBackward",
        reads: { logits: operand(context, logits), g: operand(context, g) },
        writes: { dlogits: operand(context, dlogits) },
        functions: [
          ...declarations(n),
          `var<private> d: array<f32, ${n * n}>;`,
          through("throughColumns", `b * ${N} + a`),
          through("throughRows", `a * ${N} + b`),
        ],
        width: WIDTH,
        groups: Math.ceil(count / WIDTH),
        body: `
  let t: u32 = group * ${u(WIDTH)} + lane;
  if (t < ${u(count)}) {${iterated(n, tolerance, most)}
    for (var k: u32 = 0u; k < ${square}; k += 1u) { d[k] = g[t * ${square} + k] * q[k]; }
    for (; steps > 0u; steps -= 1u) {
      throughRows();
      begin();
      for (var s: u32 = 1u; s < steps; s += 1u) {
        columns();
        rows();
      }
      columns();
      throughColumns();
      begin();
      for (var s: u32 = 1u; s < steps; s += 1u) {
        columns();
        rows();
      }
    }
    for (var k: u32 = 0u; k < ${square}; k += 1u) { dlogits[t * ${square} + k] = d[k]; }
  }`,
      }),
    );
  }),
];
