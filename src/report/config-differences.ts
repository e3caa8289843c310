// Question: where do the configurations of these runs differ?

import type { RunData } from "../runs/run-data.ts";

/** A field that is not the same in all runs. Its values are JSON, or "–" for a run that has none. */
export interface ConfigDifference {
  /** The path of the field, such as model.connection.kind. */
  readonly field: string;
  /** One value for each run. */
  readonly values: readonly string[];
}

/** Fields that are left out: the place of the token files says nothing about a run, and the name heads the column. */
const LEFT_OUT = /^(name|data\.prepared\.folder)$/;

/** The fields in which runs differ, in the order in which they appear. */
export function configDifferences(runs: readonly RunData[]): ConfigDifference[] {
  const known = runs.map(({ config, net }) => new Map(flatten(config ?? net)));
  const fields = [...new Set(known.flatMap((fields) => [...fields.keys()]))];
  return fields.flatMap((field) => {
    const values = known.map((fields) => fields.get(field) ?? "–");
    return LEFT_OUT.test(field) || new Set(values).size < 2 ? [] : [{ field, values }];
  });
}

function flatten(value: unknown, at = ""): [string, string][] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return value === undefined ? [] : [[at, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, at ? `${at}.${key}` : key));
}
