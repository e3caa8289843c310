// Question: what is a program asked for, and in which form are its values read?
//
// Outputs may be nested: { loss: Tensor, loads: Tensor[] } is read as { loss: values, loads: values[] }.

import { expectFields } from "../basics/fields.ts";
import { showValue } from "../basics/show.ts";
import { didYouMean } from "../basics/names.ts";
import { type StateAttributes, stateOf } from "../graph/state.ts";
import { ancestors, showShape, type Tensor } from "../graph/tensor.ts";

/**
 * Values of a tensor, row-major: of f32 a Float32Array (a Float64Array on the reference), of i32 an Int32Array, of
 * bf16 the same numbers as wider floats.
 */
export type TensorValues = Float32Array | Float64Array | Int32Array;

/** Tensors to read after a run, by name. */
export type Outputs = { readonly [name: string]: Output };

/** One tensor, or several in a list or a record; what is undefined is read as undefined. */
export type Output = Tensor | undefined | readonly Output[] | Outputs;

/** The values of any output. */
export type OutputValues =
  | TensorValues
  | undefined
  | readonly OutputValues[]
  | { readonly [name: string]: OutputValues };

/** What an output is read as: values in place of tensors. */
export type ValuesOf<O> = [Output] extends [O]
  ? OutputValues
  : O extends undefined
    ? undefined
    : O extends Tensor
      ? TensorValues
      : { readonly [K in keyof O]: ValuesOf<O[K]> };

/** The values of a program's outputs, by name. */
export type Readings<O extends Outputs> = { readonly [N in keyof O]: ValuesOf<O[N]> };

/** What a program computes, and what it changes. */
export interface ProgramSpec<O extends Outputs = Outputs> {
  readonly outputs: O;
  /** Pairs [state, value]: after a run the state holds the value, computed from what all states held before. */
  readonly updates?: readonly (readonly [state: Tensor, value: Tensor])[];
  /**
   * Whether the parameters are the same from run to run, as where a model writes. What a machine makes of them alone, such
   * as a matrix in another order, may then be kept for all such programs, and is made again only when they have
   * changed; it may take as much memory as they do. Default: false
   */
  readonly steady?: boolean;
  /**
   * Values that are looked at while the program runs in parts: each is there after the part that makes it, until the
   * next one runs. Only of a runtime with `Program.parts`.
   */
  readonly passing?: readonly Tensor[];
}

function isTensor(output: Exclude<Output, undefined>): output is Tensor {
  return "node" in output && "dtype" in output && typeof output.dtype === "string";
}

/** The tensors of an output, in order. */
export function tensorsOf(output: Output): Tensor[] {
  if (output === undefined) return [];
  if (isTensor(output)) return [output];
  return Object.values(output).flatMap(tensorsOf);
}

/** An output with values in place of its tensors. */
export function valuesOf<O>(output: O, values: (tensor: Tensor) => TensorValues): ValuesOf<O>;
export function valuesOf(output: Output, values: (tensor: Tensor) => TensorValues): OutputValues {
  if (output === undefined) return undefined;
  if (isTensor(output)) return values(output);
  if (Array.isArray(output)) return output.map((each: Output) => valuesOf(each, values));
  return Object.fromEntries(Object.entries(output).map(([name, each]) => [name, valuesOf(each, values)]));
}

/** An output with other tensors in place of its own. */
export function withTensors<O extends Output>(output: O, other: (tensor: Tensor) => Tensor): O {
  const changed = (part: Output): Output => {
    if (part === undefined) return part;
    if (isTensor(part)) return other(part);
    if (Array.isArray(part)) return part.map((each: Output) => changed(each));
    return Object.fromEntries(Object.entries(part).map(([name, each]) => [name, changed(each)]));
  };
  return changed(output) as O;
}

/** The tensors that a program must compute. */
export function resultsOf({ outputs, updates = [], passing = [] }: ProgramSpec): Tensor[] {
  return [...tensorsOf(outputs), ...updates.map(([, value]) => value), ...passing];
}

/** The states that programs read or update. */
export function statesOf(programs: readonly ProgramSpec[]): ReadonlySet<Tensor> {
  const states = new Set<Tensor>();
  for (const spec of programs) {
    for (const [state] of spec.updates ?? []) states.add(state);
    for (const { outputs } of ancestors(resultsOf(spec))) if (stateOf(outputs[0]!)) states.add(outputs[0]!);
  }
  return states;
}

/** Those of them that stay when the programs are released, until they are forgotten; see states.ts. */
export const lastingStatesOf = (programs: readonly ProgramSpec[]): Tensor[] =>
  [...statesOf(programs)].filter((state) => ["parameter", "state"].includes(stateOf(state)!.kind));

/** The values as float32: themselves where they are. */
export const floatsOf = (values: TensorValues): Float32Array =>
  values instanceof Float32Array ? values : Float32Array.from(values);

