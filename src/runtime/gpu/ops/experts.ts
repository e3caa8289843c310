// Question: how does a GPU send tokens to their experts, bring the results back, and keep the experts busy?
//
// Rows move as elements that look their place up, so they join chains. The sums over a token's experts have the order
// of its choices. All rules: ops/expert-choice.ts, expert-rows.ts, expert-sum.ts, sequence-balance.ts, balance-bias.ts.

import { lastAxis, rowCount, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { balanceBiasOperation } from "../../../ops/balance-bias.ts";
import { dispatchOperation } from "../../../ops/dispatch.ts";
import { expertChoiceBackwardOperation, expertChoiceOperation } from "../../../ops/expert-choice.ts";
import { expertRowsOperation, tokenSumOperation } from "../../../ops/expert-rows.ts";
import { expertSumBackwardOperation, expertSumOperation } from "../../../ops/expert-sum.ts";
import { sequenceBalanceBackwardOperation, sequenceBalanceOperation } from "../../../ops/sequence-balance.ts";
import { checkIndices } from "../check.ts";
import { calls, elementCall, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { groupReduction, WIDTH } from "../rows.ts";
import { float } from "../work.ts";

type Context = Parameters<Implementation["lowering"]["lower"]>[1];
type Read = Parameters<typeof elementCall>[0]["reads"][number];

/** Added to the sum of the chosen scores. */
const EPSILON = 1e-20;

const sum = groupReduction("fold", (a, b) => `${a} + ${b}`);
const read = (context: Context, name: string, tensor: Tensor, index: string): Read => ({
  ...operand(context, tensor),
  name,
  index,
});
/** An index that is looked up, or 0 where it is out of range. */
const within = (index: string, rows: number): string => `select(0u, u32(${index}), u32(${index}) < ${u(rows)})`;
const range = (length: number): number[] => Array.from({ length }, (_, at) => at);

/** Check rows that a user may have made; what dispatch() has made is right. */
function checkRows(context: Context, rows: Tensor, operation: string, scope: string, count: number): void {
  if (rows.node.op !== dispatchOperation) checkIndices(context, rows, { operation, scope, rows: count });
}

/** For each j, the row of choice j of the token of element `i`, and the value of x there. */
function rowsOfToken(context: Context, x: Tensor, position: Tensor): readonly Read[] {
  const [C, k] = [lastAxis(x.shape), lastAxis(position.shape)];
  return range(k).flatMap((j) => [
    read(context, `row${j}`, position, `(i / ${u(C)}) * ${u(k)} + ${u(j)}`),
    read(context, `x${j}`, x, `${within(`row${j}`, rowCount(x.shape))} * ${u(C)} + i % ${u(C)}`),
  ]);
}

/** The kernel of how often each sequence [B] has chosen each expert, 1 on average: [B, E]. */
function emitFrequencies(
  context: Context,
  chosen: Tensor,
  { sequences, E, pairs }: { sequences: number; E: number; pairs: number },
): ReturnType<typeof operand> {
  const f = temporary(context, "f", sequences * E);
  context.emit(
    kernelCall({
      name: "expertFrequencies",
      reads: { chosen: operand(context, chosen) },
      writes: { f },
      functions: [`var<workgroup> expert: array<u32, ${WIDTH}>;`],
      width: WIDTH,
      groups: sequences * Math.ceil(E / WIDTH),
      flops: 0,
      body: `
  let sequence: u32 = group / ${u(Math.ceil(E / WIDTH))};
  let e: u32 = (group % ${u(Math.ceil(E / WIDTH))}) * ${u(WIDTH)} + lane;
  var count: u32 = 0u;
  for (var begin: u32 = 0u; begin < ${u(pairs)}; begin += ${u(WIDTH)}) {
    let pair: u32 = min(begin + lane, ${u(pairs - 1)});
    expert[lane] = select(${u(E)}, u32(chosen[sequence * ${u(pairs)} + pair]), begin + lane < ${u(pairs)});
    workgroupBarrier();
    for (var k: u32 = 0u; k < ${u(WIDTH)}; k += 1u) { count += select(0u, 1u, expert[k] == e); }
    workgroupBarrier();
  }
  if (e < ${u(E)}) { f[sequence * ${u(E)} + e] = f32(count) * ${float(E / pairs)}; }`,
    }),
  );
  return f;
}

/** The sum of the scores of token `t`, and the sum of f s. */
const tokenShares = (E: number, length: number): string => `
    var sumOfScores: f32 = 0.0f;
    var weighted: f32 = 0.0f;
    let sequence: u32 = t / ${u(length)};
    for (var e: u32 = 0u; e < ${u(E)}; e += 1u) {
      let score: f32 = scores[t * ${u(E)} + e];
      sumOfScores += score;
      weighted += f[sequence * ${u(E)} + e] * score;
    }`;

export const experts: readonly Implementation[] = [
  calls(expertChoiceOperation, ({ scores, bias, weights, chosen }, { active, scale, normalise }, context) => {
    const [tokens, E] = [rowCount(scores.shape), lastAxis(scores.shape)];
    context.emit(
      kernelCall({
        name: "expertChoice",
        reads: { scores: operand(context, scores), bias: operand(context, bias) },
        writes: { weights: operand(context, weights), chosen: operand(context, chosen) },
        width: WIDTH,
        groups: Math.ceil(tokens / WIDTH),
        body: `
  let t: u32 = group * ${u(WIDTH)} + lane;
  if (t < ${u(tokens)}) {
    var unknown: bool = false;
    for (var e: u32 = 0u; e < ${u(E)}; e += 1u) {
      if (isNaN(scores[t * ${u(E)} + e] + bias[e])) { unknown = true; }
    }
    // What comes after the last choice: of smaller value, or of the same value and later.
    var before: f32 = 0.0f;
    var last: u32 = 0u;
    var sumOfScores: f32 = ${float(EPSILON)};
    for (var j: u32 = 0u; j < ${u(active)}; j += 1u) {
      var best: u32 = ${u(E)};
      var value: f32 = 0.0f;
      for (var e: u32 = 0u; e < ${u(E)}; e += 1u) {
        let other: f32 = scores[t * ${u(E)} + e] + bias[e];
        if ((j == 0u || other < before || (other == before && e > last)) && (best == ${u(E)} || other > value)) {
          best = e;
          value = other;
        }
      }
      if (unknown) { best = j; }
      before = value;
      last = best;
      chosen[t * ${u(active)} + j] = i32(best);
      sumOfScores += scores[t * ${u(E)} + best];
    }
    for (var j: u32 = 0u; j < ${u(active)}; j += 1u) {
      let score: f32 = scores[t * ${u(E)} + u32(chosen[t * ${u(active)} + j])];
      weights[t * ${u(active)} + j] = select(${float(scale)} * score${normalise ? " / sumOfScores" : ""}, fromBits(0x7fc00000u), unknown);
    }
  }`,
      }),
    );
  }),
  calls(
    expertChoiceBackwardOperation,
    ({ scores, chosen, weights, g, dScores }, { active, scale, normalise }, context, _addend, scope) => {
      const E = lastAxis(scores.shape);
      const size = sizeOf(scores.shape);
      if (chosen.node.op !== expertChoiceOperation)
        checkIndices(context, chosen, { operation: "expertChoiceBackward", scope, rows: E });
      context.emit(
        kernelCall({
          name: "expertChoiceBackward",
          reads: {
            scores: operand(context, scores),
            chosen: operand(context, chosen),
            weights: operand(context, weights),
            g: operand(context, g),
          },
          writes: { dScores: operand(context, dScores) },
          width: WIDTH,
          groups: Math.ceil(size / WIDTH),
          body: `
  let i: u32 = group * ${u(WIDTH)} + lane;
  if (i < ${u(size)}) {
    let t: u32 = i / ${u(E)};
    var sumOfScores: f32 = ${float(EPSILON)};
    var along: f32 = 0.0f;
    var own: f32 = 0.0f;
    var isChosen: bool = false;
    for (var j: u32 = 0u; j < ${u(active)}; j += 1u) {
      let at: u32 = t * ${u(active)} + j;
      let e: u32 = ${within("chosen[at]", E)};
      sumOfScores += scores[t * ${u(E)} + e];
      along += g[at] * weights[at];
      if (e == i % ${u(E)}) { isChosen = true; own = ${float(scale)} * g[at]; }
    }
    dScores[i] = select(0.0f, ${normalise ? "(own - along) / sumOfScores" : "own"}, isChosen);
  }`,
        }),
      );
    },
  ),
  calls(expertRowsOperation, ({ x, order, position, y }, _attributes, context, _addend, scope) => {
    const [C, P] = [lastAxis(x.shape), sizeOf(order.shape)];
    checkRows(context, order, "expertRows", scope, P);
    context.emit(
      elementCall({
        name: "expertRows",
        reads: [
          read(context, "pair", order, `i / ${u(C)}`),
          read(context, "x", x, `(${within("pair", P)} / ${u(lastAxis(position.shape))}) * ${u(C)} + i % ${u(C)}`),
        ],
        write: operand(context, y),
        value: "x",
        size: sizeOf(y.shape),
      }),
    );
  }),
  calls(tokenSumOperation, ({ x, position, y }, _attributes, context, _addend, scope) => {
    checkRows(context, position, "tokenSum", scope, sizeOf(position.shape));
    context.emit(
      elementCall({
        name: "tokenSum",
        reads: rowsOfToken(context, x, position),
        write: operand(context, y),
        value: range(lastAxis(position.shape))
          .map((j) => `x${j}`)
          .join(" + "),
        size: sizeOf(y.shape),
      }),
    );
  }),
  calls(expertSumOperation, ({ x, position, weights, y }, _attributes, context, _addend, scope) => {
    const [C, k] = [lastAxis(x.shape), lastAxis(position.shape)];
    checkRows(context, position, "expertSum", scope, sizeOf(position.shape));
    const shares = range(k).map((j) => read(context, `w${j}`, weights, `(i / ${u(C)}) * ${u(k)} + ${u(j)}`));
    context.emit(
      elementCall({
        name: "expertSum",
        reads: [...rowsOfToken(context, x, position), ...shares],
        write: operand(context, y),
        value: range(k)
          .map((j) => `w${j} * x${j}`)
          .join(" + "),
        size: sizeOf(y.shape),
      }),
    );
  }),
  calls(expertSumBackwardOperation, ({ x, order, weights, g, dx, dWeights }, _attributes, context, _addend, scope) => {
    const [P, C] = [rowCount(x.shape), lastAxis(x.shape)];
    checkRows(context, order, "expertSumBackward", scope, P);
    context.emit(
      kernelCall({
        name: "expertSumBackward",
        reads: {
          x: operand(context, x),
          order: operand(context, order),
          weights: operand(context, weights),
          g: operand(context, g),
        },
        writes: { dx: operand(context, dx), dWeights: operand(context, dWeights) },
        inPlace: { dx: "x" },
        functions: sum,
        width: WIDTH,
        groups: P,
        body: `
  let row: u32 = group;
  let pair: u32 = ${within("order[row]", P)};
  let weight: f32 = weights[pair];
  var part: f32 = 0.0f;
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let value: f32 = g[(pair / ${u(lastAxis(weights.shape))}) * ${u(C)} + c];
    part += x[row * ${u(C)} + c] * value;
    dx[row * ${u(C)} + c] = weight * value;
  }
  let along: f32 = fold(part, lane);
  if (lane == 0u) { dWeights[pair] = along; }`,
      }),
    );
  }),
  calls(sequenceBalanceOperation, ({ scores, chosen, loss }, { length }, context, _addend, scope) => {
    const [sequences, E] = [sizeOf(loss.shape), lastAxis(scores.shape)];
    if (chosen.node.op !== expertChoiceOperation)
      checkIndices(context, chosen, { operation: "sequenceBalance", scope, rows: E });
    const f = emitFrequencies(context, chosen, { sequences, E, pairs: length * lastAxis(chosen.shape) });
    context.emit(
      kernelCall({
        name: "sequenceBalance",
        reads: { scores: operand(context, scores), f },
        writes: { loss: operand(context, loss) },
        functions: sum,
        width: WIDTH,
        groups: sequences,
        body: `
  var part: f32 = 0.0f;
  for (var k: u32 = lane; k < ${u(length)}; k += ${u(WIDTH)}) {
    let t: u32 = group * ${u(length)} + k;${tokenShares(E, length)}
    part += weighted / sumOfScores;
  }
  let total: f32 = fold(part, lane);
  if (lane == 0u) { loss[group] = total / ${float(length)}; }`,
      }),
    );
  }),
  calls(sequenceBalanceBackwardOperation, ({ scores, chosen, g, dScores }, { length }, context, _addend, scope) => {
    const [tokens, E] = [rowCount(scores.shape), lastAxis(scores.shape)];
    if (chosen.node.op !== expertChoiceOperation)
      checkIndices(context, chosen, { operation: "sequenceBalanceBackward", scope, rows: E });
    const sequences = sizeOf(g.shape);
    const f = emitFrequencies(context, chosen, { sequences, E, pairs: length * lastAxis(chosen.shape) });
    context.emit(
      kernelCall({
        name: "sequenceBalanceBackward",
        reads: { scores: operand(context, scores), f, g: operand(context, g) },
        writes: { dScores: operand(context, dScores) },
        width: WIDTH,
        groups: Math.ceil(tokens / WIDTH),
        body: `
  let t: u32 = group * ${u(WIDTH)} + lane;
  if (t < ${u(tokens)}) {${tokenShares(E, length)}
    let along: f32 = weighted / sumOfScores;
    let factor: f32 = g[sequence] / ${float(length)} / sumOfScores;
    for (var e: u32 = 0u; e < ${u(E)}; e += 1u) {
      dScores[t * ${u(E)} + e] = factor * (f[sequence * ${u(E)} + e] - along);
    }
  }`,
      }),
    );
  }),
  calls(balanceBiasOperation, ({ bias, load, clip, next }, { rate }, context) => {
    const E = sizeOf(bias.shape);
    context.emit(
      kernelCall({
        name: "balanceBias",
        reads: { bias: operand(context, bias), load: operand(context, load), clip: operand(context, clip) },
        writes: { next: operand(context, next) },
        inPlace: { next: "bias" },
        functions: sum,
        numbers: { experts: E },
        width: WIDTH,
        groups: 1,
        body: `
  var part: f32 = 0.0f;
  for (var e: u32 = lane; e < experts; e += ${u(WIDTH)}) { part += load[e]; }
  let mean: f32 = fold(part, lane) / f32(experts);
  // A step whose gradients have no finite norm is not taken.
  let moved: f32 = select(0.0f, ${float(rate)}, (bitcast<u32>(clip[0]) & 0x7f800000u) != 0x7f800000u);
  for (var e: u32 = lane; e < experts; e += ${u(WIDTH)}) {
    let below: f32 = mean - load[e];
    next[e] = bias[e] + moved * (select(0.0f, 1.0f, below > 0.0f) - select(0.0f, 1.0f, below < 0.0f));
  }`,
      }),
    );
  }),
];
