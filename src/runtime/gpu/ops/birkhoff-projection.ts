// Question: how does a GPU find the doubly stochastic matrix that Sinkhorn-Knopp would end at?
//
// One thread a matrix, as ops/birkhoff-projection.ts: Newton steps of v until the columns are near to one, then steps
// of P itself until they are there up to rounding. The columns' equations are eliminated as in ops/column-graph.ts.

import { lastAxis, sizeOf } from "../../../graph/tensor.ts";
import { birkhoffProjectionOperation } from "../../../ops/birkhoff-projection.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";
import { float } from "../work.ts";

/** If no column is off by more than this, the steps multiply P from then on. */
const NEAR = 1e-2;
/** The size of a flow that rounding alone can cause. */
const ROUNDING = 2.4e-7;
const MOST_STEPS = 400;
/** P is never multiplied by more than e to the power of this. */
const LONGEST = 20;
/** A weight below this counts as this: the quotients stay finite. */
const NO_WEIGHT = 1e-30;
/** Below this e − e²/2 stands for ln(1 + e), which keeps no digits of a small e. */
const SMALL = 1e-2;
/** The least exponent. */
const LEAST = -87.3;

const declarations = (n: number): string[] => {
  const [N, square] = [u(n), n * n];
  return [
    `var<private> l: array<f32, ${square}>;
var<private> q: array<f32, ${square}>;
var<private> w: array<f32, ${square}>;
var<private> f: array<f32, ${square}>;
var<private> v: array<f32, ${n}>;
var<private> x: array<f32, ${n}>;`,
    // x = 1 − c; the largest of them.
    `fn columnErrors() -> f32 {
  var worst: f32 = 0.0f;
  for (var j: u32 = 0u; j < ${N}; j += 1u) {
    var rest: f32 = 1.0f;
    for (var i: u32 = 0u; i < ${N}; i += 1u) { rest = rest - q[i * ${N} + j]; }
    x[j] = rest;
    worst = max(worst, abs(rest));
  }
  return worst;
}`,
    `fn normaliseRows() {
  for (var i: u32 = 0u; i < ${N}; i += 1u) {
    var sum: f32 = 0.0f;
    for (var j: u32 = 0u; j < ${N}; j += 1u) { sum += q[i * ${N} + j]; }
    for (var j: u32 = 0u; j < ${N}; j += 1u) { q[i * ${N} + j] = q[i * ${N} + j] / sum; }
  }
}`,
    // q = row softmax of l + 1vᵀ.
    `fn shiftedSoftmax() {
  for (var i: u32 = 0u; i < ${N}; i += 1u) {
    var highest: f32 = l[i * ${N}] + v[0];
    for (var j: u32 = 0u; j < ${N}; j += 1u) { highest = larger(highest, l[i * ${N} + j] + v[j]); }
    for (var j: u32 = 0u; j < ${N}; j += 1u) {
      q[i * ${N} + j] = exponential(larger(l[i * ${N} + j] + v[j] - highest, ${float(LEAST)}));
    }
  }
  normaliseRows();
}`,
    // From x = 1 − c to the step in x.
    `fn newtonStep() {
  for (var j: u32 = 0u; j < ${N}; j += 1u) {
    for (var k: u32 = 0u; k < ${N}; k += 1u) {
      var weight: f32 = 0.0f;
      for (var i: u32 = 0u; i < ${N}; i += 1u) { weight += q[i * ${N} + j] * q[i * ${N} + k]; }
      w[j * ${N} + k] = weight;
      f[j * ${N} + k] = (x[j] - x[k]) / ${float(n)};
    }
  }
  for (var k: u32 = 0u; k + 1u < ${N}; k += 1u) {
    var d: f32 = 0.0f;
    for (var j: u32 = k + 1u; j < ${N}; j += 1u) { d += w[k * ${N} + j]; }
    d = max(d, ${float(NO_WEIGHT)});
    w[k * ${N} + k] = d;
    for (var i: u32 = k + 1u; i < ${N}; i += 1u) {
      let share: f32 = w[k * ${N} + i] / d;
      let flow: f32 = -f[k * ${N} + i] / d;
      for (var j: u32 = k + 1u; j < ${N}; j += 1u) {
        if (j != i) {
          w[i * ${N} + j] += share * w[k * ${N} + j];
          f[i * ${N} + j] += flow * w[k * ${N} + j] + share * f[k * ${N} + j];
        }
      }
    }
  }
  x[${u(n - 1)}] = 0.0f;
  for (var left: u32 = ${u(n - 1)}; left > 0u; left -= 1u) {
    let k: u32 = left - 1u;
    let d: f32 = w[k * ${N} + k];
    var mean: f32 = 0.0f;
    var wanted: f32 = 0.0f;
    for (var j: u32 = k + 1u; j < ${N}; j += 1u) {
      wanted += f[k * ${N} + j];
      mean += w[k * ${N} + j] / d * x[j];
    }
    let beyond: f32 = abs(wanted) / d;
    let length: f32 = select(logarithm(1.0f + beyond), beyond - 0.5f * beyond * beyond, beyond < ${float(SMALL)});
    x[k] = mean + select(0.0f, select(length, -length, wanted < 0.0f), abs(wanted) >= ${float(ROUNDING)});
  }
}`,
  ];
};

export const birkhoffProjection: readonly Implementation[] = [
  calls(birkhoffProjectionOperation, ({ logits, p }, _attributes, context) => {
    const n = lastAxis(logits.shape);
    const [N, square] = [u(n), n * n];
    const count = sizeOf(logits.shape) / square;
    context.emit(
      kernelCall({
        name: "birkhoffProjection",
        reads: { logits: operand(context, logits) },
        writes: { p: operand(context, p) },
        functions: declarations(n),
        width: WIDTH,
        groups: Math.ceil(count / WIDTH),
        body: `
  let t: u32 = group * ${u(WIDTH)} + lane;
  if (t < ${u(count)}) {
    for (var k: u32 = 0u; k < ${u(square)}; k += 1u) { l[k] = logits[t * ${u(square)} + k]; }
    for (var j: u32 = 0u; j < ${N}; j += 1u) { v[j] = 0.0f; }
    shiftedSoftmax();
    var step: u32 = 0u;
    for (; step < ${u(MOST_STEPS)}; step += 1u) {
      if (columnErrors() <= ${float(NEAR)}) { break; }
      newtonStep();
      for (var j: u32 = 0u; j < ${N}; j += 1u) { v[j] += x[j]; }
      shiftedSoftmax();
    }
    for (; step < ${u(MOST_STEPS)}; step += 1u) {
      if (columnErrors() <= ${float(ROUNDING * (n + 2))}) { break; }
      newtonStep();
      for (var k: u32 = 0u; k < ${u(square)}; k += 1u) {
        q[k] = q[k] * exponential(max(min(x[k % ${N}], ${float(LONGEST)}), ${float(-LONGEST)}));
      }
      normaliseRows();
    }
    for (var k: u32 = 0u; k < ${u(square)}; k += 1u) { p[t * ${u(square)} + k] = q[k]; }
  }`,
      }),
    );
  }),
];
