// Question: how does an NVIDIA GPU make the coefficients of mHC, and their gradients, in registers?
//
//   pre = σ(l_pre) + ε,  post = s σ(l_post),  res = Sinkhorn(l_res),  l = α_group p + b      (manifold-coefficients.ts)
//
// n lanes a token: lane i has row i of the matrix, with pre_i and post_i. Sums of rows are the lane's own, sums of columns
// are exchanged by shuffles. Backward: the divisors are kept, of rows those of the lane's row and of columns those of the
// column with its number, 2T numbers, so that the walk back multiplies by them and meets each iterate again. db and dα
// are summed over the tokens of a group first, then over the groups in order.
// Bytes a token: 4 M forward and 12 M backward each way, M = n² + 2n.
// Other n than 1, 2, 4 and 8, and more iterations than registers hold, take the kernels of every GPU.

import type { LoweringContext } from "../../plan/machine.ts";
import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import {
  type CoefficientForm,
  manifoldCoefficientsBackwardOperation,
  manifoldCoefficientsOperation,
  paperCoefficients,
  streamsOf,
} from "../../../ops/manifold-coefficients.ts";
import { EXP_LOWEST, type Normalisation, normalisations } from "../../../ops/sinkhorn-form.ts";
import { manifoldCoefficients as everyGpu } from "../../gpu/ops/manifold-coefficients.ts";
import { emitColumnSums } from "../../gpu/ops/reductions.ts";
import { float } from "../../gpu/work.ts";
import { cudaCall, type CudaPlace, cudaTemporary, floatOperand } from "../implement.ts";
import { type Own, own } from "./own.ts";
import { vectors } from "./vectors.ts";

/** Divisors of so many iterations stay in registers. */
export const MOST_ITERATIONS_KEPT = 24;
/** Tokens of a group, here and where the coefficients are made with a read: so the sums over tokens have one order. */
export const TOKENS = 16;

/** The lanes of a token lie in one warp. */
export const fitsLanes = (n: number): boolean => [1, 2, 4, 8].includes(n);

const everyEntry = (body: string): string => `
#pragma unroll
  for (int k = 0; k < n; k++) { ${body} }`;

const guarded = ({ guard, epsilon }: Normalisation): string =>
  guard === "floor" ? `sum = larger(sum, ${float(epsilon)});` : epsilon === 0 ? "" : `sum += ${float(epsilon)};`;

/** One normalisation of the lane's row m; the lane's divisor goes to kept[at], if that is given. */
function stepText(step: Normalisation, at?: string): string {
  const offset = step.offset > 0 ? ` + ${float(step.offset)}` : "";
  if (step.lines === "rows")
    return `{
  float sum = 0.0f;${everyEntry("sum += m[k];")}
  ${guarded(step)}
  ${at === undefined ? "" : `kept[${at}] = sum;`}${everyEntry(`m[k] = m[k] / sum${offset};`)}
  }`;
  return everyEntry(
    `float sum = across(m[k]); ${guarded(step)} ${at === undefined ? "" : `if (i == k) kept[${at}] = sum;`} m[k] = m[k] / sum${offset};`,
  );
}

/** The walk back over one normalisation: m is what it made, then what it was given; g is the gradient times that. */
function backText(step: Normalisation, at: string): string {
  const { offset, guard, epsilon } = step;
  const before =
    offset > 0
      ? `{ const float p = fmaxf(m[k] - ${float(offset)}, 0.0f); g[k] = g[k] * p / (p + ${float(offset)}); m[k] = p; }`
      : "";
  const held = guard === "floor" && epsilon > 0 ? `if (divisor <= ${float(epsilon)}) sum = 0.0f;` : "";
  if (step.lines === "rows")
    return `{
  const float divisor = kept[${at}];
  float sum = 0.0f;${everyEntry(`${before} sum += g[k];`)}
  ${held}${everyEntry("g[k] -= m[k] * sum; m[k] *= divisor;")}
  }`;
  return everyEntry(
    `${before} float sum = across(g[k]); const float divisor = __shfl_sync(0xffffffffu, kept[${at}], k, n); ${held} g[k] -= m[k] * sum; m[k] *= divisor;`,
  );
}

