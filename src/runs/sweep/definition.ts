// Question: which runs is a sweep made of, and what is each called?
//
// A sweep is plain data: a base, axes with their values, and what of the grid is left out. Its points are
// the product of the axes, each named after its values: learningRate=0.003,layers=12,connection=hc,seed=1.
// A name depends on nothing but its own values, so a sweep that gets more of them keeps the runs it has.

import { z } from "zod";
import { hasEntry, isInherited, isObject, isTooDeep, ownEntry } from "../../basics/objects.ts";
import { showCount, showValue } from "../../basics/show.ts";
import { connectionKind } from "../../connections/table.ts";
import { isDataFile } from "../../files/data-file.ts";
import { sha256 } from "../../files/hash.ts";
import { presets } from "../../model/config.ts";
import { problem } from "../../model/problems.ts";
import { currentPath } from "../../training/config.ts";

/** A value of a field: a number, a text such as "mhc:streams=2", or any other plain data. */
export type SweepValue = z.core.util.JSONType;

/** Points with all of these values; a list stands for any of its values. */
export type SweepCondition = Readonly<Record<string, SweepValue>>;

/** The options of `birkhoff train` by their names there, in camel case, and any field of the configuration. */
export interface SweepBase {
  readonly [option: string]: SweepValue;
}

/** A sweep as plain data. */
export interface SweepDefinition {
  readonly name: string;
  readonly base: SweepBase;
  /** Path of a field → the values it takes, such as `"model.layers": [4, 12]`. */
  readonly axes: Readonly<Record<string, readonly SweepValue[]>>;
  /** Only points that one of these describes; absent all. */
  readonly where?: readonly SweepCondition[];
  /** No point that one of these describes. */
  readonly exclude?: readonly SweepCondition[];
  /** Whether a run keeps its last checkpoints when it is done. */
  readonly keepCheckpoints: boolean;
}

/** One run of a sweep. */
export interface SweepPoint {
  /** Its folder in the sweep's folder. */
  readonly name: string;
  /** Path of each axis → the point's value. */
  readonly values: Readonly<Record<string, SweepValue>>;
}

/** What `birkhoff train` decides a configuration from; all else is a field of the configuration by its path. */
export const sweepOptions = [
  "data",
  "extensions",
  "skipUnreadable",
  "column",
  "tokenizer",
  "preset",
  "connection",
  "vocabulary",
  "splitSeed",
  "trainingShare",
  "steps",
  "batch",
  "accumulate",
  "context",
  "precision",
  "recompute",
  "optimizer",
  "learningRate",
  "warmup",
  "schedule",
  "streams",
  "iterations",
  "residualMap",
  "convention",
  "initialisation",
  "seed",
  "evaluateEvery",
  "checkpointEvery",
] as const;

/** An option of `birkhoff train` that a sweep can set or vary. */
export type SweepOption = (typeof sweepOptions)[number];

/** Fields of the configuration that have an option of their own: both names mean the same. */
const optionOfPath: Readonly<Record<string, SweepOption>> = {
  "data.source": "data",
  "data.vocabulary": "vocabulary",
  "data.splitSeed": "splitSeed",
  "data.trainingShare": "trainingShare",
  "model.connection": "connection",
  "model.context": "context",
  "optimizer.kind": "optimizer",
  "optimizer.learningRate": "learningRate",
  "optimizer.warmup": "warmup",
  "optimizer.schedule.kind": "schedule",
};

/** Groups of fields that a path can begin with. */
const groups = ["model", "optimizer"];
const fields = ["evaluateBatches", "gainsEvery", "keepCheckpoints"];

/** The option that a name or path stands for, or the path itself. */
export function fieldOf(key: string): string {
  const path = currentPath(key);
  return ownEntry(optionOfPath, path) ?? path;
}

export function isOption(field: string): field is SweepOption {
  return (sweepOptions as readonly string[]).includes(field);
}

function problemOf(key: string): string | undefined {
  const field = fieldOf(key);
  if (isOption(field) || fields.includes(field)) return undefined;
  const [group = "", ...rest] = field.split(".");
  if (groups.includes(group) && rest.length > 0 && rest.every((part) => part !== "" && !isInherited(part)))
    return undefined;
  return `no field of a run. There are ${sweepOptions.join(", ")}, ${fields.join(", ")}, and paths such as ${groups.map((name) => `${name}. ...`).join(" and ")}`;
}

const value = z.json();
const keyed = <S extends z.ZodType>(values: S): z.ZodType<Record<string, z.infer<S>>> =>
  z.record(z.string(), values).superRefine((record, context) => {
    const named = new Map<string, string>();
    for (const key of Object.keys(record)) {
      const message = problemOf(key) ?? (named.has(fieldOf(key)) ? `the same field as ${named.get(fieldOf(key))}` : "");
      if (message) context.addIssue({ code: "custom", path: [key], message });
      named.set(fieldOf(key), key);
    }
  });
