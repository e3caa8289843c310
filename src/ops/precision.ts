// Question: which values does mixed precision round, operation by operation?
//
// The table below is the whole policy; graph/precision.ts applies it to a graph. An operand that it does not name is
// taken as it is, in float32, and a result that it does not name is exact: what is only added up, measured or learned
// from. All sums are in float32. Compare the lists of torch.autocast; and what mHC keeps in which type (arXiv
// 2512.24880, Eq. 10 to 19): streams and block inputs bfloat16, projections and coefficients float32.
//
//   activation  what passes from operation to operation for every token, and its gradient
//   factor      an operand of a product: a weight, an activation, or the gradient of one
//   like        an activation if the operand is one; so moves and arithmetic follow what they are given

import { stateOf } from "../graph/state.ts";
import { attributesOf, type Node, type Operation, type Tensor } from "../graph/tensor.ts";
import { type Decision, type FactorCast, type Kind, originalOf, type Rule, type Take } from "../graph/precision.ts";
import { attentionBackwardOperation, attentionOperation } from "./attention.ts";
import { batchedMatmulOperation } from "./batched-matmul.ts";
import { toBfloat16, toFloat32 } from "./bfloat16.ts";
import { cachedAttentionOperation } from "./cached-attention.ts";
import { concatOperation } from "./concat.ts";
import { crossEntropyBackwardOperation } from "./cross-entropy.ts";
import {
  addOperation,
  affineOperation,
  curveBackwardOperations,
  curveOperations,
  divideOperation,
  multiplyOperation,
  subtractOperation,
} from "./elementwise.ts";
import { collapseOperation, expandOperation } from "./expand.ts";
import { expertMatmulOperation, expertOuterOperation } from "./expert-matmul.ts";
import { expertRowsOperation, tokenSumOperation } from "./expert-rows.ts";
import { expertSumBackwardOperation, expertSumOperation } from "./expert-sum.ts";
import { type Float8Block, roundToFloat8 } from "./float8.ts";
import { gatherOperation } from "./gather.ts";
import { latentHeadsBackwardOperation, latentHeadsOperation } from "./latent-heads.ts";
import { matmulOperation } from "./matmul.ts";
import { permuteOperation } from "./permute.ts";
import { broadcastLastOperation, broadcastOperation } from "./reductions.ts";
import { reshapeOperation } from "./reshape.ts";
import { rmsNormBackwardOperation, rmsNormOperation } from "./rms-norm.ts";
import { rotaryOperation } from "./rotary.ts";
import { selectOperation } from "./select.ts";
import { placeOperation, sliceOperation } from "./slice.ts";
import { streamProjectionBackwardOperation, streamProjectionOperation } from "./stream-projection.ts";
import { streamReadBackwardOperation, streamReadOperation } from "./stream-read.ts";
import { streamWriteBackwardOperation, streamWriteOperation } from "./stream-write.ts";
import { swigluBackwardOperation, swigluOperation } from "./swiglu.ts";
import { weightedSumBackwardOperation, weightedSumOperation } from "./weighted-sum.ts";

/** How the table names an operand or a result. */
type Role = "activation" | "like";

/** A rule by the names of operands and results; the names of a list, such as "...parts", stand for all of it. */
function byName(
  op: Operation,
  takes: Readonly<Record<string, Role>>,
  gives: Readonly<Record<string, Role>>,
): readonly [Operation, Rule] {
  const roleAt = (names: readonly string[], roles: Readonly<Record<string, Role>>, index: number): Role | undefined => {
    const name = names[Math.min(index, names.length - 1)];
    return name === undefined ? undefined : roles[name.replace("...", "")];
  };
  for (const name of [...Object.keys(takes), ...Object.keys(gives)])
    if (![...op.inputs, ...op.outputs].some((known) => known.replace("...", "") === name))
      throw new Error(`precision: ${op.name} has no operand or result "${name}".`);
  const rule: Rule = ({ outputs }, kinds) => {
    const like = kinds.filter((_, index) => roleAt(op.inputs, takes, index) === "like");
    const common: Kind = like.includes("activation") ? "activation" : like.includes("weight") ? "weight" : "exact";
    return {
      takes: kinds.map((kind, index): Take => {
        const role = roleAt(op.inputs, takes, index);
        return role === "activation" || (role === "like" && kind === "activation") ? "activation" : "exact";
      }),
      gives: outputs.map((_, index): Kind => {
        const role = roleAt(op.outputs, gives, index);
        return role === "like" ? common : (role ?? "exact");
      }),
    };
  };
  return [op, rule];
}

