// Question: how does a GPU make the coefficients of Hyper-Connections?
//
// Element by element, as ops/hyper-coefficients.ts: p [n, n + 2] of a token and h [n + 2, n] are each other's
// transposes. Backward: dp element by element; the sums over tokens are those of columns, of dh for the bias, and of
// what each token gives to its three groups for α.

import { sizeOf } from "../../../graph/tensor.ts";
import { hyperCoefficientsBackwardOperation, hyperCoefficientsOperation } from "../../../ops/hyper-coefficients.ts";
import { calls, elementCall, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";
import { emitColumnSums } from "./reductions.ts";

/** n and M = n (n + 2) of p [..., n, n + 2], and the tokens. */
function sizes({ shape }: { readonly shape: readonly number[] }): { n: number; M: number; tokens: number } {
  const n = shape.at(-2) ?? 1;
  const M = n * (n + 2);
  return { n, M, tokens: sizeOf(shape) / M };
}

export const hyperCoefficients: readonly Implementation[] = [
  calls(hyperCoefficientsOperation, ({ p, alpha, bias, h }, { tanh }, context) => {
    const { n, M } = sizes(p);
    const m = `(i % ${u(M)})`;
    const read = (
      name: string,
      tensor: typeof p,
      index: string,
    ): Parameters<typeof elementCall>[0]["reads"][number] => ({
      ...operand(context, tensor),
      name,
      index,
    });
    context.emit(
      elementCall({
        name: "hyperCoefficients",
        reads: [
          read("p", p, `i - ${m} + (${m} % ${u(n)}) * ${u(n + 2)} + ${m} / ${u(n)}`),
          read("alpha", alpha, `min(${m} / ${u(n)}, 2u)`),
          read("bias", bias, m),
        ],
        write: operand(context, h),
        value: `alpha * ${tanh ? "hyperbolicTangent(p)" : "p"} + bias`,
        size: sizeOf(h.shape),
      }),
    );
  }),
  calls(hyperCoefficientsBackwardOperation, ({ p, alpha, dh, dp, dalpha, dbias }, { tanh }, context) => {
    const { n, M, tokens } = sizes(p);
    const gradient = operand(context, dh);
    /** Of each token and group, the sum of dh t. */
    const terms = temporary(context, "terms", 3 * tokens);
    context.emit(
      kernelCall({
        name: "hyperCoefficientsBackward",
        reads: { p: operand(context, p), alpha: operand(context, alpha), dh: gradient },
        writes: { dp: operand(context, dp), terms },
        width: WIDTH,
        groups: Math.ceil(tokens / WIDTH),
        body: `
  let t: u32 = group * ${u(WIDTH)} + lane;
  if (t < ${u(tokens)}) {
    var term0: f32 = 0.0f;
    var term1: f32 = 0.0f;
    var term2: f32 = 0.0f;
    for (var m: u32 = 0u; m < ${u(M)}; m += 1u) {
      let at: u32 = t * ${u(M)} + (m % ${u(n)}) * ${u(n + 2)} + m / ${u(n)};
      let g: f32 = dh[t * ${u(M)} + m];
      let bent: f32 = ${tanh ? "hyperbolicTangent(p[at])" : "p[at]"};
      dp[at] = alpha[min(m / ${u(n)}, 2u)] * g${tanh ? " * (1.0f - bent * bent)" : ""};
      if (m < ${u(n)}) { term0 += g * bent; } else { if (m < ${u(2 * n)}) { term1 += g * bent; } else { term2 += g * bent; } }
    }
    terms[3u * t] = term0;
    terms[3u * t + 1u] = term1;
    terms[3u * t + 2u] = term2;
  }`,
      }),
    );
    emitColumnSums(context, gradient, operand(context, dbias), tokens, M, { lazy: true });
    emitColumnSums(context, terms, operand(context, dalpha), tokens, 3, { lazy: true });
  }),
];
