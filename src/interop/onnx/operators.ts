// Question: which ONNX nodes compute what an operation does?
//
// To this table ONNX is a machine: what it lacks is composed of what it has (graph/compose.ts), so every model that a
// runtime with the primitives can run has a graph. Only the projection whose number of steps depends on the values has
// none. Shapes are those of the operation's reference; all are known when the graph is written.

import type { Names } from "../../graph/named.ts";
import {
  attributesOf,
  lastAxis,
  type Node,
  type Operation,
  rowCount,
  type Shape,
  type Tensor,
} from "../../graph/tensor.ts";
import { batchedMatmulOperation } from "../../ops/batched-matmul.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../ops/bfloat16.ts";
import { concatOperation } from "../../ops/concat.ts";
import {
  addOperation,
  affineOperation,
  curveOperations,
  divideOperation,
  multiplyOperation,
  subtractOperation,
} from "../../ops/elementwise.ts";
import { fillOperation } from "../../ops/fill.ts";
import { gatherOperation, scatterAddOperation } from "../../ops/gather.ts";
import { matmulOperation } from "../../ops/matmul.ts";
import { maxLastOperation } from "../../ops/max-last.ts";
import { permuteOperation } from "../../ops/permute.ts";
import {
  broadcastLastOperation,
  broadcastOperation,
  sumLastOperation,
  sumLeadingOperation,
} from "../../ops/reductions.ts";
import { reshapeOperation } from "../../ops/reshape.ts";
import { selectOperation } from "../../ops/select.ts";
import { placeOperation, sliceOperation } from "../../ops/slice.ts";
import { toFloatsOperation } from "../../ops/to-floats.ts";
import { toIndicesOperation } from "../../ops/to-indices.ts";
import { onnxTypes, type OnnxAttribute } from "./model-file.ts";

/** Makes nodes and constants; each answers the name of its result. */
export interface Emitter {
  node(type: string, inputs: readonly string[], attributes?: Readonly<Record<string, OnnxAttribute>>): string;
  /** A list of int64. */
  integers(values: readonly number[]): string;
  /** A scalar float32. */
  number(value: number): string;
}

/** The nodes of one application of an operation: from the names of its inputs to that of its only output. */
type Rule = (emit: Emitter, inputs: readonly string[], node: Node) => string;

function rule<I extends Names, O extends Names, A>(
  operation: Operation<I, O, A>,
  make: (emit: Emitter, inputs: readonly string[], attributes: A, node: Node) => string,
): readonly [Operation, Rule] {
  return [operation, (emit, inputs, node) => make(emit, inputs, attributesOf(operation, node)!, node)];
}

/** An operation that ONNX has under another name, with the same operands. */
const same = (operation: Operation, type: string): readonly [Operation, Rule] => [
  operation,
  (emit, inputs) => emit.node(type, inputs),
];

/** The functions of one number that ONNX has. */
const curves: Readonly<Record<string, string>> = {
  exp: "Exp",
  log: "Log",
  sqrt: "Sqrt",
  reciprocal: "Reciprocal",
  tanh: "Tanh",
  sigmoid: "Sigmoid",
  relu: "Relu",
};