/** A rule for moves and arithmetic: all results are like the operands. */
function follows(op: Operation): readonly [Operation, Rule] {
  const like = (names: readonly string[]): Record<string, Role> =>
    Object.fromEntries(names.map((name) => [name.replace("...", ""), "like"]));
  return byName(op, like(op.inputs), like(op.outputs));
}

const takesAsStored = (kind: Kind): Take => (kind === "activation" ? "activation" : "exact");

/**
 * A sum: the operand that was computed last is added as it leaves its operation, so the two can be one (a product that
 * accumulates, the gradient of a residual branch); the other has been stored.
 */
const sum: Rule = ({ inputs }, kinds) => {
  const made = inputs.map(({ node }) => originalOf(node).id);
  const last = made.lastIndexOf(Math.max(...made));
  return {
    takes: kinds.map((kind, index) => (index === last ? "exact" : takesAsStored(kind))),
    gives: [kinds.includes("activation") ? "activation" : "exact"],
  };
};

/** A product with a weight, or of two activations. Another, such as one with coefficients, is exact. */
const product =
  (gives: (node: Node, rounds: boolean, kinds: readonly Kind[]) => Kind): Rule =>
  (node, kinds): Decision => {
    const [a = "exact", b = "exact"] = kinds;
    const rounds = a === "weight" || b === "weight" || (a === "activation" && b === "activation");
    return {
      takes: kinds.map((kind, index): Take => (index > 1 ? "exact" : rounds ? "factor" : takesAsStored(kind))),
      gives: [gives(node, rounds, [a, b])],
    };
  };

const activationIf = (is: boolean): Kind => (is ? "activation" : "exact");

const GATES = new Set(["silu", "gelu", "relu", "siluBackward", "geluBackward", "reluBackward"]);

const rules: ReadonlyMap<Operation, Rule> = new Map<Operation, Rule>([
  // Products. A sum over the rows of activations is the gradient of a weight.
  [
    matmulOperation,
    product((node, rounds) => activationIf(rounds && attributesOf(matmulOperation, node)?.transposeA !== true)),
  ],
  [batchedMatmulOperation, product((_, rounds, kinds) => activationIf(rounds || kinds.includes("activation")))],
  [expertMatmulOperation, product((_, rounds) => activationIf(rounds))],
  [expertOuterOperation, product(() => "exact")],

  // The network. Softmax and its sums stay within attention, in float32.
  byName(attentionOperation, { qkv: "activation" }, { out: "activation" }),
  byName(attentionBackwardOperation, { qkv: "activation", out: "activation", g: "activation" }, { dqkv: "activation" }),
  byName(cachedAttentionOperation, { qkv: "activation" }, { out: "activation" }),
  byName(rotaryOperation, { x: "activation" }, { y: "activation" }),
  follows(latentHeadsOperation),
  follows(latentHeadsBackwardOperation),
  byName(rmsNormOperation, { x: "activation" }, { y: "activation" }),
  byName(rmsNormBackwardOperation, { x: "activation", g: "activation" }, { dx: "activation" }),
  byName(swigluOperation, { x: "activation" }, { y: "activation" }),
  byName(swigluBackwardOperation, { x: "activation", g: "activation" }, { dx: "activation" }),
  [
    gatherOperation,
    (_, [table = "exact"]) => ({ takes: ["exact", "exact"], gives: [activationIf(table === "weight")] }),
  ],
  // The logits are taken as they leave the head; their gradient is a factor of the head's.
  byName(crossEntropyBackwardOperation, {}, { dlogits: "activation" }),

  // The mixture of experts. Scores and choices are exact.
  follows(expertRowsOperation),
  follows(tokenSumOperation),
  byName(expertSumOperation, { x: "activation" }, { y: "activation" }),
  byName(expertSumBackwardOperation, { x: "activation", g: "activation" }, { dx: "activation" }),

  // Streams. Projections, coefficients and all that leads to them are exact.
  byName(expandOperation, { u: "activation" }, { x: "activation" }),
  byName(collapseOperation, { x: "activation" }, { u: "activation" }),
  byName(streamProjectionOperation, { x: "activation" }, {}),
  byName(streamProjectionBackwardOperation, { x: "activation" }, { dx: "activation" }),
  byName(streamReadOperation, { x: "activation" }, { u: "activation" }),
  byName(streamReadBackwardOperation, { x: "activation", du: "activation" }, { dx: "activation" }),
  byName(streamWriteOperation, { x: "activation", y: "activation" }, { next: "activation" }),
  byName(
    streamWriteBackwardOperation,
    { x: "activation", y: "activation", g: "activation" },
    { dx: "activation", dy: "activation" },
  ),
  byName(weightedSumOperation, { sources: "activation" }, { y: "activation" }),
  byName(weightedSumBackwardOperation, { g: "activation", sources: "activation" }, { dSources: "activation" }),

  // Moves, and arithmetic element by element. Of the curves, those that are no gates of coefficients.
  [addOperation, sum],
  ...[...curveOperations, ...curveBackwardOperations].filter(({ name }) => GATES.has(name)).map(follows),
  ...[
    subtractOperation,
    multiplyOperation,
    divideOperation,
    affineOperation,
    selectOperation,
    reshapeOperation,
    permuteOperation,
    sliceOperation,
    placeOperation,
    concatOperation,
    broadcastOperation,
    broadcastLastOperation,
  ].map((op) => follows(op as Operation)),
]);

