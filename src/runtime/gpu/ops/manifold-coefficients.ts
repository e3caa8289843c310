// Question: how does a GPU make doubly stochastic matrices, and the coefficients of mHC?
//
// One thread a matrix: its n² numbers are the thread's own. Forward: M = exp(L) from the largest of each line down, then
// 2T normalisations. Backward: the divisors of every line are kept (2T n numbers), so that the walk back multiplies by
// them and meets each iterate again.

import { lastAxis, rowCount, sizeOf } from "../../../graph/tensor.ts";
import {
  type CoefficientForm,
  manifoldCoefficientsBackwardOperation,
  manifoldCoefficientsOperation,
  paperCoefficients,
  streamsOf,
} from "../../../ops/manifold-coefficients.ts";
import {
  EXP_LOWEST,
  type Normalisation,
  normalisations,
  paperSinkhorn,
  type SinkhornForm,
} from "../../../ops/sinkhorn-form.ts";
import { sinkhornBackwardOperation, sinkhornOperation } from "../../../ops/sinkhorn.ts";
import { calls, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";
import { float } from "../work.ts";
import { emitColumnSums } from "./reductions.ts";

/** Where entry k of a line lies. */
const entry = ({ lines }: Normalisation, n: number): string =>
  lines === "rows" ? `line * ${u(n)} + k` : `k * ${u(n)} + line`;

const loop = (name: string, end: number, body: string): string =>
  `for (var ${name}: u32 = 0u; ${name} < ${u(end)}; ${name} += 1u) { ${body} }`;

/** `m` = exp of the logits `l`, the largest of each line of the first step taken away. */
function startText(n: number, first: Normalisation | undefined): string {
  if (!first) return loop("k", n * n, "m[k] = exponential(l[k]);");
  const at = entry(first, n);
  return loop(
    "line",
    n,
    `
    var highest: f32 = fromBits(4286578688u);
    ${loop("k", n, `highest = larger(highest, l[${at}]);`)}
    ${loop("k", n, `m[${at}] = exponential(larger(l[${at}] - highest, ${float(EXP_LOWEST)}));`)}`,
  );
}

/** One normalisation of `m`; its divisors go to `keep`, if it is given. */
function stepText(n: number, step: Normalisation, epsilon: string, keep?: string): string {
  const at = entry(step, n);
  return loop(
    "line",
    n,
    `
      var sum: f32 = 0.0f;
      ${loop("k", n, `sum += m[${at}];`)}
      ${step.guard === "added" ? `sum = sum + ${epsilon};` : `sum = larger(sum, ${epsilon});`}
      ${keep === undefined ? "" : `kept[${keep}] = sum;`}
      ${loop("k", n, `m[${at}] = m[${at}] / sum${step.offset > 0 ? ` + ${float(step.offset)}` : ""};`)}`,
  );
}

/** All normalisations: the first alone, whose epsilon differs, then in pairs. */
function forwardText(n: number, iterations: number, form: SinkhornForm, keep: boolean): string {
  const steps = normalisations(iterations, form);
  const [first, second] = steps;
  if (!first || !second) return startText(n, first);
  const later = steps[2];
  const place = (step: string): string => `${step} * ${u(n)} + line`;
  return `${startText(n, first)}
    ${stepText(n, first, float(first.epsilon), keep ? place("0u") : undefined)}
    ${stepText(n, second, float(second.epsilon), keep ? place("1u") : undefined)}
    ${
      later
        ? `for (var step: u32 = 2u; step < ${u(steps.length)}; step += 2u) {
      ${stepText(n, later, float(later.epsilon), keep ? place("step") : undefined)}
      ${stepText(n, second, float(second.epsilon), keep ? place("(step + 1u)") : undefined)}
    }`
        : ""
    }`;
}

/** From `g`, the gradient of the result, and the result `m` with `kept` to the gradient of the logits in `g`. */
function backwardText(n: number, iterations: number, form: SinkhornForm): string {
  const steps = normalisations(iterations, form);
  const times = loop("k", n * n, "g[k] = g[k] * m[k];");
  const [first] = steps;
  if (!first) return times;
  /** The walk back over one normalisation: p is what it made, then m is what it was given. */
  const back = (step: Normalisation, place: string): string => {
    const at = entry(step, n);
    const offset = step.offset > 0 ? float(step.offset) : undefined;
    const body = `
      let divisor: f32 = kept[${place}];
      ${offset ? loop("k", n, `let p: f32 = max(m[${at}] - ${offset}, 0.0f); g[${at}] = g[${at}] * p / (p + ${offset}); m[${at}] = p;`) : ""}
      var sum: f32 = 0.0f;
      ${loop("k", n, `sum += g[${at}];`)}
      ${step.guard === "floor" && step.epsilon > 0 ? `if (divisor <= ${float(step.epsilon)}) { sum = 0.0f; }` : ""}
      ${loop("k", n, `g[${at}] = g[${at}] - m[${at}] * sum; m[${at}] = m[${at}] * divisor;`)}`;
    return loop("line", n, body);
  };
  const [, second] = steps;
  if (!second) return times;
  const later = steps[2];
  return `${times}
    ${
      later
        ? `for (var left: u32 = ${u(steps.length)}; left > 2u; left -= 2u) {
      ${back(second, `(left - 1u) * ${u(n)} + line`)}
      ${back(later, `(left - 2u) * ${u(n)} + line`)}
    }`
        : ""
    }
    ${back(second, `${u(n)} + line`)}
    ${back(first, "line")}`;
}

/** Where the entry k of a matrix stands, or that of its transpose. */
const placed = (n: number, { transposed }: SinkhornForm): string =>
  transposed ? `(k % ${u(n)}) * ${u(n)} + k / ${u(n)}` : "k";

/** Arrays of a thread. */
const own = (name: string, size: number): string => `var ${name}: array<f32, ${size}>;`;

const threadBody = (count: number, body: string): string => `
  let t: u32 = group * ${u(WIDTH)} + lane;
  if (t < ${u(count)}) {
${body}
  }`;

/** Load the logits of a token, α p + b. */
const tokenLogits = (n: number, M: number, from: number): string =>
  loop("k", n * n, `l[k] = alpha[2] * p[t * ${u(M)} + ${u(from)} + k] + bias[${u(from)} + k];`);

export const manifoldCoefficients: readonly Implementation[] = [
  calls(sinkhornOperation, ({ logits, h }, { iterations, form = paperSinkhorn }, context) => {
    const n = lastAxis(logits.shape);
    const count = sizeOf(logits.shape) / n ** 2;
    context.emit(
      kernelCall({
        name: "sinkhorn",
        reads: { logits: operand(context, logits) },
        writes: { h: operand(context, h) },
        inPlace: { h: "logits" },
        width: WIDTH,
        groups: Math.ceil(count / WIDTH),
        body: threadBody(
          count,
          `    ${own("l", n * n)} ${own("m", n * n)}
    ${loop("k", n * n, `l[k] = logits[t * ${u(n * n)} + k];`)}
    ${forwardText(n, iterations, form, false)}
    ${loop("k", n * n, `h[t * ${u(n * n)} + ${placed(n, form)}] = m[k];`)}`,
        ),
      }),
    );
  }),
  calls(sinkhornBackwardOperation, ({ logits, g, dlogits }, { iterations, form = paperSinkhorn }, context) => {
    const n = lastAxis(logits.shape);
    const count = sizeOf(logits.shape) / n ** 2;
    context.emit(
      kernelCall({
        name: "sinkhornBackward",
        reads: { logits: operand(context, logits), dh: operand(context, g) },
        writes: { dlogits: operand(context, dlogits) },
        width: WIDTH,
        groups: Math.ceil(count / WIDTH),
        body: threadBody(
          count,
          `    ${own("l", n * n)} ${own("m", n * n)} ${own("g", n * n)} ${own("kept", Math.max(1, 2 * iterations * n))}
    ${loop("k", n * n, `l[k] = logits[t * ${u(n * n)} + k]; g[k] = dh[t * ${u(n * n)} + ${placed(n, form)}];`)}
    ${forwardText(n, iterations, form, true)}
    ${backwardText(n, iterations, form)}
    ${loop("k", n * n, `dlogits[t * ${u(n * n)} + k] = g[k];`)}`,
        ),
      }),
    );
  }),
  calls(manifoldCoefficientsOperation, ({ p, alpha, bias, h }, { iterations, form = paperCoefficients }, context) => {
    const [tokens, M] = [rowCount(p.shape), lastAxis(p.shape)];
    const n = streamsOf(M);
    context.emit(
      kernelCall({
        name: "manifoldCoefficients",
        reads: { p: operand(context, p), alpha: operand(context, alpha), bias: operand(context, bias) },
        writes: { h: operand(context, h) },
        inPlace: { h: "p" },
        width: WIDTH,
        groups: Math.ceil(tokens / WIDTH),
        body: threadBody(
          tokens,
          `    ${own("l", n * n)} ${own("m", n * n)}
    ${tokenLogits(n, M, 2 * n)}
    ${loop(
      "j",
      n,
      `
      let pre: f32 = logistic(alpha[0] * p[t * ${u(M)} + j] + bias[j]);
      let post: f32 = logistic(alpha[1] * p[t * ${u(M)} + ${u(n)} + j] + bias[${u(n)} + j]);
      h[t * ${u(M)} + j] = pre${form.readEpsilon === 0 ? "" : ` + ${float(form.readEpsilon)}`};
      h[t * ${u(M)} + ${u(n)} + j] = ${float(form.writeScale)} * post;`,
    )}
    ${forwardText(n, iterations, form.res, false)}
    ${loop("k", n * n, `h[t * ${u(M)} + ${u(2 * n)} + ${placed(n, form.res)}] = m[k];`)}`,
        ),
      }),
    );
  }),
  calls(manifoldCoefficientsBackwardOperation, (tensors, { iterations, form = paperCoefficients }, context) => {
    const { p, alpha, bias, dh, dp, dalpha, dbias } = tensors;
    const [tokens, M] = [rowCount(p.shape), lastAxis(p.shape)];
    const n = streamsOf(M);
    const e = temporary(context, "e", tokens * M);
    /** Of each token and group, the sum of e p. */
    const terms = temporary(context, "terms", 3 * tokens);
    const projections = operand(context, p);
    context.emit(
      kernelCall({
        name: "manifoldCoefficientsBackward",
        reads: {
          p: projections,
          alpha: operand(context, alpha),
          bias: operand(context, bias),
          dh: operand(context, dh),
        },
        writes: { dp: operand(context, dp), e, terms },
        width: WIDTH,
        groups: Math.ceil(tokens / WIDTH),
        body: threadBody(tokens, backwardBody(n, M, iterations, form)),
      }),
    );
    emitColumnSums(context, e, operand(context, dbias), tokens, M, { lazy: true });
    emitColumnSums(context, terms, operand(context, dalpha), tokens, 3, { lazy: true });
  }),
];

function backwardBody(n: number, M: number, iterations: number, form: CoefficientForm): string {
  const gate = (group: number, start: number, factor: number): string => `{
        let at: u32 = t * ${u(M)} + ${u(start)} + j;
        let s: f32 = logistic(alpha[${group}] * p[at] + bias[${u(start)} + j]);
        let slope: f32 = dh[at] * ${factor === 1 ? "" : `${float(factor)} * `}s * (1.0f - s);
        e[at] = slope;
        dp[at] = alpha[${group}] * slope;
        term${group} += slope * p[at];
      }`;
  return `    ${own("l", n * n)} ${own("m", n * n)} ${own("g", n * n)} ${own("kept", Math.max(1, 2 * iterations * n))}
    ${tokenLogits(n, M, 2 * n)}
    ${loop("k", n * n, `g[k] = dh[t * ${u(M)} + ${u(2 * n)} + ${placed(n, form.res)}];`)}
    var term0: f32 = 0.0f;
    var term1: f32 = 0.0f;
    var term2: f32 = 0.0f;
    ${loop("j", n, `${gate(0, 0, 1)} ${gate(1, n, form.writeScale)}`)}
    ${forwardText(n, iterations, form.res, true)}
    ${backwardText(n, iterations, form.res)}
    ${loop(
      "k",
      n * n,
      `
      let at: u32 = t * ${u(M)} + ${u(2 * n)} + k;
      term2 += g[k] * p[at];
      e[at] = g[k];
      dp[at] = alpha[2] * g[k];`,
    )}
    terms[3u * t] = term0;
    terms[3u * t + 1u] = term1;
    terms[3u * t + 2u] = term2;`;
}
