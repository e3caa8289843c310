// Question: what is wrong with a configuration, in words: which field, what it is, what is allowed?

import type { z } from "zod";
import { isObject, ownEntry } from "../basics/objects.ts";
import { showList, showValue } from "../basics/show.ts";

type Issue = z.core.$ZodIssue;

/** Each wrong field of a configuration on a line: "model.layers: 0 is given; it must be at least 1". */
export function problems(issues: readonly Issue[], value: unknown): string[] {
  const told = issues.filter((issue) => !issues.some((other) => isStricter(other, issue)));
  const lines = told
    .slice(0, MOST_PROBLEMS)
    .map((issue) => [...(issue.path.length > 0 ? [issue.path.join(".")] : []), problem(issue, value)].join(": "));
  const more = told.length - lines.length;
  return more > 0 ? [...lines, `and ${more} more`] : lines;
}

/** Whether two say that one value is too big, the first with the smaller bound. */
function isStricter(one: Issue, other: Issue): boolean {
  if (one.code !== "too_big" || other.code !== "too_big" || !(one.maximum < other.maximum)) return false;
  return one.path.length === other.path.length && one.path.every((key, at) => key === other.path[at]);
}

/** So many wrong fields are named; of the others it is said how many they are. */
const MOST_PROBLEMS = 20;

/** What is wrong with one field, without its name; the issue's path starts at `value`. */
export function problem(issue: Issue, value: unknown): string {
  const actual = issue.path.reduce<unknown>(
    (at, key) => (isObject(at) || Array.isArray(at) ? ownEntry(at as Record<string, unknown>, String(key)) : undefined),
    value,
  );
  const given = actual === undefined ? "nothing is given" : `${showValue(actual)} is given`;
  switch (issue.code) {
    case "too_small":
      return `${given}; it must be ${issue.inclusive ? "at least" : "above"} ${issue.minimum}${issue.origin === "string" ? " characters" : ""}`;
    case "too_big":
      return `${given}; it must be ${issue.inclusive ? "at most" : "below"} ${issue.maximum}`;
    case "invalid_type":
      if (issue.expected === "number" && typeof actual === "number") return `${given}; it must be a finite number`;
      return `${given}; it must be ${ownEntry(typeNames, issue.expected) ?? issue.expected}`;
    case "invalid_value":
      return `${given}; it must be ${issue.values.map((each) => JSON.stringify(each)).join(", ")}`;
    case "invalid_union": {
      const options = "options" in issue ? (issue.options as unknown[]) : [];
      const [key] = "discriminator" in issue ? [issue.discriminator] : [];
      if (options.length > 0 && key !== undefined) return `${given}; it must be one of ${options.join(", ")}`;
      return `${given}; ${issue.errors.map((errors) => errors.map((each) => problem(each, actual).replace(/^.* is given; /, "")).join(" and ")).join(", or ")}`;
    }
    case "unrecognized_keys":
      return `there is no field ${showList(issue.keys)} here`;
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
  array: "a list",
};
