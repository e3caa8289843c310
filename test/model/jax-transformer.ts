// Question: what do the papers' formulas give, written a second time?
//
// The decoder-only transformer with each of the three connections, in jax-js and without a line of
// this library: from Eq. 3 and 5 (HC) and Eq. 3 and 7 to 9 (mHC) of arXiv 2512.24880, pre-norm blocks
// with RMSNorm, rotary positions in the layout of Llama, causal attention with grouped queries and
// SwiGLU. The matrices of the coefficients are built as matrices, rows of φ and θ in the order
// pre | post | res.
//
// Legend: B sequences, T tokens a sequence, N = B·T, C channels, n streams, V vocabulary, D head size.

import { numpy as np } from "@jax-js/jax";

type Value = np.Array;
export type Parameters = Readonly<Record<string, Value>>;

/** What the formulas need besides the parameters. */
export interface Sizes {
  readonly context: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly hidden: number;
  readonly ropeTheta: number;
  readonly normEpsilon: number;
  readonly connection:
    | { readonly kind: "residual" }
    | { readonly kind: "hc"; readonly streams: number; readonly collapse: string }
    | {
        readonly kind: "mhc";
        readonly streams: number;
        readonly iterations: number;
        readonly collapse: string;
      };
}

/** jax-js frees an array when a function has used it. Here every function borrows; a test may leak. */
function borrow<A extends unknown[], R>(f: (...values: A) => R): (...values: A) => R {
  const lend = (value: unknown): unknown =>
    typeof value === "object" && value !== null && "ref" in value
      ? value.ref
      : Array.isArray(value)
        ? value.map(lend)
        : value;
  return (...values) => f(...(values.map(lend) as A));
}

const [add, subtract, multiply, divide, matmul] = [np.add, np.subtract, np.multiply, np.divide, np.matmul].map(
  borrow,
) as ((a: Value | number, b: Value | number) => Value)[] as [Binary, Binary, Binary, Binary, Binary];
type Binary = (a: Value | number, b: Value | number) => Value;
const [exp, log, sqrt, tanh] = [np.exp, np.log, np.sqrt, np.tanh].map(borrow) as [Unary, Unary, Unary, Unary];
type Unary = (a: Value) => Value;
const [sum, mean] = [np.sum, np.mean].map(borrow) as [Reduce, Reduce];
type Reduce = (a: Value, axis?: number, options?: { keepdims: boolean }) => Value;
const reshape = borrow(np.reshape) as (a: Value, shape: number[]) => Value;
const transpose = borrow(np.transpose) as (a: Value, axes?: number[]) => Value;
const split = borrow(np.split) as (a: Value, at: number[], axis: number) => Value[];
const concatenate = borrow(np.concatenate) as (parts: Value[], axis: number) => Value;
const take = borrow(np.take) as (a: Value, indices: Value, axis: number) => Value;
const takeAlongAxis = borrow(np.takeAlongAxis) as (a: Value, indices: Value, axis: number) => Value;

const keep = { keepdims: true };
const sigmoid = (x: Value): Value => divide(1, add(1, exp(multiply(-1, x))));
const rootMeanSquare = (x: Value, epsilon: number): Value => sqrt(add(mean(multiply(x, x), -1, keep), epsilon));
const constant = (values: readonly number[], shape: number[]): Value =>
  np.array(Float64Array.from(values), { dtype: np.float64 }).reshape(shape);
export const indices = (values: readonly number[]): Value => np.array(Int32Array.from(values), { dtype: np.int32 });

/** Mean cross-entropy in nats. Tokens and targets are [N] indices. */
export function loss(parameters: Parameters, tokens: Value, targets: Value, sizes: Sizes): Value {
  const { layers, normEpsilon } = sizes;
  const rmsNorm = (x: Value, weight: Value): Value => multiply(divide(x, rootMeanSquare(x, normEpsilon)), weight);
  const connection = connect(sizes);

  let state = connection.expand(take(parameters.embedding!, tokens, 0));
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, block] of [
      ["attention", attention],
      ["feedForward", feedForward],
    ] as const) {
      const own = (suffix: string): Value => parameters[`layers.${layer}.${name}.${suffix}`]!;
      state = connection.sublayer(state, own, (x_NC) => block(rmsNorm(x_NC, own("norm")), own, sizes));
    }
  }
  const logits_NV = matmul(rmsNorm(connection.collapse(state), parameters.norm!), parameters.head!);
  const logSum_N1 = log(sum(exp(logits_NV), -1, keep));
  const chosen_N1 = takeAlongAxis(logits_NV, reshape(targets, [targets.shape[0]!, 1]), 1);
  return mean(subtract(logSum_N1, chosen_N1));
}

type Own = (suffix: string) => Value;

function attention(x_NC: Value, own: Own, { context: T, width, heads, kvHeads, ropeTheta }: Sizes): Value {
  const D = width / heads;
  const B = x_NC.shape[0]! / T;
  const [q, k, v] = split(
    reshape(matmul(x_NC, own("qkv")), [B, T, heads + 2 * kvHeads, D]),
    [heads, heads + kvHeads],
    2,
  ) as [Value, Value, Value];
  const turn = rotation(T, D, ropeTheta);
  const serving = indices(Array.from({ length: heads }, (_, head) => Math.floor((head * kvHeads) / heads)));
  const [q_BHTD, k_BHTD, v_BHTD] = [turn(q), take(turn(k), serving, 2), take(v, serving, 2)].map((x) =>
    transpose(x, [0, 2, 1, 3]),
  ) as [Value, Value, Value];
  const scores_BHTT = divide(matmul(q_BHTD, transpose(k_BHTD, [0, 1, 3, 2])), Math.sqrt(D));
  const causal = constant(
    Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 1 : 0)),
    [T, T],
  );
  const weights = multiply(exp(scores_BHTT), causal);
  const mixed_BHTD = matmul(divide(weights, sum(weights, -1, keep)), v_BHTD);
  return matmul(reshape(transpose(mixed_BHTD, [0, 2, 1, 3]), [B * T, width]), own("output"));
}

