// Question: what is a tensor, an operation, a graph?
//
// A tensor is symbolic: a static shape, a type, and the node that produces it. A graph is nothing but
// tensors that point back at the nodes and inputs they came from; nodes are numbered in the order
// they are made, and that order is a valid order of execution.

import { expectFunction } from "../basics/fields.ts";
import { showValue } from "../basics/show.ts";
import { listed, type Named, named, type Names } from "./named.ts";

/** Sizes of the axes, slowest first; [] is a scalar. */
export type Shape = readonly number[];

/** Every type. */
export const dtypes: readonly DType[] = ["f32", "i32", "bf16"];

/**
 * f32: values, gradients, state. i32: token ids and other indices (they carry no gradient).
 * bf16: the upper half of f32, for storage only; see ops/bfloat16.ts.
 */
export type DType = "f32" | "i32" | "bf16";

/** What is known of a tensor before its values are: its shape and its type. */
export interface TensorSpec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/**
 * A symbolic tensor: no values, only a static shape, a type and the node of the graph that computes it.
 * Operations make tensors from tensors. `Runtime.compile` turns them into a program, which computes the values.
 */
export interface Tensor extends TensorSpec {
  readonly node: Node;
  /** Which of the node's outputs this is. */
  readonly index: number;
}

/** One application of an operation: its inputs, its outputs and its attributes. */
export interface Node<A = unknown> {
  /** Position in the order of construction. */
  readonly id: number;
  readonly op: Operation<Names, Names, A>;
  readonly attributes: A;
  /** Inputs and outputs are in the order of the operation's names; `operandsOf` gives both by name. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** The segment in which this node was built, or whose values it computes again; see `checkpoint`. */
  readonly segment: Segment | undefined;
  /** Whether its results are stored although it lies in a segment; see `keep`. */
  readonly kept: boolean;
  /** Set on a node that computes another one's values again. */
  readonly again: Again | undefined;
  /** A path for messages and plans, such as "layers.0.attention.query". */
  readonly scope: string;
}

/** The node that a node computes again, and the gradient that needs it: the copy must not run before this gradient. */
export interface Again {
  readonly of: Node;
  readonly after: Tensor;
}

/** A part of the graph that is recomputed in the backward pass instead of stored; see `checkpoint`. */
export type Segment = symbol;

/**
 * One tensor's float64 values, row-major, for the reference runtime. They are read and written by index, as on
 * paper: x.at(t, j, c) is x_tjc. The last indices belong to the last axes; the first index counts all axes before
 * these as one, so that one formula serves any number of leading axes.
 */
export class Values {
  readonly shape: Shape;
  readonly data: Float64Array;
  readonly dtype: DType;
  /** Sizes of the last two axes. */
  private readonly rows: number;
  private readonly columns: number;

  /** @param data as many values as the shape holds (default: zeros) */
  constructor(shape: Shape, data: Float64Array = new Float64Array(sizeOf(shape)), dtype: DType = "f32") {
    this.shape = shape;
    this.data = data;
    this.dtype = dtype;
    this.rows = shape.at(-2) ?? 1;
    this.columns = lastAxis(shape);
  }

  /** How many values there are. */
  get size(): number {
    return this.data.length;
  }

  /** The value at an index into all values, at a row and a column, or at a matrix, a row and a column. */
  at(i: number, j?: number, k?: number): number {
    return this.data[
      j === undefined ? i : k === undefined ? i * this.columns + j : (i * this.rows + j) * this.columns + k
    ]!;
  }

  /** Where in `data` an index is. */
  place(i: number, j: number, k: number): number {
    return (i * this.rows + j) * this.columns + k;
  }

  /** Set the value at an index, as `at` takes it; the value comes last. */
  set(i: number, value: number): void;
  set(i: number, j: number, value: number): void;
  set(i: number, j: number, k: number, value: number): void;
  set(i: number, j: number, k?: number, value?: number): void {
    if (k === undefined) this.data[i] = j;
    else if (value === undefined) this.data[i * this.columns + j] = k;
    else this.data[(i * this.rows + j) * this.columns + k] = value;
  }

