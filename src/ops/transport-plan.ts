// Question: what is softmax attention whose keys are all used equally (Sinkhorn attention: Sinkformers, Sander et al.
// 2021, arXiv 2110.11773)?
//
//   P(0) = softmax of each row of L,   P(t) = rows(columns(P(t−1))):  columns sum to M / N, then rows to one
//
// The limit is the plan of entropic optimal transport between M rows and N columns; for M = N it is doubly stochastic.
// No iteration is the ordinary softmax, and after any number of them rows sum to one exactly. All iterates are one
// matrix between two diagonals, so only vectors are iterated (K = e^(L − the largest of its row), a(0) = 1 / Σ_j K_ij):
//
//   b(t) = (M / N) / Kᵀ a(t−1),   a(t) = 1 / K b(t),   P = diag(a(T)) K diag(b(T))
//
// Backward. With G = P ∘ dP, log P = log a + log K + log b, and every log a and log b is a log-sum-exp:
//
//   α_i = Σ_j G_ij,  β_j = Σ_i G_ij;  for t = T … 1:
//     u(t) = α a(t),  β −= b(t) ∘ Kᵀ u(t)              and b(t) is used no more:
//     v(t) = β b(t) N / M,  α = −a(t−1) ∘ K v(t),  β = 0
//   u(0) = α a(0)
//   dL = G − K ∘ (Σ_t u(t) b(t)ᵀ + a(t−1) v(t)ᵀ + u(0) 1ᵀ)
//
// so the T iterations cost one product of [M, 2T + 1] by [2T + 1, N], and nothing of size M × N is kept for each. What
// lies more than 40 below the largest of its row is raised to that, so that nothing leaves the range of float32: a
// weight of at most 4e-18. Shapes: L, P [..., M, N].

import { MOST_ITERATIONS } from "../basics/bounds.ts";
import { expectFields } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";
import { apply, lastAxis, type Operation, rowCount, sizeOf, type Tensor, Values } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { concat } from "./concat.ts";
import { exp, multiply, negate, reciprocal, scale, shift, subtract } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { scaleRows } from "./masks.ts";
import { maxLast } from "./max-last.ts";
import { transpose } from "./permute.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { expectShapes } from "./shapes.ts";

/** How near the columns come to equal sums. */
export interface TransportPlanAttributes {
  /** T. */
  readonly iterations: number;
}

/** Logits further below the largest of their row are raised to this. */
const LOWEST = -40;

/** The iterates of one matrix: P(0), after columns, after rows, and so on. */
function iteratesOf(L: Values, iterations: number): Values[] {
  const [M, N] = [rowCount(L.shape), lastAxis(L.shape)];
  const made = (of: (i: number, j: number) => number): Values =>
    new Values(
      [M, N],
      Float64Array.from({ length: M * N }, (_, at) => of(Math.floor(at / N), at % N)),
    );
  const largest = Array.from({ length: M }, (_, i) => Math.max(...L.data.subarray(i * N, (i + 1) * N)));
  const rows = (P: Values): Values => {
    const sums = rowSums(P);
    return made((i, j) => P.at(i, j) / sums[i]!);
  };
  const iterates = [rows(made((i, j) => Math.exp(Math.max(L.at(i, j) - largest[i]!, LOWEST))))];
  for (let t = 0; t < iterations; t++) {
    const before = iterates.at(-1)!;
    const sums = columnSums(before);
    const P = made((i, j) => ((before.at(i, j) / sums[j]!) * M) / N);
    iterates.push(P, rows(P));
  }
  return iterates;
}

const rowSums = (P: Values): number[] =>
  Array.from({ length: rowCount(P.shape) }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < lastAxis(P.shape); j++) sum += P.at(i, j);
    return sum;
  });

const columnSums = (P: Values): number[] =>
  Array.from({ length: lastAxis(P.shape) }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < rowCount(P.shape); i++) sum += P.at(i, j);
    return sum;
  });

export const transportPlanOperation: Operation<["logits"], ["plan"], TransportPlanAttributes> = {
  name: "transportPlan",
  inputs: ["logits"],
  outputs: ["plan"],
  infer({ logits }, { iterations }) {
    expectShapes(logits.shape.length >= 2, "transportPlan", { logits }, "logits must be matrices, [..., M, N].");
    expectWhole("transportPlan", "iterations", iterations, 0, MOST_ITERATIONS);
    return { plan: { shape: logits.shape, dtype: "f32" } };
  },
  gradient: ({ logits }, { plan: g }, attributes) => ({
    logits: apply(transportPlanBackwardOperation, { logits, g }, attributes).dlogits,
  }),
  flops: ({ logits }, { iterations }) => (13 + 4 * iterations) * sizeOf(logits.shape),
  reference({ logits }, { plan }, { iterations }) {
    for (let at = 0; at < countOf(logits.shape); at++)
      plan.matrix(at).data.set(iteratesOf(logits.matrix(at), iterations).at(-1)!.data);
  },
  compose({ logits }, { iterations }) {
    const { K, a, b } = composedIterates(logits, iterations);
    return { plan: between(a.at(-1)!, K, b.at(-1)) };
  },
};