/** Values along a sum that share a scale, and rows and columns of a weight that do. */
const BLOCK = 128;

/**
 * Which products take factors of 8 bits, and in which blocks: those with weights of the network, and the gradients of
 * these weights. Embeddings, the head and attention keep factors of 16 bits, as in DeepSeek-V3 (arXiv 2412.19437,
 * §3.3.1); so do products with a gradient from an exact operation, such as that of the logits.
 */
export function float8Factor(node: Node, operand: number, kinds: readonly Kind[]): FactorCast | undefined {
  const { op, inputs } = node;
  const [a, b] = inputs as [Tensor, Tensor];
  const isPlain = [a, b].every(
    (x, index) =>
      kinds[index] !== "exact" &&
      stateOf(x)?.role !== "embedding" &&
      (source(x).op as unknown) !== crossEntropyBackwardOperation,
  );
  const along = isPlain && alongSum(node, operand, op);
  if (!along) return undefined;
  const block = kinds[operand] === "weight" ? { rows: BLOCK, columns: BLOCK } : along;
  return { name: `${block.rows} x ${block.columns}`, round: (x) => toFloat32(toBfloat16(roundToFloat8(x, block))) };
}

/** The block of an operand along the axis that a product sums over. */
function alongSum(node: Node, operand: number, op: Operation): Float8Block | undefined {
  const [row, column] = [
    { rows: 1, columns: BLOCK },
    { rows: BLOCK, columns: 1 },
  ];
  if ((op as unknown) === expertMatmulOperation) return row;
  if ((op as unknown) === expertOuterOperation) return column;
  const attributes = attributesOf(matmulOperation, node);
  if (!attributes) return undefined;
  return (operand === 0) === (operand === 0 ? attributes.transposeA : attributes.transposeB) ? column : row;
}

/** The node that made a value, whatever its shape is now. */
function source({ node }: Tensor): Node {
  const [x] = node.inputs;
  return x && (node.op as unknown) === reshapeOperation ? source(x) : node;
}

const exact: Rule = ({ outputs }, kinds) => ({
  takes: kinds.map(() => "exact"),
  gives: outputs.map(() => "exact"),
});

/** What a policy of mixed precision says of an operation. */
export function ruleOf(op: Operation): Rule {
  return rules.get(op) ?? exact;
}
