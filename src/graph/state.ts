// Question: which tensors outlive a step?
//
// A state tensor keeps its value between runs of a program: parameters, optimizer moments, and the
// inputs that the host writes before a run. Constants, such as a fixed basis, hold the values they were
// made with. Everything else lives in the planned arena.

import { expectName } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { showValue } from "../basics/show.ts";
import {
  apply,
  attributesOf,
  type DType,
  dtypes,
  expectShape,
  type Operation,
  type Shape,
  showShape,
  sizeOf,
  type Tensor,
} from "./tensor.ts";

/**
 * parameter: trained and saved. state: kept by the optimizer. input: written by the host before each run.
 * constant: written by the runtime, once.
 */
export type StateKind = "parameter" | "state" | "input" | "constant";

/**
 * The role of a parameter, which decides how the optimizer treats it and in which precision it is used. weight: a matrix
 * of the network. The others get no weight decay by default: embedding (tables and the head), norm (weights of RMSNorm),
 * connection (everything that a residual connection learns). balance: saved with the model, but updated by a
 * rule of its own instead of by a gradient.
 */
export type Role = "weight" | "embedding" | "norm" | "connection" | "balance";

export interface StateAttributes {
  readonly kind: StateKind;
  /** Of a parameter that a precision may round. */
  readonly role?: Role;
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** The values of the tensor before anyone writes it, row-major; zeros if absent. */
  readonly values?: readonly number[];
}

export const stateOperation: Operation<[], ["value"], StateAttributes> = {
  name: "state",
  inputs: [],
  outputs: ["value"],
  infer: (_inputs, { shape, dtype }) => ({ value: { shape, dtype } }),
  flops: () => 0,
  reference: () => {
    throw new Error("state: a state tensor has no formula; the runtime holds its value.");
  },
};

function state(kind: StateKind, name: string, shape: Shape, dtype: DType = "f32", role?: Role): Tensor {
  expectShape(`The ${kind} "${name}"`, shape);
  expectName(`The ${kind} "${name}"`, "dtype", dtype, dtypes);
  return apply(stateOperation, {}, { kind, name, shape: [...shape], dtype, ...given({ role }) }).value;
}

/**
 * A trained tensor. It holds zeros until `Runtime.write` and keeps its value between runs. A model makes its parameters
 * through `createParameters`, which also records how they start.
 *
 * @param name for messages and files; need not be unique
 * @param role what it is to the model (default: none, and a precision policy leaves it as it is)
 * @returns f32, of this shape
 */
export function parameter(name: string, shape: Shape, role?: Role): Tensor {
  return state("parameter", name, shape, "f32", role);
}

/**
 * A tensor that an update rule keeps between runs, such as a moment of AdamW. It starts as zeros.
 *
 * @param name for messages; need not be unique
 * @param dtype "f32", or "i32" for indices
 * @returns of this shape and type
 */
export function persistent(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
  return state("state", name, shape, dtype);
}

/**
 * A tensor that the host writes before a run, with `Runtime.write`. It keeps its value until it is written again.
 *
 * @param name for messages; need not be unique
 * @param dtype "f32", or "i32" for token ids and other indices
 * @returns of this shape and type
 */
export function input(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
  return state("input", name, shape, dtype);
}

/**
 * A tensor of fixed values, such as the permutation matrices.
 *
 * @param values row-major
 * @returns f32, of this shape
 * @throws RangeError unless there are as many values as the shape holds
 */
export function constant(values: readonly number[], shape: Shape): Tensor {
  expectShape("constant", shape);
  if (!Array.isArray(values) && !ArrayBuffer.isView(values))
    throw new TypeError(
      `constant: the values are ${showValue(values)}; they must be a list of numbers. Give an array.`,
    );
  for (const [at, value] of values.entries())
    if (typeof value !== "number")
      throw new TypeError(
        `constant: value ${at} is ${showValue(value)}; it must be a number. Give an array of numbers.`,
      );
  if (values.length !== sizeOf(shape)) {
    throw new RangeError(`constant: shape ${showShape(shape)} needs ${sizeOf(shape)} values, got ${values.length}.`);
  }
  const attributes = {
    kind: "constant",
    name: "constant",
    shape: [...shape],
    dtype: "f32",
    values: [...values],
  } as const;
  return apply(stateOperation, {}, attributes).value;
}

/** The attributes of a state tensor, or undefined for a computed one. */
export function stateOf({ node }: Tensor): StateAttributes | undefined {
  return attributesOf(stateOperation, node);
}