  /** Add to the value at an index; the addend comes last. */
  add(i: number, value: number): void;
  add(i: number, j: number, value: number): void;
  add(i: number, j: number, k: number, value: number): void;
  add(i: number, j: number, k?: number, value?: number): void {
    if (k === undefined) this.data[i]! += j;
    else if (value === undefined) this.data[i * this.columns + j]! += k;
    else this.data[(i * this.rows + j) * this.columns + k]! += value;
  }

  /** Set every value to a function of its index. */
  each(value: (i: number) => number): void {
    for (let i = 0; i < this.data.length; i++) this.data[i] = value(i);
  }

  /** The matrix of the last two axes at an index of the axes before them. It shares the memory. */
  matrix(i: number): Values {
    const size = this.rows * this.columns;
    return new Values([this.rows, this.columns], this.data.subarray(i * size, (i + 1) * size));
  }
}

/**
 * An operation: the names of its operands, their shapes, gradient, cost and meaning. I and O are the names of the
 * inputs and outputs (see named.ts), which all differ. A is the type of its attributes, which are plain data.
 * `Operation` without type arguments is any operation.
 */
export interface Operation<I extends Names = Names, O extends Names = Names, A = unknown> {
  /** Unique among operations. */
  readonly name: string;
  readonly inputs: I;
  readonly outputs: O;
  /** The specifications of the outputs. Throws a ShapeError if the inputs do not fit. */
  infer(inputs: Named<I, TensorSpec>, attributes: A): Named<O, TensorSpec>;
  /**
   * The gradients of the inputs, built from operations. An output that nobody used has the gradient undefined. An
   * input that needs no gradient is left out. If this function is absent, the operation carries no gradient.
   */
  gradient?(
    tensors: Named<I, Tensor> & Named<O, Tensor>,
    outputGradients: OutputGradients<O>,
    attributes: A,
  ): InputGradients<I>;
  /**
   * Another operation, of which this one computes all results on the way: its inputs and outputs begin with those of the
   * other. A program that has both of the same operands needs only this one; see graph/included.ts.
   */
  readonly includes?: Operation;
  /** Whether operands may be bf16. */
  readonly takesBfloat16?: true;
  /** Floating-point operations of one execution. Bytes follow from the shapes. */
  flops(tensors: Named<I, TensorSpec> & Named<O, TensorSpec>, attributes: A): number;
  /** The meaning, as plain float64 loops. The outputs hold zeros at first. */
  reference(inputs: Named<I, Values>, outputs: Named<O, Values>, attributes: A): void;
  /** The same result by simpler operations, for a runtime that lacks this one. */
  compose?(inputs: Named<I, Tensor>, attributes: A): Named<O, Tensor>;
}

type OutputGradients<O extends Names> = O extends readonly [string] ? Named<O, Tensor> : Named<O, Tensor | undefined>;

type InputGradients<I extends Names> = Partial<Named<I, Tensor | undefined>>;

/** Shapes that do not fit. The message names the operation, its operands with their shapes, and what to do. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a tensor's values. */
export function byteSize({ shape, dtype }: TensorSpec): number {
  return (dtype === "bf16" ? 2 : 4) * sizeOf(shape);
}

export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/** Size of the last axis; 1 for a scalar. */
export function lastAxis(shape: Shape): number {
  return shape.at(-1) ?? 1;
}

/** Product of all axes but the last: how many rows a tensor has. */
export function rowCount(shape: Shape): number {
  return sizeOf(shape.slice(0, -1));
}

export function f32(...shape: number[]): TensorSpec {
  return { shape, dtype: "f32" };
}

let nodeCount = 0;
let currentSegment: Segment | undefined;
let keeping = false;
let currentScope = "";
let currentAgain: Again | undefined;

