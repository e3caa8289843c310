// Question: what is wrong with a configuration, in words: which field, what it is, what is allowed?

import type { z } from "zod";
import { didYouMean, nearestName } from "../basics/names.ts";
import { isObject, ownEntry } from "../basics/objects.ts";
import { showList, showMany, showValue } from "../basics/show.ts";

type Issue = z.core.$ZodIssue;

/**
 * Each wrong field of a configuration on a line: "model.layers: 0 is given; it must be at least 1".
 *
 * @param schema what the value was checked with; an unknown field is then told which there are
 */
export function problems(issues: readonly Issue[], value: unknown, schema?: z.ZodType): string[] {
  const first = issues.slice(0, MOST_COMPARED);
  const told = first.filter((issue) => !first.some((other) => isStricter(other, issue)));
  const lines = told
    .slice(0, MOST_PROBLEMS)
    .map((issue) =>
      [...(issue.path.length > 0 ? [issue.path.join(".")] : []), problem(issue, value, schema)].join(": "),
    );
  const more = told.length + issues.length - first.length - lines.length;
  return more > 0 ? [...lines, `and ${more} more`] : lines;
}

/** Whether two say that one value is too big, or too small, the first with the narrower bound. */
function isStricter(one: Issue, other: Issue): boolean {
  const narrower =
    (one.code === "too_big" && other.code === "too_big" && one.maximum < other.maximum) ||
    (one.code === "too_small" && other.code === "too_small" && one.minimum > other.minimum);
  return narrower && one.path.length === other.path.length && one.path.every((key, at) => key === other.path[at]);
}

/** So many wrong fields are named; of the others it is said how many they are. */
const MOST_PROBLEMS = 20;

/** So many are compared with each other: a long list can be wrong everywhere. */
const MOST_COMPARED = 200;

