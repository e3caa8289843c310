// Question: what is a tensor, an operation, a graph?
//
// A tensor is symbolic: a static shape, a type, and the node that produces it. A graph is nothing but
// tensors that point back at the nodes and inputs they came from; nodes are numbered in the order
// they are made, and that order is a valid order of execution.

import { listed, type Named, named, type Names } from "./named.ts";

/** Sizes of the axes, slowest first; [] is a scalar. */
export type Shape = readonly number[];

/**
 * f32: values, gradients, state. i32: token ids and other indices (they carry no gradient).
 * bf16: the upper half of f32, for keeping; operations that take it say so.
 */
export type DType = "f32" | "i32" | "bf16";

/** What is known of a tensor before any value is: its shape and its type. */
export interface TensorSpec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/**
 * A symbolic tensor: no values, only a static shape, a type and the node of the graph that computes it.
 * Operations make them from each other; `Runtime.compile` turns them into a program, and values come
 * from there.
 */
export interface Tensor extends TensorSpec {
  readonly node: Node;
  /** Which of the node's outputs this is. */
  readonly index: number;
}

/** One application of an operation: what goes in, what comes out, and how. */
export interface Node<A = unknown> {
  /** Position in the order of construction. */
  readonly id: number;
  readonly op: Operation<Names, Names, A>;
  readonly attributes: A;
  /** In the order of the operation's names, as are the outputs; `operandsOf` gives both by name. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** The segment this node was built in, or whose values it computes again; see `checkpoint`. */
  readonly segment: Segment | undefined;
  /** Within a segment: its results are stored all the same; see `keep`. */
  readonly kept: boolean;
  /** Set on a node that computes another one's values again. */
  readonly again: Again | undefined;
  /** A path for messages and plans, such as "layers.0.attention.query". */
  readonly scope: string;
}

/** What a node computes again, and the gradient that asks for it: the node must not run before. */
export interface Again {
  readonly of: Node;
  readonly after: Tensor;
}

/** A part of the graph that is recomputed in the backward pass instead of stored; see `checkpoint`. */
export type Segment = symbol;

/**
 * One tensor's float64 values, row-major, for the reference runtime. They are read and written by index, as on
 * paper: x.at(t, j, c) is x_tjc. The last indices are those of the last axes; the first one counts all axes before
 * them as one, so that a formula is written once for any number of leading axes.
 */
export class Values {
  readonly shape: Shape;
  readonly data: Float64Array;
  readonly dtype: DType;
  /** Sizes of the last two axes. */
  private readonly rows: number;
  private readonly columns: number;

  /** @param data as many as the shape holds; zeros unless given */
  constructor(shape: Shape, data: Float64Array = new Float64Array(sizeOf(shape)), dtype: DType = "f32") {
    this.shape = shape;
    this.data = data;
    this.dtype = dtype;
    this.rows = shape.at(-2) ?? 1;
    this.columns = lastAxis(shape);
  }

  /** How many there are. */
  get size(): number {
    return this.data.length;
  }

  /** The value of an index among all, of a row and a column, or of a matrix, a row and a column. */
  at(i: number, j?: number, k?: number): number {
    return this.data[
      j === undefined ? i : k === undefined ? i * this.columns + j : (i * this.rows + j) * this.columns + k
    ]!;
  }

  /** Where in `data` an index is. */
  place(i: number, j: number, k: number): number {
    return (i * this.rows + j) * this.columns + k;
  }

  /** Set the value of an index, as `at` takes it; the value comes last. */
  set(i: number, value: number): void;
  set(i: number, j: number, value: number): void;
  set(i: number, j: number, k: number, value: number): void;
  set(i: number, j: number, k?: number, value?: number): void {
    if (k === undefined) this.data[i] = j;
    else if (value === undefined) this.data[i * this.columns + j] = k;
    else this.data[(i * this.rows + j) * this.columns + k] = value;
  }

  /** Add to the value of an index; what is added comes last. */
  add(i: number, value: number): void;
  add(i: number, j: number, value: number): void;
  add(i: number, j: number, k: number, value: number): void;
  add(i: number, j: number, k?: number, value?: number): void {
    if (k === undefined) this.data[i]! += j;
    else if (value === undefined) this.data[i * this.columns + j]! += k;
    else this.data[(i * this.rows + j) * this.columns + k]! += value;
  }

  /** Set every value from its index among all. */
  each(value: (i: number) => number): void {
    for (let i = 0; i < this.data.length; i++) this.data[i] = value(i);
  }

  /** The matrix of the last two axes at an index of the axes before them: the same memory. */
  matrix(i: number): Values {
    const size = this.rows * this.columns;
    return new Values([this.rows, this.columns], this.data.subarray(i * size, (i + 1) * size));
  }
}

/**
 * An operation: the names of its operands, their shapes, gradient, cost and meaning. I and O are the names of the
 * inputs and outputs (see named.ts), which differ from each other; A is what else it is told, plain data.
 * `Operation` without them is any operation.
 */
