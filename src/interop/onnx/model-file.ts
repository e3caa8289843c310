// Question: how does a list of ONNX nodes become a file that ONNX's readers load?
//
// ModelProto holds a GraphProto, which holds nodes, initializers (weights and constants), and what goes in and out. A
// file of protocol buffers has at most 2 GiB, so the weights of larger models lie in a second file beside it.
//
// Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto

import { fields, integer, message, type Parts, text } from "./protobuf.ts";

/** The version of the operators' definitions. ONNX Runtime has it since 1.14. */
const OPSET = 18;
const IR_VERSION = 8;

/** Numbers of ONNX's types. */
export const onnxTypes = { f32: 1, i32: 6, i64: 7, bf16: 16 } as const;
export type OnnxType = keyof typeof onnxTypes;

/** A stored tensor. */
export interface OnnxTensor {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What goes into a graph, or comes out of it. */
export type OnnxValue = Omit<OnnxTensor, "bytes">;

/** An integer, a text or a list of integers. */
export type OnnxAttribute = number | string | readonly number[];

export interface OnnxNode {
  readonly type: string;
  /** For messages and pictures of the graph. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly notes: Readonly<Record<string, string>>;
}

/** Larger models have their weights in a file of their own. */
const MOST_WITHIN = 1 << 30;
/** Smaller tensors stay in the model's file. */
const LEAST_OUTSIDE = 1024;

/**
 * The parts of a model's file, and of the file that holds its weights, if there is one.
 *
 * @param weightsName what the second file is called
 * @param mostWithin bytes of weights up to which there is only one file
 */
export function encodeModel(
  graph: OnnxGraph,
  weightsName: string,
  mostWithin: number = MOST_WITHIN,
): { readonly model: Parts; readonly weights: Parts | undefined } {
  const total = graph.initializers.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const outside: Uint8Array[] = [];
  let offset = 0;
  const initializers = graph.initializers.map((tensor) => {
    if (total <= mostWithin || tensor.bytes.length < LEAST_OUTSIDE)
      return fields(tensorHead(tensor), message(9, [tensor.bytes]));
    const entry = (name: string, value: string): Parts => message(13, fields(text(1, name), text(2, value)));
    outside.push(tensor.bytes);
    offset += tensor.bytes.length;
    return fields(
      tensorHead(tensor),
      entry("location", weightsName),
      entry("offset", String(offset - tensor.bytes.length)),
      entry("length", String(tensor.bytes.length)),
      integer(14, 1),
    );
  });
  const graphParts = fields(
    ...graph.nodes.map((node) => message(1, nodeParts(node))),
    text(2, graph.name),
    ...initializers.map((tensor) => message(5, tensor)),
    ...graph.inputs.map((value) => message(11, valueParts(value))),
    ...graph.outputs.map((value) => message(12, valueParts(value))),
  );
  const model = fields(
    integer(1, IR_VERSION),
    text(2, "birkhoff"),
    message(7, graphParts),
    message(8, fields(text(1, ""), integer(2, OPSET))),
    ...Object.entries(graph.notes).map(([name, value]) => message(14, fields(text(1, name), text(2, value)))),
  );
  return { model, weights: outside.length > 0 ? outside : undefined };
}

const tensorHead = ({ name, type, shape }: OnnxTensor): Parts =>
  fields(...shape.map((size) => integer(1, size)), integer(2, onnxTypes[type]), text(8, name));

const valueParts = ({ name, type, shape }: OnnxValue): Parts => {
  const sizes = message(2, fields(...shape.map((size) => message(1, integer(1, size)))));
  return fields(text(1, name), message(2, message(1, fields(integer(1, onnxTypes[type]), sizes))));
};

const nodeParts = ({ type, name, inputs, output, attributes }: OnnxNode): Parts =>
  fields(
    ...inputs.map((input) => text(1, input)),
    text(2, output),
    text(3, name),
    text(4, type),
    ...Object.entries(attributes).map(([attribute, value]) => message(5, attributeParts(attribute, value))),
  );

function attributeParts(name: string, value: OnnxAttribute): Parts {
  const [kind, parts] =
    typeof value === "number"
      ? [2, integer(3, value)]
      : typeof value === "string"
        ? [3, text(4, value)]
        : [7, fields(...value.map((each) => integer(8, each)))];
  return fields(text(1, name), parts, integer(20, kind));
}