/** x cos φ + rotate(x) sin φ over [B, T, heads, D], rotate([low, high]) = [−high, low]. */
function rotation(T: number, D: number, theta: number): (x: Value) => Value {
  const angle = (i: number): number => Math.floor(i / D) * theta ** (-(2 * ((i % D) % (D / 2))) / D);
  const table = (f: (angle: number) => number): Value =>
    constant(
      Array.from({ length: T * D }, (_, i) => f(angle(i))),
      [T, 1, D],
    );
  const [cosines, sines] = [table(Math.cos), table(Math.sin)];
  return (x) => {
    const [low, high] = split(x, [D / 2], 3) as [Value, Value];
    return add(multiply(x, cosines), multiply(concatenate([multiply(-1, high), low], 3), sines));
  };
}

function feedForward(x_NC: Value, own: Own, { hidden }: Sizes): Value {
  const [gate_NH, up_NH] = split(matmul(x_NC, own("gateUp")), [hidden], 1) as [Value, Value];
  return matmul(multiply(multiply(gate_NH, sigmoid(gate_NH)), up_NH), own("down"));
}

interface Wiring {
  expand(x_NC: Value): Value;
  sublayer(state: Value, own: Own, block: (x_NC: Value) => Value): Value;
  collapse(state: Value): Value;
}

function connect({ connection }: Sizes): Wiring {
  if (connection.kind === "residual") {
    return { expand: (x) => x, sublayer: (x, _own, block) => add(x, block(x)), collapse: (x) => x };
  }
  const { streams: n, collapse } = connection;
  const coefficients = connection.kind === "hc" ? hyperCoefficients : manifoldCoefficients(connection.iterations);
  return {
    expand: (x_NC) =>
      concatenate(
        Array.from({ length: n }, () => reshape(x_NC, [x_NC.shape[0]!, 1, x_NC.shape[1]!])),
        1,
      ),
    sublayer(x_NnC, own, block) {
      const [N, , C] = x_NnC.shape as [number, number, number];
      const { pre, post, res } = coefficients(x_NnC, (suffix) => own(`connection.${suffix}`));
      const y_NC = block(reshape(matmul(reshape(pre, [N, 1, n]), x_NnC), [N, C]));
      return add(matmul(res, x_NnC), multiply(reshape(post, [N, n, 1]), reshape(y_NC, [N, 1, C])));
    },
    collapse: (x_NnC) => (collapse === "sum" ? sum : mean)(x_NnC, 1),
  };
}

/** pre [N, n], post [N, n], res [N, n, n] of every token. */
interface Coefficients {
  readonly pre: Value;
  readonly post: Value;
  readonly res: Value;
}

/** H = α tanh(θ x̃ᵀ) + b with x̃ = RMSNorm of every stream (Eq. 5). */
function hyperCoefficients(x_NnC: Value, own: Own): Coefficients {
  const [, n, C] = x_NnC.shape as [number, number, number];
  const theta = reshape(own("theta"), [1, n + 2, C]);
  const bends = tanh(matmul(theta, transpose(divide(x_NnC, rootMeanSquare(x_NnC, 0)), [0, 2, 1])));
  const [pre_N1n, post_N1n, res_Nnn] = split(bends, [1, 2], 1) as [Value, Value, Value];
  const { alpha, bias } = groups(own, n);
  return {
    pre: add(multiply(alpha[0], pre_N1n), bias[0]),
    post: add(multiply(alpha[1], post_N1n), bias[1]),
    res: add(multiply(alpha[2], res_Nnn), reshape(bias[2], [n, n])),
  };
}

/** Eq. 7 and 8; the RMSNorm of a token's n·C entries together has no weight and no epsilon. */
function manifoldCoefficients(iterations: number): (x_NnC: Value, own: Own) => Coefficients {
  return (x_NnC, own) => {
    const [N, n, C] = x_NnC.shape as [number, number, number];
    const flat_NK = reshape(x_NnC, [N, n * C]);
    const projected_NM = matmul(divide(flat_NK, rootMeanSquare(flat_NK, 0)), transpose(own("phi")));
    const parts = split(projected_NM, [n, 2 * n], 1) as [Value, Value, Value];
    const { alpha, bias } = groups(own, n);
    const [pre, post, res] = parts.map((part, group) => add(multiply(alpha[group]!, part), bias[group]!)) as [
      Value,
      Value,
      Value,
    ];
    return { pre: sigmoid(pre), post: multiply(2, sigmoid(post)), res: sinkhorn(reshape(res, [N, n, n]), iterations) };
  };
}

/** M ← T_r(T_c(M)) from exp(logits): columns, then rows (Eq. 9). */
function sinkhorn(logits_Nnn: Value, iterations: number): Value {
  let matrix = exp(logits_Nnn);
  for (let t = 0; t < iterations; t++) {
    matrix = divide(matrix, sum(matrix, 1, keep));
    matrix = divide(matrix, sum(matrix, 2, keep));
  }
  return matrix;
}

type Three = [pre: Value, post: Value, res: Value];

function groups(own: Own, n: number): { alpha: Three; bias: Three } {
  return { alpha: split(own("alpha"), [1, 2], 0) as Three, bias: split(own("bias"), [n, 2 * n], 0) as Three };
}