/** What is wrong with one field, without its name; the issue's path starts at `value`. */
export function problem(issue: Issue, value: unknown, schema?: z.ZodType): string {
  const actual = issue.path.reduce<unknown>(
    (at, key) => (isObject(at) || Array.isArray(at) ? ownEntry(at as Record<string, unknown>, String(key)) : undefined),
    value,
  );
  const given = actual === undefined ? "nothing is given" : `${showValue(actual)} is given`;
  switch (issue.code) {
    case "too_small":
      if (issue.origin === "array")
        return `${given}; it must have at least ${showMany(Number(issue.minimum), "value")}`;
      return `${given}; it must be ${issue.inclusive ? "at least" : "above"} ${issue.minimum}${issue.origin === "string" ? " characters" : ""}`;
    case "too_big":
      if (issue.origin === "array") return `${given}; it must have at most ${showMany(Number(issue.maximum), "value")}`;
      return `${given}; it must be ${issue.inclusive ? "at most" : "below"} ${issue.maximum}`;
    case "invalid_type":
      if (issue.expected === "number" && typeof actual === "number") return `${given}; it must be a finite number`;
      return `${given}; it must be ${ownEntry(typeNames, issue.expected) ?? issue.expected}`;
    case "invalid_value":
      return `${given}; it must be ${issue.values.map((each) => JSON.stringify(each)).join(", ")}${meant(actual, issue.values)}`;
    case "invalid_union": {
      const options = ("options" in issue ? (issue.options as unknown[]) : []).filter((one) => one !== undefined);
      const [key] = "discriminator" in issue ? [issue.discriminator] : [];
      if (options.length > 0 && key !== undefined) {
        const kind = typeof actual === "object" && actual !== null ? (actual as Record<string, unknown>)[key] : actual;
        return `${given}; it must be one of ${options.join(", ")}${meant(kind, options)}`;
      }
      const needs = issue.errors.map((errors) =>
        [...new Set(errors.map((each) => problem(each, actual).replace(/^.* is given; /, "")))].join(" and "),
      );
      return `${given}; ${[...new Set(needs)].join(", or ")}`;
    }
    case "unrecognized_keys": {
      const known = schema === undefined ? [] : fieldsAt(schema, issue.path, value);
      const there = known.length === 0 ? "" : `; there ${known.length === 1 ? "is" : "are"} ${known.join(", ")}`;
      const hints = issue.keys
        .slice(0, 3)
        .map((key) => {
          const paths = schema ? pathsOf(schema) : [];
          if (paths.includes([...issue.path, key].join("."))) return ` ${showList([key])} is of another kind.`;
          return didYouMean(key, known) || nearestPath(key, paths);
        })
        .join("");
      return `there is no field ${showList(issue.keys)} here${there}${hints && `.${hints}`}`;
    }
    default:
      return issue.message;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "a text",
  boolean: "true or false",
  object: "a group of fields",
  record: "a group of fields",
  array: "a list",
};

/** The end of a message about a text that is none of the allowed ones. */
function meant(given: unknown, allowed: readonly unknown[]): string {
  const hint = didYouMean(
    given,
    allowed.filter((one) => typeof one === "string"),
  );
  return hint && `.${hint}`;
}

/** What of a schema's definition says which fields an object has. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly in?: z.ZodType;
  readonly out?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly discriminator?: string;
}

/** The fields that an object has at a path of a schema; none where the schema does not say. */
function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[], value: unknown): string[] {
  const {
    type,
    shape,
    innerType,
    element,
    in: from,
    out,
    options,
    discriminator,
  } = schema.def as unknown as Definition;
  if (innerType) return fieldsAt(innerType, path, value);
  // Of a change before the check the schema comes second, of one after it first.
  if (from && out) return fieldsAt((from.def as unknown as Definition).type === "transform" ? out : from, path, value);
  if (options) {
    const kindOf = (one: z.ZodType): unknown => {
      const literal =
        discriminator === undefined ? undefined : (one.def as unknown as Definition).shape?.[discriminator];
      return literal && "value" in literal ? literal.value : undefined;
    };
    const wanted = discriminator === undefined ? undefined : at(value, discriminator);
    // Kinds are read in any case, as in mHC.
    const same = (kind: unknown): boolean =>
      kind === wanted || (typeof wanted === "string" && kind === wanted.toLowerCase());
    const option = options.find((one) => same(kindOf(one)));
    return option === undefined ? [] : fieldsAt(option, path, value);
  }
  const [key, ...rest] = path;
  if (key === undefined) return type === "object" && shape ? Object.keys(shape) : [];
  const next = element ?? (shape && Object.hasOwn(shape, key) ? shape[String(key)] : undefined);
  return next === undefined ? [] : fieldsAt(next, rest, at(value, key));
}

/** The paths of all fields that a schema has, of a union those of all its forms; lists are not looked into. */
export function pathsOf(schema: z.ZodType, before = ""): string[] {
  const { shape, innerType, in: from, out, options } = schema.def as unknown as Definition;
  const inner = innerType ? [innerType] : from && out ? [from, out] : (options ?? []);
  const own = Object.entries(shape ?? {}).flatMap(([name, field]) => {
    const path = before === "" ? name : `${before}.${name}`;
    const below = pathsOf(field, path);
    return below.length > 0 ? below : [path];
  });
  return [...new Set([...own, ...inner.flatMap((each) => pathsOf(each, before))])];
}

/** ` Did you mean "optimizer.learningRate"?` of "lr" or "learningRate", or nothing; it goes at the end of a message. */
function nearestPath(name: string, paths: readonly string[]): string {
  const path = fieldNearest(name, paths);
  return path === undefined ? "" : ` Did you mean "${path}"?`;
}

/** The path whose last part is nearest to a name. */
export function fieldNearest(name: string, paths: readonly string[]): string | undefined {
  const last = (path: string): string => path.slice(path.lastIndexOf(".") + 1);
  const nearest = nearestName(name, paths.map(last));
  return paths.find((path) => last(path) === nearest);
}

const at = (value: unknown, key: PropertyKey): unknown =>
  typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined;