/** The first two normalisations, whose epsilons may differ, and then pairs of them. */
function forwardText(iterations: number, { res }: CoefficientForm, keeps: boolean): string {
  const steps = normalisations(iterations, res);
  const [first, second, later] = steps;
  const start = !first
    ? everyEntry("m[k] = expf(m[k]);")
    : first.lines === "rows"
      ? `{ float highest = m[0];${everyEntry("highest = larger(highest, m[k]);")}${everyEntry(`m[k] = expf(larger(m[k] - highest, ${float(EXP_LOWEST)}));`)} }`
      : everyEntry(
          `const float highest = largestAcross(m[k]); m[k] = expf(larger(m[k] - highest, ${float(EXP_LOWEST)}));`,
        );
  if (!first || !second) return start;
  const at = (text: string): string | undefined => (keeps ? text : undefined);
  return `${start}
${stepText(first, at("0"))}
${stepText(second, at("1"))}
${
  later
    ? `#pragma unroll ${keeps ? "" : "1"}
for (int step = 2; step < ${steps.length}; step += 2) {
${stepText(later, at("step"))}
${stepText(second, at("step + 1"))}
}`
    : ""
}`;
}

function backwardText(iterations: number, { res }: CoefficientForm): string {
  const steps = normalisations(iterations, res);
  const [first, second, later] = steps;
  const times = everyEntry("g[k] *= m[k];");
  if (!first || !second) return times;
  return `${times}
${
  later
    ? `#pragma unroll
for (int step = ${steps.length - 2}; step > 0; step -= 2) {
${backText(second, "step + 1")}
${backText(later, "step")}
}`
    : ""
}
${backText(second, "1")}
${backText(first, "0")}`;
}

/**
 * The declarations: `sinkhorn`, with n and M known, turns the logits m of the lane's row i into the row of the result;
 * `sinkhornKept` keeps its divisors, with which `sinkhornBack` turns the gradient g of that row into that of the logits.
 */
export function coefficientText(n: number, iterations: number, form: CoefficientForm, backward: boolean): string {
  const kept = Math.max(1, 2 * iterations);
  const exchanges = [4, 2, 1].filter((step) => step < n);
  const exchange = (join: (other: string) => string): string =>
    exchanges.map((step) => join(`__shfl_xor_sync(0xffffffffu, v, ${step})`)).join(" ");
  return `
DEVICE float larger(float a, float b) { return a != a ? a : b != b ? b : fmaxf(a, b); }
DEVICE float logistic(float x) {
  const float e = expf(-fabsf(x)), s = 1.0f / (1.0f + e);
  return x >= 0.0f ? s : e * s;
}
/* Over the lanes of a token. */
DEVICE float across(float v) { ${exchange((other) => `v += ${other};`)} return v; }
DEVICE float largestAcross(float v) { ${exchange((other) => `v = larger(v, ${other});`)} return v; }
${
  backward
    ? `DEVICE void sinkhornKept(float (&m)[n], float (&kept)[${kept}], int i) {
${forwardText(iterations, form, true)}
}
DEVICE void sinkhornBack(float (&g)[n], float (&m)[n], const float (&kept)[${kept}], int i) {
${backwardText(iterations, form)}
}`
    : `DEVICE void sinkhorn(float (&m)[n], int i) {
${forwardText(iterations, form, false)}
}`
}`;
}

/** The lane's logits of H_res, of the projections at \`from\`. */
const rowLogits = `
float m[n];
#pragma unroll
for (int k = 0; k < n; k++) m[k] = alpha[2] * from[2 * n + i * n + k] + bias[2 * n + i * n + k];`;

/** Where entry k of the lane's row goes, and its gradient comes from. */
const placed = ({ res }: CoefficientForm): string => (res.transposed ? "2 * n + k * n + i" : "2 * n + i * n + k");

