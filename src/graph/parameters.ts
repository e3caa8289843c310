// Question: which tensors does a model train, and how do they start?
//
// A parameter set records every parameter with its name, its initial values and its role. The role
// decides how the optimizer treats it (see training/optimizer).

import { expectFields, expectHas, expectName, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { expectFloat32 } from "../basics/ranges.ts";
import { parameter, type Role } from "./state.ts";
import { sameShape, type Shape, sizeOf, type Tensor } from "./tensor.ts";

/** Initial values: drawn from a normal distribution, one constant, or listed. */
export type Initial =
  | { readonly normal: number }
  | { readonly constant: number }
  | { readonly values: readonly number[] };

export type { Role };

/** Every role. */
export const roles: readonly Role[] = ["weight", "embedding", "norm", "connection", "balance"];

/** A trained tensor with its name, how it starts and its role. */
export interface Parameter {
  readonly tensor: Tensor;
  readonly name: string;
  /** The name that its creator gave it, without the prefix: "phi" of "layers.0.attention.connection.phi". */
  readonly part: string;
  readonly initial: Initial;
  readonly role: Role;
  /** Widths of the matrices that lie side by side in its last axis; absent: it is one. */
  readonly columns?: readonly number[];
  /** Set where the tensor is one of several equal parts, along the first axis, of a parameter that ranks share. */
  readonly share?: ParameterShare;
}

/** Which part of a parameter this is, from 0, and of how many. */
export interface ParameterShare {
  readonly part: number;
  readonly of: number;
}

/** The shape of a parameter, all of its parts together. */
export function wholeShape({ tensor, share }: Pick<Parameter, "tensor" | "share">): Shape {
  const [first = 1, ...rest] = tensor.shape;
  return share ? [first * share.of, ...rest] : tensor.shape;
}

/** The parameters of a model, in the order they were made. */
export interface ParameterSet {
  readonly all: readonly Parameter[];
  /**
   * Record a parameter; its full name is the set's prefix and `name`, joined by a dot.
   *
   * @param shape of this part, where it is shared
   * @param options exact: no precision rounds it, whatever its role (default: false); columns: the widths of the matrices
   *   that lie side by side in its last axis, which an optimizer may take one by one (default: it is one); share: which
   *   part of a parameter this is (default: all of it)
   */
  create(
    name: string,
    shape: Shape,
    initial: Initial,
    role: Role,
    options?: {
      readonly exact?: boolean;
      readonly columns?: readonly number[];
      readonly share?: ParameterShare;
    },
  ): Tensor;
  /** The same set under a longer prefix. */
  under(prefix: string): ParameterSet;
}

/**
 * Make an empty set of parameters. Pass it, or `under` a prefix, to everything that makes parameters:
 * `languageModel`, `Connection.sublayer`, your own blocks. The tensors hold zeros until `initialise` writes their first
 * values to a runtime.
 *
 * @throws Error from `create` when a name is taken; RangeError when listed values do not fit the shape
 */
export function createParameters(): ParameterSet {
  const all: Parameter[] = [];
  const names = new Set<string>();
  const at = (prefix: string): ParameterSet => ({
    all,
    create(name, shape, initial, role, { exact = false, columns, share } = {}) {
      const full = prefix + name;
      expectInitial(full, initial);
      expectName(`Parameter "${full}"`, "role", role, roles);
      if (names.has(full)) throw new Error(`There are two parameters called "${full}"; give each one its own name.`);
      if ("values" in initial && initial.values.length !== sizeOf(shape)) {
        throw new RangeError(
          `Parameter "${full}" of shape [${shape.join(", ")}] needs ${sizeOf(shape)} initial values, got ${initial.values.length}.`,
        );
      }
      if (columns && columns.reduce((sum, width) => sum + width, 0) !== shape.at(-1))
        throw new RangeError(
          `Parameter "${full}" of shape [${shape.join(", ")}] has columns of ${columns.join(" + ")}; together they must be its last axis.`,
        );
      names.add(full);
      const tensor = parameter(full, shape, exact ? undefined : role);
      all.push({ tensor, name: full, part: name, initial, role, ...given({ columns, share }) });
      return tensor;
    },
    under: (next) => at(`${prefix}${next}.`),
  });
  return at("");
}

/** Throw unless there is one kind of initial values, in numbers. */
function expectInitial(name: string, initial: Initial): void {
  const what = "kind of initial values";
  expectFields(
    `Parameter "${name}"`,
    initial,
    { normal: "number", constant: "number", values: "list" } satisfies FieldRules<
      Partial<Record<"normal" | "constant" | "values", unknown>>
    >,
    what,
  );
  const count = Object.values(initial).filter((value) => value !== undefined).length;
  if (count !== 1)
    throw new TypeError(
      `Parameter "${name}": ${count} kinds of initial values are given; give one: { normal: deviation }, { constant: value } or { values: [...] }.`,
    );
  const { normal, constant, values = [] } = initial as { normal?: number; constant?: number; values?: number[] };
  if (normal !== undefined) expectFloat32(`Parameter "${name}"`, "normal", normal, 0);
  if (constant !== undefined) expectFloat32(`Parameter "${name}"`, "constant", constant);
  for (const [at, value] of values.entries()) expectFloat32(`Parameter "${name}"`, `initial value ${at}`, value);
}

/**
 * A set for a second model that shares the parameters of a first one: instead of making a parameter it returns the
 * existing one of that name.
 *
 * @throws Error from `create` when no parameter has that name and shape
 */
export function existingParameters({ all }: Pick<ParameterSet, "all">): ParameterSet {
  const at = (prefix: string): ParameterSet => ({
    all,
    create(name, shape) {
      const existing = all.find((parameter) => parameter.name === prefix + name)?.tensor;
      if (existing && sameShape(existing.shape, shape)) return existing;
      throw new Error(`There is no parameter "${prefix}${name}" of shape [${shape.join(", ")}] to reuse.`);
    },
    under: (next) => at(`${prefix}${next}.`),
  });
  return at("");
}

/** Throw a TypeError unless it is a set of parameters. */
export function expectParameters(operation: string, parameters: unknown): void {
  expectHas(operation, "parameters", parameters, ["all", "create"], "Give what createParameters returned.");
}

/** The parameters that are trained by their gradients. */
export function trainedParameters(parameters: ParameterSet): Parameter[] {
  expectParameters("trainedParameters", parameters);
  return parameters.all.filter(({ role }) => role !== "balance");
}

/** How many numbers a set trains: the total size of its parameters, with the parts that other ranks have. */
export function parameterCount(parameters: ParameterSet): number {
  expectParameters("parameterCount", parameters);
  return trainedParameters(parameters).reduce((sum, each) => sum + sizeOf(wholeShape(each)), 0);
}