const rules: ReadonlyMap<Operation, Rule> = new Map([
  same(addOperation, "Add"),
  same(subtractOperation, "Sub"),
  same(multiplyOperation, "Mul"),
  same(divideOperation, "Div"),
  ...curveOperations.flatMap((operation) => {
    const type = curves[operation.name];
    return type === undefined ? [] : [same(operation, type)];
  }),
  rule(affineOperation, (emit, [x], { factor, offset }) => {
    const scaled = factor === 1 ? x! : emit.node("Mul", [x!, emit.number(factor)]);
    return offset === 0 ? scaled : emit.node("Add", [scaled, emit.number(offset)]);
  }),
  rule(selectOperation, (emit, [condition, a, b]) =>
    emit.node("Where", [emit.node("Greater", [condition!, emit.number(0)]), a!, b!]),
  ),
  rule(fillOperation, (emit, _, { shape, value }) => emit.node("Expand", [emit.number(value), emit.integers(shape)])),
  rule(sumLastOperation, (emit, [x]) => emit.node("ReduceSum", [x!, emit.integers([-1])], { keepdims: 0 })),
  rule(sumLeadingOperation, (emit, [x], { keepAxes }, { inputs }) => {
    const axes = Array.from({ length: inputs[0]!.shape.length - keepAxes }, (_, axis) => axis);
    return emit.node("ReduceSum", [x!, emit.integers(axes)], { keepdims: 0 });
  }),
  rule(maxLastOperation, (emit, [x]) => emit.node("ReduceMax", [x!, emit.integers([-1])], { keepdims: 0 })),
  rule(broadcastOperation, (emit, [x], { shape }) => emit.node("Expand", [x!, emit.integers(shape)])),
  rule(broadcastLastOperation, (emit, [x], { size }, { inputs }) =>
    emit.node("Expand", [
      emit.node("Unsqueeze", [x!, emit.integers([-1])]),
      emit.integers([...inputs[0]!.shape, size]),
    ]),
  ),
  rule(reshapeOperation, (emit, [x], { shape }) => emit.node("Reshape", [x!, emit.integers(shape)])),
  rule(permuteOperation, (emit, [x], { axes }) => emit.node("Transpose", [x!], { perm: axes })),
  rule(concatOperation, (emit, parts, { axis }) => emit.node("Concat", parts, { axis })),
  rule(sliceOperation, (emit, [x], { axis, start, size }) =>
    emit.node("Slice", [x!, emit.integers([start]), emit.integers([start + size]), emit.integers([axis])]),
  ),
  rule(placeOperation, (emit, [x], { axis, start, total }, { inputs }) =>
    emit.node("Pad", [
      x!,
      emit.integers([start, total - start - inputs[0]!.shape[axis]!]),
      emit.number(0),
      emit.integers([axis]),
    ]),
  ),
  rule(gatherOperation, (emit, [table, indices]) => emit.node("Gather", [table!, indices!], { axis: 0 })),
  rule(scatterAddOperation, (emit, [indices, g], { rows }, { inputs }) => {
    const zeros = emit.node("Expand", [emit.number(0), emit.integers([rows, lastAxis(inputs[1]!.shape)])]);
    const wide = emit.node("Cast", [indices!], { to: onnxTypes.i64 });
    const places = emit.node("Unsqueeze", [wide, emit.integers([-1])]);
    return emit.node("ScatterND", [zeros, places, g!], { reduction: "add" });
  }),
  rule(matmulOperation, (emit, [a, b], attributes, { inputs, outputs }) => {
    const [first, second] = inputs as [Tensor, Tensor];
    const { transposeA, transposeB } = attributes;
    // All axes of an operand but the last are rows.
    const matrix = (name: string, { shape }: Tensor): string =>
      shape.length === 2 ? name : emit.node("Reshape", [name, emit.integers([rowCount(shape), lastAxis(shape)])]);
    const product = emit.node("Gemm", [matrix(a!, first), matrix(b!, second)], {
      transA: Number(transposeA),
      transB: Number(transposeB),
    });
    const { shape } = outputs[0]!;
    return shape.length === 2 ? product : emit.node("Reshape", [product, emit.integers(shape)]);
  }),
  rule(batchedMatmulOperation, (emit, [a, b], { transposeA, transposeB }, { inputs }) => {
    const turned = (name: string, { shape }: Tensor, isTurned: boolean): string =>
      isTurned ? emit.node("Transpose", [name], { perm: lastTwoExchanged(shape) }) : name;
    return emit.node("MatMul", [turned(a!, inputs[0]!, transposeA), turned(b!, inputs[1]!, transposeB)]);
  }),
  rule(toFloatsOperation, (emit, [indices]) => emit.node("Cast", [indices!], { to: onnxTypes.f32 })),
  rule(toIndicesOperation, (emit, [x]) => emit.node("Cast", [emit.node("Round", [x!])], { to: onnxTypes.i32 })),
  rule(toBfloat16Operation, (emit, [x]) => emit.node("Cast", [x!], { to: onnxTypes.bf16 })),
  rule(toFloat32Operation, (emit, [narrow]) => emit.node("Cast", [narrow!], { to: onnxTypes.f32 })),
]);

const lastTwoExchanged = (shape: Shape): number[] => {
  const axes = shape.map((_, axis) => axis);
  return [...axes.slice(0, -2), ...axes.slice(-2).reverse()];
};

/** How ONNX does an operation; undefined where it must be composed. */
export const onnxRuleOf = (operation: Operation): Rule | undefined => rules.get(operation);
