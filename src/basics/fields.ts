// Question: does an object of options have only fields that exist, with values of the right kind?
//
// TypeScript refuses a wrong field; plain JavaScript passes it over, and the default is taken in silence. So each
// public function with options says which there are, and the compiler holds that list complete.

import { didYouMean } from "./names.ts";
import { showValue } from "./show.ts";

/** What a field must hold; a list means one of these texts. Numbers are checked further where they are used. */
export type FieldRule = "anything" | "number" | "text" | "flag" | "list" | "function" | "group" | readonly string[];

/** A rule for every field of `Options`. */
export type FieldRules<Options> = { readonly [Name in keyof Options]-?: FieldRule };

const kinds = {
  number: ["a number", (value: unknown) => typeof value === "number"],
  text: ["a text", (value: unknown) => typeof value === "string"],
  flag: ["true or false", (value: unknown) => typeof value === "boolean"],
  list: ["a list", (value: unknown) => Array.isArray(value) || ArrayBuffer.isView(value)],
  function: ["a function", (value: unknown) => typeof value === "function"],
  group: ["an object", (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value)],
} as const;

/**
 * Throw unless `options` is an object with known fields alone. An undefined value counts as an absent field.
 *
 * @param operation who asks: the first part of the message
 * @param what the object's name in the message
 * @throws TypeError for what is no object, for an unknown field and for a value of another kind; RangeError for a text
 *   that is none of a list
 */
export function expectFields<Options>(
  operation: string,
  options: Options,
  rules: FieldRules<Options>,
  what = "option",
): void {
  const names = Object.keys(rules);
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new TypeError(
      names.length === 0
        ? `${operation}: ${showValue(options)} is given; there are no options. Leave it out.`
        : `${operation}: ${showValue(options)} is given; it must be an object with fields of ${names.join(", ")}. Give such as { ${names[0]!}: … }.`,
    );
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, name))
      throw new TypeError(
        `${operation}: there is no ${what} "${name}"; there ${names.length === 0 ? "are none" : `are ${names.join(", ")}`}.${didYouMean(name, names) || " Leave it out."}`,
      );
    if (value !== undefined) expectKind(operation, name, value, (rules as Readonly<Record<string, FieldRule>>)[name]!);
  }
}

function expectKind(operation: string, name: string, value: unknown, rule: FieldRule): void {
  if (rule === "anything") return;
  if (typeof rule !== "string") return expectName(operation, name, value, rule);
  const [kind, holds] = kinds[rule];
  if (!holds(value)) throw new TypeError(`${operation}: ${name} is ${showValue(value)}; it must be ${kind}.`);
}

/**
 * Throw unless fields that have no default are given.
 *
 * @throws TypeError that says what the missing one must be
 */
export function expectGiven<Options extends object>(
  operation: string,
  options: Options,
  rules: FieldRules<Options>,
  names: readonly (keyof Options & string)[],
): void {
  for (const name of names) {
    const rule = (rules as Readonly<Record<string, FieldRule>>)[name]!;
    const what =
      typeof rule === "string" ? (rule === "anything" ? "given" : kinds[rule][0]) : `one of ${rule.join(", ")}`;
    if (options[name] === undefined)
      throw new TypeError(
        `${operation}: ${name} is missing; it must be ${what}. There is no default: give { ${name}: … }.`,
      );
  }
}

/**
 * Throw unless a value is one of the known names.
 *
 * @throws RangeError with the names and the nearest of them
 */
export function expectName<Name extends string>(
  operation: string,
  field: string,
  value: unknown,
  known: readonly Name[],
): asserts value is Name {
  if (typeof value === "string" && (known as readonly string[]).includes(value)) return;
  throw new RangeError(
    `${operation}: ${field} is ${showValue(value)}; it must be one of ${known.join(", ")}.${didYouMean(value, known)}`,
  );
}

/** Throw a TypeError unless a value is a function. */
export function expectFunction(operation: string, name: string, value: unknown): void {
  if (typeof value !== "function")
    throw new TypeError(`${operation}: ${name} is ${showValue(value)}; it must be a function. Give such as () => x.`);
}

/** Throw a TypeError unless a value is a list. */
export function expectList(operation: string, name: string, value: unknown, of: string): void {
  if (!Array.isArray(value))
    throw new TypeError(`${operation}: ${name} is ${showValue(value)}; it must be a list of ${of}. Give such as [].`);
}

/**
 * Throw a TypeError unless a value is an object that has some fields, whatever else it has.
 *
 * @param mend what to do: the end of the message, such as "Give what createParameters returned."
 */
export function expectHas(
  operation: string,
  name: string,
  value: unknown,
  fields: readonly string[],
  mend: string,
): void {
  if (typeof value === "object" && value !== null && fields.every((field) => field in value)) return;
  throw new TypeError(
    `${operation}: ${name} is ${showValue(value)}; it must be an object with ${fields.join(", ")}. ${mend}`,
  );
}