/** The operands of a node by name. `op` must be the node's operation. */
export function operandsOf<I extends Names, O extends Names, A>(
  op: Operation<I, O, A>,
  node: Node,
): Named<I, Tensor> & Named<O, Tensor>;
export function operandsOf(op: Operation, { op: applied, inputs, outputs }: Node): Named<Names, Tensor> {
  if (op !== applied) throw new TypeError(`operandsOf: this is a node of ${applied.name}, not of ${op.name}.`);
  return { ...named(op.inputs, inputs), ...named(op.outputs, outputs) };
}

/** The attributes of a node, if `op` is its operation. */
export function attributesOf<I extends Names, O extends Names, A>(op: Operation<I, O, A>, node: Node): A | undefined;
export function attributesOf(op: Operation, node: Node): unknown {
  return op === node.op ? node.attributes : undefined;
}

/** Floating-point operations of one execution of a node. */
export function flopsOf(node: Node): number {
  return node.op.flops(operandsOf(node.op, node), node.attributes);
}

/** Apply an operation to tensors: infer the shapes and return the outputs of a new node. */
export function apply<I extends Names, O extends Names, A>(
  op: Operation<I, O, A>,
  inputs: Named<I, Tensor>,
  ...attributes: unknown extends A ? [] : [attributes: A]
): Named<O, Tensor>;
export function apply(op: Operation, inputs: Named<Names, Tensor>, attributes?: unknown): Named<Names, Tensor> {
  return named(op.outputs, createNode(op, listed(op.inputs, inputs), attributes).outputs);
}

/** A node of the same operation with other inputs. */
export function repeated({ op, attributes }: Node, inputs: readonly Tensor[]): Node {
  return createNode(op, inputs, attributes);
}

/** The same, but to compute a node's values again once the gradient `after` exists. */
export function applyAgain(node: Node, inputs: readonly Tensor[], after: Tensor): Node {
  return createNode(node.op, inputs, node.attributes, { of: node, after });
}

/**
 * Build the replacement of a node, in the node's scope and after the gradient that the node waits for.
 *
 * @param after the tensor that now replaces that gradient
 * @param build makes tensors; called at once
 * @returns what `build` returns
 */
export function insteadOf<R>({ again, scope: place }: Node, after: Tensor | undefined, build: () => R): R {
  const outer = [currentScope, currentAgain] as const;
  currentScope = place;
  currentAgain = again && after && { of: again.of, after };
  try {
    return build();
  } finally {
    [currentScope, currentAgain] = outer;
  }
}

/** Where a node stands in its graph, apart from what it reads. */
export type Standing = Pick<Node, "segment" | "kept" | "scope" | "again">;

/**
 * Build nodes that stand where another does: in its segment, kept or not, in its scope, and computed again if it is.
 *
 * @param build makes tensors; called at once
 * @returns what `build` returns
 */
export function standing<R>({ segment, kept, scope: place, again }: Standing, build: () => R): R {
  const outer = [currentSegment, keeping, currentScope, currentAgain] as const;
  [currentSegment, keeping, currentScope, currentAgain] = [segment, kept, place, again];
  try {
    return build();
  } finally {
    [currentSegment, keeping, currentScope, currentAgain] = outer;
  }
}

function createNode(
  op: Operation,
  inputs: readonly Tensor[],
  attributes: unknown,
  again: Again | undefined = currentAgain,
): Node {
  for (const [at, operand] of inputs.entries())
    expectTensor(op.name, op.inputs[Math.min(at, op.inputs.length - 1)]!.replace("...", "one of "), operand);
  if (!op.takesBfloat16 && inputs.some(({ dtype }) => dtype === "bf16"))
    throw new TypeError(`${op.name}: an operand is bfloat16, which is only for storage; pass toFloat32() of it.`);
  const specs = listed(op.outputs, op.infer(named(op.inputs, inputs), attributes));
  for (const { shape } of specs) expectShape(op.name, shape);
  const outputs: Tensor[] = [];
  const node: Node = {
    id: nodeCount++,
    op,
    attributes,
    inputs,
    outputs,
    segment: again ? again.of.segment : currentSegment,
    kept: keeping,
    again,
    scope: again ? `${again.of.scope}.again` : currentScope,
  };
  for (const [index, { shape, dtype }] of specs.entries()) outputs.push({ shape, dtype, index, node });
  return node;
}

