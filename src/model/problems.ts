// Question: what is wrong with a configuration, in words: which field, what it is, what is allowed?

import type { z } from "zod";

type Issue = z.core.$ZodIssue;

/** Each wrong field of a configuration on a line: "model.layers: 0 is given; it must be at least 1". */
export function problems(issues: readonly Issue[], value: unknown): string[] {
  return issues.map((issue) =>
    [...(issue.path.length > 0 ? [issue.path.join(".")] : []), problem(issue, value)].join(": "),
  );
}

/** What is wrong with one field, without its name; the issue's path starts at `value`. */
export function problem(issue: Issue, value: unknown): string {
  const actual = issue.path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined),
    value,
  );
  const given =
    actual === undefined
      ? "nothing is given"
      : `${typeof actual === "number" ? actual : JSON.stringify(actual)} is given`;
  switch (issue.code) {
    case "too_small":
      return `${given}; it must be ${issue.inclusive ? "at least" : "above"} ${issue.minimum}${issue.origin === "string" ? " characters" : ""}`;
    case "too_big":
      return `${given}; it must be ${issue.inclusive ? "at most" : "below"} ${issue.maximum}`;
    case "invalid_type":
      return `${given}; it must be ${typeNames[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `${given}; it must be ${issue.values.map((each) => JSON.stringify(each)).join(", ")}`;
    case "invalid_union": {
      const options = "options" in issue ? (issue.options as unknown[]) : [];
      const [key] = "discriminator" in issue ? [issue.discriminator] : [];
      if (options.length > 0 && key !== undefined) return `${given}; it must be one of ${options.join(", ")}`;
      return `${given}; ${issue.errors.map((errors) => errors.map((each) => problem(each, actual).replace(/^.* is given; /, "")).join(" and ")).join(", or ")}`;
    }
    case "unrecognized_keys":
      return `there is no field ${issue.keys.join(", ")} here`;
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