/** The iterates are computed again. */
export const transportPlanBackwardOperation: Operation<["logits", "g"], ["dlogits"], TransportPlanAttributes> = {
  name: "transportPlanBackward",
  inputs: ["logits", "g"],
  outputs: ["dlogits"],
  infer: ({ logits }) => ({ dlogits: { shape: logits.shape, dtype: "f32" } }),
  flops: ({ logits }, { iterations }) => (20 + 12 * iterations) * sizeOf(logits.shape),
  // Independently of the formula above, one normalisation after the other, as in sinkhorn.ts.
  reference({ logits, g }, { dlogits }, { iterations }) {
    for (let at = 0; at < countOf(logits.shape); at++) {
      const iterates = iteratesOf(logits.matrix(at), iterations);
      const G = new Values(iterates[0]!.shape, g.matrix(at).data.slice());
      const [M, N] = [rowCount(G.shape), lastAxis(G.shape)];
      const overEntries = (of: (i: number, j: number) => number): void => {
        for (let i = 0; i < M; i++) for (let j = 0; j < N; j++) G.set(i, j, of(i, j));
      };
      const last = iterates.at(-1)!;
      overEntries((i, j) => G.at(i, j) * last.at(i, j));
      for (const [back, P] of iterates.toReversed().entries()) {
        if (back % 2 === 0) {
          const sums = rowSums(G);
          overEntries((i, j) => G.at(i, j) - P.at(i, j) * sums[i]!);
        } else {
          const sums = columnSums(G);
          overEntries((i, j) => G.at(i, j) - ((P.at(i, j) * N) / M) * sums[j]!);
        }
      }
      dlogits.matrix(at).data.set(G.data);
    }
  },
  compose({ logits, g }, { iterations }) {
    const { K, a, b } = composedIterates(logits, iterations);
    const [M, N] = logits.shape.slice(-2) as [number, number];
    const G = multiply(between(a.at(-1)!, K, b.at(-1)), g);
    let alpha = sumLast(G);
    let beta = sumLast(transpose(G));
    const [left, right]: [Tensor[], Tensor[]] = [[], []];
    for (let t = iterations; t > 0; t--) {
      const u = multiply(alpha, a[t]!);
      const b_t = b[t - 1]!;
      beta = subtract(beta, multiply(b_t, downColumns(K, u)));
      const v = scale(multiply(beta, b_t), N / M);
      left.push(u, a[t - 1]!);
      right.push(b_t, v);
      alpha = negate(multiply(a[t - 1]!, alongRows(K, v)));
      beta = fill(beta.shape, 0);
    }
    left.push(multiply(alpha, a[0]!));
    right.push(fill([...logits.shape.slice(0, -2), N], 1));
    const side = (vectors: readonly Tensor[]): Tensor =>
      concat(
        vectors.map((x) => reshape(x, [countOf(logits.shape), lastAxis(x.shape), 1])),
        2,
      );
    const outer = reshape(batchedMatmul(side(left), side(right), { transposeB: true }), logits.shape);
    return { dlogits: subtract(G, multiply(K, outer)) };
  },
};

/** K b of every matrix: [..., M, N], [..., N] → [..., M]. */
const alongRows = (K: Tensor, b: Tensor): Tensor => product(K, b, false);
/** Kᵀ a: [..., M, N], [..., M] → [..., N]. */
const downColumns = (K: Tensor, a: Tensor): Tensor => product(K, a, true);

function product(K: Tensor, x: Tensor, transposeA: boolean): Tensor {
  const [M, N] = K.shape.slice(-2) as [number, number];
  const count = countOf(K.shape);
  const y = batchedMatmul(reshape(K, [count, M, N]), reshape(x, [count, lastAxis(x.shape), 1]), { transposeA });
  return reshape(y, [...K.shape.slice(0, -2), transposeA ? N : M]);
}

/** diag(a) K diag(b); without b, diag(a) K. */
const between = (a: Tensor, K: Tensor, b: Tensor | undefined): Tensor => {
  const rows = scaleRows(K, a);
  return b ? transpose(scaleRows(transpose(rows), b)) : rows;
};

/** K [..., M, N]; a(0) … a(T) [..., M]; b(1) … b(T) [..., N]. */
function composedIterates(logits: Tensor, iterations: number): { K: Tensor; a: Tensor[]; b: Tensor[] } {
  const [M, N] = logits.shape.slice(-2) as [number, number];
  const below = subtract(logits, broadcastLast(maxLast(logits), N));
  const K = exp(select(shift(below, -LOWEST), below, fill(below.shape, LOWEST)));
  const a = [reciprocal(sumLast(K))];
  const b: Tensor[] = [];
  for (let t = 0; t < iterations; t++) {
    b.push(scale(reciprocal(downColumns(K, a.at(-1)!)), M / N));
    a.push(reciprocal(alongRows(K, b.at(-1)!)));
  }
  return { K, a, b };
}

const countOf = (shape: readonly number[]): number => sizeOf(shape.slice(0, -2));

/**
 * Attention weights whose rows sum to one and whose columns come as near to M / N as so many iterations bring them: every
 * key is used equally. For M = N the weights approach a doubly stochastic matrix. What a row weighs depends on the other
 * rows, so that it does not fit a decoder that must not see later tokens.
 *
 * @param logits [..., M, N]
 * @param options iterations: T, default 5; 0 gives the softmax of each row
 * @returns [..., M, N]
 * @throws ShapeError for less than two axes; RangeError for a bad number of iterations
 */
export function transportPlan(logits: Tensor, options: Partial<TransportPlanAttributes> = {}): Tensor {
  expectFields("transportPlan", options, { iterations: "number" });
  return apply(transportPlanOperation, { logits }, { iterations: options.iterations ?? 5 }).plan;
}