/** From the projections at \`from\` to the coefficients at \`to\`, by lane i of the token. */
export const coefficientsBody = (form: CoefficientForm): string => `${rowLogits}
const float pre = logistic(alpha[0] * from[i] + bias[i])${form.readEpsilon === 0 ? "" : ` + ${float(form.readEpsilon)}`};
const float post = ${float(form.writeScale)} * logistic(alpha[1] * from[n + i] + bias[n + i]);
sinkhorn(m, i);
if (there) {
  to[i] = pre;
  to[n + i] = post;
#pragma unroll
  for (int k = 0; k < n; k++) to[${placed(form)}] = m[k];
}`;

/** Warps whose lanes have a row each of a group's tokens. */
export const warpsOf = (n: number): number => Math.ceil((TOKENS * n) / 32);

/**
 * Lane i of the n of a token, the group's own-th; lanes beyond the last token do its work once more, and store nothing.
 *
 * @param tokens of all groups
 */
export const lanesOfToken = (tokens: number): string => `
const int i = lane % n, own = lane / n, token = min((int)group * ${TOKENS} + own, ${tokens - 1});
const bool there = own < ${TOKENS} && (int)group * ${TOKENS} + own < ${tokens};`;

/** Groups' sums over their tokens of what each lane has, in the order of warps. */
export interface GroupSums {
  readonly bias: CudaPlace;
  readonly alpha: CudaPlace;
  /** Add up the groups' sums. */
  finish(dbias: CudaPlace, dalpha: CudaPlace): void;
}

/** Temporaries for the sums of so many groups. */
export function groupSums(context: LoweringContext, groups: number, M: number): GroupSums {
  const [bias, alpha] = [
    cudaTemporary(context, "biases", 4 * groups * M, "f32"),
    cudaTemporary(context, "alphas", 12 * groups, "f32"),
  ];
  const plain = ({ buffer }: CudaPlace): { buffer: CudaPlace["buffer"]; type: "f32" } => ({ buffer, type: "f32" });
  return {
    bias,
    alpha,
    finish(dbias, dalpha) {
      emitColumnSums(context, plain(bias), plain(dbias), groups, M, { lazy: true });
      emitColumnSums(context, plain(alpha), plain(dalpha), groups, 3, { lazy: true });
    },
  };
}

/** The declaration of the shared memory that the sums of a group need. */
export const backwardShared = (warps: number): string => `__shared__ float warpSums[${warps} * (M + 3)];`;

/**
 * From the gradients of the coefficients at `d` to dp at `to`, and the sums of db and dα over a warp, by lane i of the
 * token.
 *
 * @param dpre the gradient of pre_i
 */
export const coefficientsBackwardBody = (
  form: CoefficientForm,
  iterations: number,
  dpre: string,
): string => `${rowLogits}
float g[n], kept[${Math.max(1, 2 * iterations)}], e[n + 2], terms[3];
#pragma unroll
for (int k = 0; k < n; k++) g[k] = d[${placed(form)}];
sinkhornKept(m, kept, i);
sinkhornBack(g, m, kept, i);
const float pre = logistic(alpha[0] * from[i] + bias[i]), post = logistic(alpha[1] * from[n + i] + bias[n + i]);
e[0] = ${dpre} * pre * (1.0f - pre);
e[1] = d[n + i] * ${float(form.writeScale)} * post * (1.0f - post);
terms[0] = e[0] * from[i];
terms[1] = e[1] * from[n + i];
terms[2] = 0.0f;
#pragma unroll
for (int k = 0; k < n; k++) {
  e[2 + k] = g[k];
  terms[2] += g[k] * from[2 * n + i * n + k];
}
if (there) {
  to[i] = alpha[0] * e[0];
  to[n + i] = alpha[1] * e[1];
#pragma unroll
  for (int k = 0; k < n; k++) to[2 * n + i * n + k] = alpha[2] * g[k];
}
#pragma unroll
for (int k = 0; k < n + 2; k++) {
  if (!there) e[k] = 0.0f;
#pragma unroll
  for (int s = 16; s >= n; s >>= 1) e[k] += __shfl_xor_sync(0xffffffffu, e[k], s);
}
#pragma unroll
for (int k = 0; k < 3; k++) terms[k] = warpSum(there ? terms[k] : 0.0f);
const u32 w = lane / 32, l = lane % 32;
float* const sums = warpSums + w * (M + 3);
if (l < n) {
  sums[l] = e[0];
  sums[n + l] = e[1];
#pragma unroll
  for (int k = 0; k < n; k++) sums[2 * n + l * n + k] = e[2 + k];
}
#pragma unroll
for (int k = 0; k < 3; k++) if (l == (u32)k) sums[M + k] = terms[k];`;