export interface Operation<I extends Names = Names, O extends Names = Names, A = unknown> {
  /** No two operations have the same. */
  readonly name: string;
  readonly inputs: I;
  readonly outputs: O;
  /** Specifications of the outputs; throws a ShapeError when the inputs do not fit. */
  infer(inputs: Named<I, TensorSpec>, attributes: A): Named<O, TensorSpec>;
  /**
   * Gradients of the inputs, built from operations. Of several outputs, those that nobody used have gradient
   * undefined; an input that needs none is left out. Absent: the operation carries no gradient.
   */
  gradient?(
    tensors: Named<I, Tensor> & Named<O, Tensor>,
    outputGradients: OutputGradients<O>,
    attributes: A,
  ): InputGradients<I>;
  /** Whether operands may be bf16. */
  readonly takesBfloat16?: true;
  /** Floating-point operations of one execution. Bytes follow from the shapes. */
  flops(tensors: Named<I, TensorSpec> & Named<O, TensorSpec>, attributes: A): number;
  /** The meaning, as plain float64 loops. Outputs arrive zeroed. */
  reference(inputs: Named<I, Values>, outputs: Named<O, Values>, attributes: A): void;
  /** The same by simpler operations, for a runtime that does not have this one. */
  compose?(inputs: Named<I, Tensor>, attributes: A): Named<O, Tensor>;
}

type OutputGradients<O extends Names> = O extends readonly [string] ? Named<O, Tensor> : Named<O, Tensor | undefined>;

type InputGradients<I extends Names> = Partial<Named<I, Tensor | undefined>>;

/** Shapes that do not fit: names the operation, its operands and their shapes, and the mend. */
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

/** The operands of a node by name. The operation must be the node's. */
export function operandsOf<I extends Names, O extends Names, A>(
  op: Operation<I, O, A>,
  node: Node,
): Named<I, Tensor> & Named<O, Tensor>;
export function operandsOf(op: Operation, { op: applied, inputs, outputs }: Node): Named<Names, Tensor> {
  if (op !== applied) throw new TypeError(`operandsOf: this is a node of ${applied.name}, not of ${op.name}.`);
  return { ...named(op.inputs, inputs), ...named(op.outputs, outputs) };
}

/** What a node's operation was told, if this is its operation. */
export function attributesOf<I extends Names, O extends Names, A>(op: Operation<I, O, A>, node: Node): A | undefined;
export function attributesOf(op: Operation, node: Node): unknown {
  return op === node.op ? node.attributes : undefined;
}

/** Floating-point operations of one execution of a node. */
export function flopsOf(node: Node): number {
  return node.op.flops(operandsOf(node.op, node), node.attributes);
}

/** Apply an operation to tensors: infers the shapes and returns the outputs of a new node. */
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

/** The same, to compute a node's values again when the gradient `after` is there. */
export function applyAgain(node: Node, inputs: readonly Tensor[], after: Tensor): Node {
  return createNode(node.op, inputs, node.attributes, { of: node, after });
}

/**
 * Build what takes the place of a node: with its scope, and after the gradient that it waits for.
 *
 * @param after what stands in the place of that gradient now
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

function createNode(
  op: Operation,
  inputs: readonly Tensor[],
  attributes: unknown,
  again: Again | undefined = currentAgain,
): Node {
  if (!op.takesBfloat16 && inputs.some(({ dtype }) => dtype === "bf16"))
    throw new TypeError(`${op.name}: an operand is bfloat16, which is only for keeping; give streamWiden() of it.`);
  const specs = listed(op.outputs, op.infer(named(op.inputs, inputs), attributes));
  for (const { shape } of specs) {
    if (!shape.every((size) => Number.isInteger(size) && size >= 1)) {
      throw new ShapeError(`${op.name}: every axis must be a positive whole number, got ${showShape(shape)}.`);
    }
  }
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

/**
 * Name what `build` builds: scopes nest with dots and appear in error messages and plans.
 *
 * @param name such as "layers.0.attention"
 * @param build makes tensors; called at once
 * @returns what `build` returns
 */
export function scope<R>(name: string, build: () => R): R {
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
 * Recompute a segment in the backward pass (Chen et al. 2016, arXiv 1604.06174): what `build` computes is
 * not stored for its gradient, except what nodes outside read and what is built within `keep`. Costs a
 * second forward pass of the rest.
 *
 * @param build makes the segment; called at once
 * @returns what `build` returns
 * @throws Error when segments are nested
 */
export function checkpoint<R>(build: () => R): R {
  if (currentSegment) throw new Error("checkpoint: segments cannot be nested; end the outer checkpoint first.");
  currentSegment = Symbol("segment");
  try {
    return build();
  } finally {
    currentSegment = undefined;
  }
}

/**
 * Within a checkpoint, store what `build` computes after all: the backward pass does not compute it again.
 * Its inputs from the segment are recomputed where its gradient reads them. Selective recomputation is a
 * checkpoint around what is cheap to compute and large to store, with the rest in `keep`. Outside a
 * checkpoint it changes nothing.
 *
 * @param build makes tensors; called at once
 * @returns what `build` returns
 */
export function keep<R>(build: () => R): R {
  const outer = keeping;
  keeping = currentSegment !== undefined;
  try {
    return build();
  } finally {
    keeping = outer;
  }
}

/** Whether a tensor was built within `keep` of the checkpoint that is being built. */
export function isKept({ node }: Tensor): boolean {
  return node.kept && node.segment === currentSegment;
}

/** All nodes the targets depend on, in order of construction; beyond the tensors of a boundary there are none. */
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
