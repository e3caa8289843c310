// Question: what is a tensor's graph as a graph of ONNX?
//
// Parameters and constants become initializers, inputs become inputs, and each operation the nodes of its rule
// (operators.ts). Names are those of the model: layers.0.attention/matmul_12.

import { composed } from "../../graph/compose.ts";
import { stateOf, stateOperation } from "../../graph/state.ts";
import { ancestors, type Operation, type Tensor } from "../../graph/tensor.ts";
import type { OnnxAttribute, OnnxNode, OnnxTensor } from "./model-file.ts";
import { type Emitter, onnxRuleOf } from "./operators.ts";

/** The nodes and constants that compute a tensor, and the name of its value. */
export interface TranslatedGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly result: string;
}

/**
 * @param result what the graph computes
 * @param parameters values by name
 * @param inputs names of the values that go in, by tensor
 * @throws Error for an operation that ONNX has no graph for
 */
export function translateGraph(
  result: Tensor,
  parameters: ReadonlyMap<string, Float32Array>,
  inputs: ReadonlyMap<Tensor, string>,
): TranslatedGraph {
  const has = (operation: Operation): boolean => operation === stateOperation || onnxRuleOf(operation) !== undefined;
  const lacking = ancestors([result]).find(({ op }) => !has(op) && !op.compose);
  if (lacking)
    throw new Error(
      `onnx: ONNX has no operator for ${lacking.op.name} (in ${lacking.scope}), and it is not made of others, because the number of its steps depends on the values; models with other residual maps can be exported`,
    );
  const replaced = composed([result], { name: "ONNX", has })(result);
  const nodes: OnnxNode[] = [];
  const initializers = new Map<string, OnnxTensor>();
  const names = new Map<Tensor, string>();
  const stored = (tensor: OnnxTensor): string => {
    initializers.set(tensor.name, tensor);
    return tensor.name;
  };

  for (const node of ancestors([replaced])) {
    const [output] = node.outputs as [Tensor];
    const state = stateOf(output);
    if (state !== undefined) {
      const { kind, name, shape, values } = state;
      const data = kind === "constant" ? Float32Array.from(values!) : parameters.get(name);
      const given = inputs.get(output);
      if (given === undefined && data === undefined)
        throw new Error(`onnx: the ${kind} ${name} has no value; give it as a parameter or as an input`);
      names.set(output, given ?? stored(tensorOf(kind === "constant" ? `constant_${node.id}` : name, shape, data!)));
      continue;
    }
    const place = `${node.scope}/${node.op.name}_${nodes.length}`;
    let made = 0;
    const emit: Emitter = {
      node(type, from, attributes: Readonly<Record<string, OnnxAttribute>> = {}) {
        const name = made++ === 0 ? place : `${place}.${made}`;
        nodes.push({ type, name, inputs: from, output: name, attributes });
        return name;
      },
      integers: (values) =>
        stored({
          name: `[${values.join(",")}]`,
          type: "i64",
          shape: [values.length],
          bytes: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
        }),
      number: (value) => stored(tensorOf(`${Math.fround(value)}`, [], Float32Array.of(value))),
    };
    const from = node.inputs.map((tensor) => names.get(tensor)!);
    names.set(output, onnxRuleOf(node.op)!(emit, from, node));
  }
  return { nodes, initializers: [...initializers.values()], result: names.get(replaced)! };
}

const tensorOf = (name: string, shape: readonly number[], data: Float32Array): OnnxTensor => ({
  name,
  type: "f32",
  shape,
  bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});