/** After that, by all threads of the group: the sums over its warps. */
export const groupSumsBody = (warps: number, width: number): string => `
__syncthreads();
for (int at = lane; at < M + 3; at += ${width}) {
  float sum = 0.0f;
  for (int k = 0; k < ${warps}; k++) sum += warpSums[k * (M + 3) + at];
  if (at < M) biases[(size_t)group * M + at] = sum;
  else alphas[(size_t)group * 3 + at - M] = sum;
}`;

export const coefficients: readonly Own[] = [
  own(manifoldCoefficientsOperation, everyGpu, {
    fits: ({ p }) => fitsLanes(streamsOf(lastAxis(p.shape))),
    lower({ p, alpha, bias, h }, { iterations, form = paperCoefficients }, context) {
      const [tokens, M] = [rowCount(p.shape), lastAxis(p.shape)];
      const n = streamsOf(M);
      context.emit(
        cudaCall({
          name: "manifoldCoefficients",
          reads: {
            p: floatOperand(context, p),
            alpha: floatOperand(context, alpha),
            bias: floatOperand(context, bias),
          },
          writes: { h: floatOperand(context, h) },
          declarations: [`constexpr int n = ${n}, M = ${M};`, coefficientText(n, iterations, form, false)],
          width: 32 * warpsOf(n),
          groups: Math.ceil(tokens / TOKENS),
          body: `${lanesOfToken(tokens)}
const float* const from = p + (size_t)token * M;
float* const to = h + (size_t)token * M;${coefficientsBody(form)}`,
        }),
      );
    },
  }),
  own(manifoldCoefficientsBackwardOperation, everyGpu, {
    fits: ({ p }, { iterations }) => fitsLanes(streamsOf(lastAxis(p.shape))) && iterations <= MOST_ITERATIONS_KEPT,
    lower({ p, alpha, bias, dh, dp, dalpha, dbias }, { iterations, form = paperCoefficients }, context) {
      const [tokens, M] = [rowCount(p.shape), lastAxis(p.shape)];
      const n = streamsOf(M);
      const groups = Math.ceil(tokens / TOKENS);
      const warps = warpsOf(n);
      const sums = groupSums(context, groups, M);
      context.emit(
        cudaCall({
          name: "manifoldCoefficientsBackward",
          reads: {
            p: floatOperand(context, p),
            alpha: floatOperand(context, alpha),
            bias: floatOperand(context, bias),
            dh: floatOperand(context, dh),
          },
          writes: { dp: floatOperand(context, dp), biases: sums.bias, alphas: sums.alpha },
          declarations: [
            vectors,
            `constexpr int n = ${n}, M = ${M};`,
            backwardShared(warps),
            coefficientText(n, iterations, form, true),
          ],
          width: 32 * warps,
          groups,
          body: `${lanesOfToken(tokens)}
const float* const from = p + (size_t)token * M;
const float* const d = dh + (size_t)token * M;
float* const to = dp + (size_t)token * M;${coefficientsBackwardBody(form, iterations, "d[i]")}${groupSumsBody(warps, 32 * warps)}`,
        }),
      );
      sums.finish(floatOperand(context, dbias), floatOperand(context, dalpha));
    },
  }),
];