const axisSchema = z
  .array(value)
  .min(1)
  .superRefine((values, context) => {
    const seen = new Set<string>();
    values.forEach((one, index) => {
      const text = JSON.stringify(one);
      if (seen.has(text))
        context.addIssue({ code: "custom", path: [index], message: `${showValue(one)} is there twice` });
      seen.add(text);
    });
  });

const definitionSchema = z
  .strictObject({
    name: z.string().regex(/[^.]/, "a name of something else than dots"),
    base: keyed(value).default({}),
    axes: keyed(axisSchema).refine((axes) => Object.keys(axes).length > 0, {
      error: "a sweep needs at least one axis",
    }),
    where: z.array(z.record(z.string(), value)).min(1).exactOptional(),
    exclude: z.array(z.record(z.string(), value)).min(1).exactOptional(),
    keepCheckpoints: z.boolean().default(true),
  })
  .superRefine(({ base, axes, where, exclude }, context) => {
    const varied = new Set(Object.keys(axes).map(fieldOf));
    for (const key of Object.keys(base)) {
      if (varied.has(fieldOf(key)))
        context.addIssue({ code: "custom", path: ["base", key], message: "it is an axis too; give it in one place" });
    }
    for (const [key, values] of Object.entries(axes)) {
      if (fieldOf(key) !== "connection") continue;
      const named = new Map<string, SweepValue>();
      values.forEach((one, index) => {
        const today = inTodaysNames(one);
        const before = named.get(today);
        if (before !== undefined && !same(before, one))
          context.addIssue({
            code: "custom",
            path: ["axes", key, index],
            message: `${showValue(one)} is the same connection as ${showValue(before)}; each is trained once`,
          });
        named.set(today, before ?? one);
      });
    }
    for (const [list, conditions] of Object.entries({ where, exclude })) {
      conditions?.forEach((condition, index) => {
        for (const key of Object.keys(condition)) {
          if (!hasEntry(axes, key))
            context.addIssue({
              code: "custom",
              path: [list, index, key],
              message: `no axis; there are ${Object.keys(axes).join(", ")}`,
            });
        }
      });
    }
    for (const [place, given] of [["base", base.preset], ...(axes.preset ?? []).map((one) => ["axes", one])] as [
      string,
      SweepValue | undefined,
    ][]) {
      if (given !== undefined && !(typeof given === "string" && (hasEntry(presets, given) || isDataFile(given))))
        context.addIssue({
          code: "custom",
          path: [place, "preset"],
          message: `${showValue(given)} is no size; there are ${Object.keys(presets).join(", ")}, and files of your own such as ./my-preset.json`,
        });
    }
  });

/**
 * Check a sweep and fill in its defaults. Whether each point is a valid configuration is seen only when it is made.
 *
 * @param given plain data, such as a parsed JSON file
 * @param source what to call it in messages
 * @throws Error that lists each wrong field, what it was and what is allowed
 */
export function parseSweep(given: unknown, source = "the sweep"): SweepDefinition {
  const refuse = (lines: readonly string[]): never => {
    throw new Error(`${source} is not valid:\n  ${lines.join("\n  ")}`);
  };
  if (isTooDeep(given)) refuse(["it is nested too deeply"]);
  const foreign = foreignKeys(given);
  if (foreign.length > 0) refuse(foreign);
  const result = definitionSchema.safeParse(given);
  if (!result.success) {
    const { issues } = result.error;
    const lines = issues
      .slice(0, MOST_PROBLEMS)
      .map(
        (issue) =>
          `${issue.path.map((key) => (String(key).includes(".") ? `"${String(key)}"` : key)).join(".") || "(all)"}: ${problem(issue, given, definitionSchema)}`,
      );
    return refuse(issues.length > lines.length ? [...lines, `and ${issues.length - lines.length} more`] : lines);
  }
  const { axes } = result.data;
  const lengths = Object.values(axes).map((values) => values.length);
  const grid = lengths.reduce((product, length) => product * length, 1);
  if (grid > MOST_POINTS)
    refuse([
      `axes: ${lengths.join(" × ")} = ${showCount(grid)} points; a sweep has at most ${showCount(MOST_POINTS)}. ` +
        "Take values from the axes, or make several sweeps of it",
    ]);
  if (sweepPoints(result.data).length === 0) refuse(["where, exclude: they leave no point of the grid"]);
  return result.data;
}

/** So many wrong fields are named; of the others it is said how many they are. */
const MOST_PROBLEMS = 20;

/** The most points of a grid, those that are left out included: each is a run of its own. */
const MOST_POINTS = 20_000;