/** Throw unless a program is described: named outputs of tensors, and updates in pairs. */
export function expectSpec(spec: ProgramSpec): void {
  const example = "Give such as { outputs: { y }, updates: [[state, value]] }.";
  expectFields(
    "compile",
    spec,
    { outputs: "group", updates: "list", passing: "list", steady: "flag" },
    "field of a program",
  );
  if (spec.outputs === undefined)
    throw new TypeError(`compile: outputs are missing; they must be named tensors, or {} for none. ${example}`);
  for (const [name, output] of Object.entries(spec.outputs)) expectOutput(name, output);
  for (const [at, pair] of (spec.updates ?? []).entries())
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(isTensorValue))
      throw new TypeError(`compile: update ${at} is no pair of tensors, [state, its next value]. ${example}`);
}

const isTensorValue = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "node" in value && "dtype" in value;

function expectOutput(name: string, output: unknown): void {
  if (output === undefined || isTensorValue(output)) return;
  if (typeof output !== "object" || output === null || ArrayBuffer.isView(output))
    throw new TypeError(
      `compile: the output "${name}" is ${typeof output === "object" ? "no tensor" : `a ${typeof output}`}; it must be a tensor, or a list or group of tensors. Give what an operation returned.`,
    );
  for (const [part, each] of Object.entries(output)) expectOutput(`${name}.${part}`, each);
}

/** The output of a name; throws when there is none. */
export function outputOf<O extends Outputs, N extends keyof O & string>(outputs: O, name: N): O[N] {
  if (Object.hasOwn(outputs, name)) return outputs[name];
  const names = Object.keys(outputs);
  if (names.length === 0)
    throw new RangeError(`read: there is no output "${name}"; this program has none. Name it in compile's outputs.`);
  throw new RangeError(
    `read: there is no output "${name}"; there are: ${names.join(", ")}.${didYouMean(name, names) || " Name it in compile's outputs, or read one of these."}`,
  );
}

/** Throw unless `count` values fit the tensor. */
export function expectCount(
  name: string,
  values: ArrayLike<number> | undefined,
  size: number,
  shape: readonly number[],
): void {
  const count = values?.length;
  if (typeof count !== "number" || typeof values === "string")
    throw new TypeError(
      `write: no values are given for ${name}; it must be a list of ${size} numbers, for its shape ${showShape(shape)}. Give an array.`,
    );
  if (count === size) {
    if (Array.isArray(values)) expectNumbers(name, values);
    return;
  }
  throw new RangeError(
    `write: ${name} is given ${count} values; its shape ${showShape(shape)} needs ${size}. Give them all, row after row.`,
  );
}

/** Throw unless every value is a number: of another the machine would make NaN without a word. */
function expectNumbers(name: string, values: readonly unknown[]): void {
  const position = values.findIndex((value) => typeof value !== "number");
  if (position >= 0)
    throw new TypeError(
      `write: ${name} holds ${showValue(values[position])} at position ${position}; allowed are numbers. Give an array of numbers.`,
    );
}

/** Throw unless every value is an integer of 32 bits: a machine would write another number without a word. */
export function expectIntegers(name: string, values: ArrayLike<number>): void {
  if (values instanceof Int32Array) return;
  for (let position = 0; position < values.length; position++) {
    const value = values[position];
    if (value === undefined || (value | 0) !== value) {
      throw new RangeError(
        `write: ${name} holds ${value} at position ${position}; allowed are whole numbers of 32 bits; check the indices.`,
      );
    }
  }
}

/** What `forget` throws for a state that programs have. */
export function inUse(name: string, programs: number): Error {
  const [have, them] = programs > 1 ? ["programs have", "them"] : ["program has", "it"];
  return new Error(`forget: ${programs} ${have} ${name}; release ${them} first.`);
}

/** The attributes of a tensor that a runtime holds; throws for a computed one. */
export function expectState(tensor: Tensor): StateAttributes {
  const attributes = stateOf(tensor);
  if (!attributes)
    throw new TypeError(
      "read or write: this tensor is computed; only parameters, persistent tensors and inputs hold values of their own. " +
        "Name it in a program's outputs to read it.",
    );
  if (attributes.dtype === "bf16")
    throw new TypeError(`${attributes.name}: a state cannot be bfloat16; make it f32 and narrow what is computed.`);
  return attributes;
}

/** What a released program throws, whatever is asked of it. */
export function releasedProgram(operation: string): Error {
  return new Error(
    `${operation}: this program has been released; what it needs in memory is there only until then. Compile it again.`,
  );
}

/** What a closed runtime throws, whatever is asked of it or of its programs. */
export function closedRuntime(operation: string, name: string): Error {
  return new Error(`${operation}: the ${name} runtime has been closed, and its memory with it; open another.`);
}

/** What reading an output throws when another program has run since, or none. */
export function notRun(name: string): Error {
  return new Error(
    `read: "${name}" is not there: run the program first, and read before another program runs, for programs share their memory.`,
  );
}