/** The most values of a tensor: the bytes of more could not be counted exactly. */
const MOST_VALUES = 2 ** 50;

/** Throw a TypeError for what is no list of sizes, a ShapeError for sizes that a tensor cannot have. */
export function expectShape(operation: string, shape: Shape): void {
  if (!Array.isArray(shape))
    throw new TypeError(
      `${operation}: the shape is ${showValue(shape)}; it must be a list of sizes. Give such as [2, 3], or [] for one number.`,
    );
  if (!shape.every((size) => Number.isInteger(size) && size >= 1))
    throw new ShapeError(`${operation}: every axis must be a positive whole number, got ${showShape(shape)}.`);
  if (sizeOf(shape) > MOST_VALUES)
    throw new ShapeError(
      `${operation}: ${showShape(shape)} has ${sizeOf(shape)} values; a tensor can have at most 2^50. Make an axis smaller.`,
    );
}

/** Throw unless it is a tensor, whose shape the operation may look at. */
export function expectTensor(operation: string, name: string, operand: unknown): void {
  if (typeof operand === "object" && operand !== null && "node" in operand && "shape" in operand) return;
  throw new TypeError(
    `${operation}: ${name} is ${showValue(operand)}; it must be a tensor. Give what input, parameter or an operation returned.`,
  );
}

/**
 * Name everything that `build` builds. Scopes nest with dots and appear in error messages and plans.
 *
 * @param name such as "layers.0.attention"
 * @param build makes tensors; called at once
 * @returns what `build` returns
 */
export function scope<R>(name: string, build: () => R): R {
  expectFunction("scope", "build", build);
  const outer = currentScope;
  currentScope = outer === "" ? name : `${outer}.${name}`;
  try {
    return build();
  } catch (error) {
    if (error instanceof ShapeError && !error.message.includes("(in ")) error.message += ` (in ${currentScope})`;
    throw error;
  } finally {
    currentScope = outer;
  }
}

/**
 * Recompute a segment in the backward pass (Chen et al. 2016, arXiv 1604.06174). The values that `build` computes
 * are not stored for the gradient, except those that nodes outside read and those built within `keep`. This costs a
 * second forward pass of the rest.
 *
 * @param build makes the segment; called at once
 * @returns what `build` returns
 * @throws Error when segments are nested
 */
export function checkpoint<R>(build: () => R): R {
  expectFunction("checkpoint", "build", build);
  if (currentSegment) throw new Error("checkpoint: segments cannot be nested; end the outer checkpoint first.");
  currentSegment = Symbol("segment");
  try {
    return build();
  } finally {
    currentSegment = undefined;
  }
}

/**
 * Within a checkpoint, store what `build` computes, so that the backward pass does not compute it again. Its inputs
 * from the segment are still recomputed if its gradient reads them. For selective recomputation, put a checkpoint
 * around operations that are cheap to compute but large to store, and put the others in `keep`. Outside a checkpoint,
 * `keep` changes nothing.
 *
 * @param build makes tensors; called at once
 * @returns what `build` returns
 */
export function keep<R>(build: () => R): R {
  expectFunction("keep", "build", build);
  const outer = keeping;
  keeping = currentSegment !== undefined;
  try {
    return build();
  } finally {
    keeping = outer;
  }
}

/** Whether a tensor was built within `keep` of the checkpoint that is being built. */
export function isKept(tensor: Partial<Tensor> | undefined): boolean {
  // What is no tensor is left to the operation, which says so.
  const node = tensor?.node;
  return node !== undefined && node.kept && node.segment === currentSegment;
}

/** All nodes that the targets depend on, in order of construction. The search stops at the tensors of the boundary. */
export function ancestors(targets: readonly Tensor[], boundary: readonly Tensor[] = []): Node[] {
  const beyond = new Set(boundary);
  const seen = new Set<Node>();
  const stack = targets.flatMap((tensor) => (beyond.has(tensor) ? [] : tensor.node));
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) if (!beyond.has(input)) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