/** Fields whose names every object inherits; a schema would pass over some of them without a word. */
function foreignKeys(given: unknown): string[] {
  if (!isObject(given)) return [];
  return ["base", "axes", "where", "exclude"].flatMap((place) => {
    const groups = Array.isArray(given[place]) ? given[place] : [given[place]];
    return groups.flatMap((group: unknown) =>
      isObject(group)
        ? Object.keys(group).flatMap((key) => {
            const part = key.split(".").find(isInherited);
            return part === undefined ? [] : [`${place}."${key}": no field of a run is called "${part}"`];
          })
        : [],
    );
  });
}

/** The points of a sweep: the product of its axes, the last one fastest, less what is left out. */
export function sweepPoints({
  axes,
  where,
  exclude,
}: Pick<SweepDefinition, "axes" | "where" | "exclude">): SweepPoint[] {
  const names = axisNames(Object.keys(axes));
  let points: SweepPoint[] = [{ name: "", values: {} }];
  for (const [axis, values] of Object.entries(axes)) {
    points = points.flatMap((point) =>
      values.map((one) => ({
        name: `${point.name}${point.name && ","}${names.get(axis)}=${label(one)}`,
        values: { ...point.values, [axis]: one },
      })),
    );
  }
  const meets = (point: SweepPoint, conditions: readonly SweepCondition[]): boolean =>
    conditions.some((condition) =>
      Object.entries(condition).every(([axis, wanted]) =>
        (Array.isArray(wanted) ? wanted : [wanted]).some((one) => same(one, point.values[axis])),
      ),
    );
  return points.filter((point) => (!where || meets(point, where)) && !(exclude && meets(point, exclude)));
}

/** A connection by today's name of its kind: "manifold:streams=2" and "mHC:streams=2" are "mhc:streams=2". */
function inTodaysNames(given: SweepValue): string {
  if (typeof given !== "string") return JSON.stringify(given);
  const [name = "", ...options] = given.trim().split(":");
  return [connectionKind(name) ?? name, ...options].join(":");
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The last part of each path where that tells them apart, else the whole path. */
export function axisNames(axes: readonly string[]): ReadonlyMap<string, string> {
  const last = (axis: string): string => axis.slice(axis.lastIndexOf(".") + 1);
  return new Map(
    axes.map((axis) => [axis, axes.some((other) => other !== axis && last(other) === last(axis)) ? axis : last(axis)]),
  );
}

const LONGEST_LABEL = 60;

/** A value as part of a file name; what cannot stand there is replaced, and then a hash tells such values apart. */
function label(given: SweepValue): string {
  const text = typeof given === "string" ? given : JSON.stringify(given);
  // Windows allows no colon; a plus of the value's own is replaced, so this one is clear.
  const plain = text.replaceAll(/[^\w.=:-]/g, "_").replaceAll(":", "+");
  const exact = plain === text.replaceAll(":", "+") && !text.includes("+");
  const ambiguous = typeof given === "string" && isJson(given);
  if (exact && !ambiguous && plain.length <= LONGEST_LABEL && plain !== "") return plain;
  const hash = sha256(JSON.stringify(given)).slice(0, 8);
  return `${plain.slice(0, LONGEST_LABEL - 9)}~${hash}`;
}

/** "1" beside 1, "true" beside true. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * What makes a sweep another one than it was. More values on its axes do not: its runs stay valid.
 *
 * @returns one line a difference; none when the runs of `before` are runs of `now`
 */
export function sweepDifferences(before: SweepDefinition, now: SweepDefinition): string[] {
  const lines: string[] = [];
  const differ = (what: string, was: unknown, is: unknown): void => {
    if (!same(was, is))
      lines.push(
        `  ${what}: ${JSON.stringify(was) ?? "nothing"} in the folder, ${JSON.stringify(is) ?? "nothing"} now`,
      );
  };
  differ("name", before.name, now.name);
  for (const key of new Set([...Object.keys(before.base), ...Object.keys(now.base)]))
    differ(`base.${key}`, before.base[key], now.base[key]);
  if (!same(Object.keys(before.axes), Object.keys(now.axes)))
    differ("axes", Object.keys(before.axes), Object.keys(now.axes));
  else
    for (const [axis, values] of Object.entries(before.axes)) {
      const missing = values.filter((one) => !now.axes[axis]?.some((other) => same(one, other)));
      if (missing.length > 0)
        lines.push(`  axes.${axis}: ${missing.map((one) => JSON.stringify(one)).join(", ")} in the folder, gone now`);
    }
  differ("where", before.where, now.where);
  differ("exclude", before.exclude, now.exclude);
  differ("keepCheckpoints", before.keepCheckpoints, now.keepCheckpoints);
  return lines;
}
