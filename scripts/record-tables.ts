// Question: which tables of the documentation say what a run records, and which optimizers there are?
//
// In docs/instruments.md, docs/interop.md and docs/optimizers.md, between <!-- table: NAME --> and <!-- end -->, made from the tables
// of fields. Run: node scripts/record-tables.ts (a test fails when the pages are not what this makes).

import { readFileSync, writeFileSync } from "node:fs";
import type { Table } from "../src/stability/fields.ts";
import { instrumentFields } from "../src/stability/instruments.ts";
import { updateRule } from "../src/training/optimizers/step.ts";
import { eventFields, metricFields } from "../src/training/records.ts";
import { connectionParts } from "../src/training/optimizers/groups.ts";
import { optimizerEntry, optimizerKinds, usualSettings } from "../src/training/optimizers/table.ts";
import { scalars } from "../src/training/scalars.ts";

/** The pages that hold such tables. */
export const recordPages = ["docs/instruments.md", "docs/interop.md", "docs/optimizers.md"] as const;

const code = (text: string): string => `\`${text}\``;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n");

const values = {
  number: "number",
  count: "whole number",
  text: "text",
  action: "text",
  counts: "list",
  list: "list",
  gaps: "list",
  vectors: "list of lists",
  matrices: "list of [n²]",
  pair: "`forward` and `backward`, lists",
  groups: "`gradient`, `weight`, `update` by role",
  rollback: "`step` and `rateFactor`",
} as const;

const fieldRows = (fields: Table): string[][] =>
  Object.entries(fields).map(([name, { shape, unit, about }]) => [
    code(name),
    unit === undefined ? values[shape] : `${values[shape]}, ${unit}`,
    about,
  ]);

const fileOf = (shape: string): string => code(shape === "matrices" ? "mixing.jsonl" : "gains.jsonl");

const tables: Readonly<Record<string, () => string>> = {
  instruments: () =>
    table(
      ["field", "what it holds", "file", "what it is"],
      Object.entries(instrumentFields).map(([name, { shape, about }]) => [
        code(name),
        values[shape],
        fileOf(shape),
        about,
      ]),
    ),
  metrics: () => table(["field", "what it holds", "what it is"], fieldRows(metricFields)),
  events: () => table(["field", "what it holds", "what it is"], fieldRows(eventFields)),
  optimizers: () =>
    table(
      ["optimizer", "what it is", "learning rate", "weight decay", "its settings", "keeps of a matrix R × C"],
      optimizerKinds.map((kind) => {
        const { title, usual, settings } = optimizerEntry(kind);
        const all = usualSettings(kind);
        const { states } = updateRule({ shape: [3, 5], role: "weight", part: "down" }, { kind, ...all } as never);
        const numbers = Object.values(states).map((shape) => shape.join());
        const kept = numbers.every((shape) => shape === "3,5")
          ? numbers.length === 1
            ? "R C"
            : `${numbers.length} R C`
          : "R + C";
        const own = Object.keys(settings).map((name) => `${code(name)} ${JSON.stringify(all[name])}`);
        return [code(kind), title, String(usual.learningRate), String(usual.weightDecay), own.join(", "), kept];
      }),
    ),
  groups: () =>
    table(
      ["parameter", "is", "with `connection` among the matrices"],
      Object.entries(connectionParts).map(([name, { group, is }]) => [
        code(name),
        is,
        group === "projection" ? "Muon" : "AdamW",
      ]),
    ),
  tensorboard: () =>
    table(
      ["tag", "value"],
      scalars.flatMap(({ tensorboard, ...scalar }) => (tensorboard ? [[code(tensorboard), describe(scalar)]] : [])),
    ),
  prometheus: () => {
    const shown = scalars.flatMap(({ prometheus }) => prometheus ?? []);
    const names = new Set(shown.map(({ name }) => name));
    return table(
      ["metric", "value"],
      [...names].map((name) => {
        const same = shown.filter((other) => other.name === name);
        const labels = same.flatMap((each) => Object.entries(each.labels ?? {}));
        const by =
          labels.length > 0 ? ` By ${code(labels[0]![0])}: ${labels.map(([, value]) => value).join(", ")}.` : "";
        return [code(`birkhoff_${name}`), same[0]!.help + by];
      }),
    );
  },
};

type Described = Pick<(typeof scalars)[number], "name" | "field" | "part" | "take">;

function describe({ name, field, part, take }: Described): string {
  const path = code(part === undefined ? name : `${name}.${part}`);
  if (take) return `the ${take} of ${path}`;
  return field.unit === undefined ? path : `${path}, ${field.unit}`;
}

/** A page with its tables as the fields are now. */
export function withRecordTables(page: string): string {
  return page.replace(/<!-- table: ([\w-]+) -->\n[^]*?<!-- end -->/g, (_, name: string) => {
    const make = tables[name];
    if (!make) throw new Error(`There is no table "${name}"; there are ${Object.keys(tables).join(", ")}.`);
    return `<!-- table: ${name} -->\n\n${make()}\n\n<!-- end -->`;
  });
}

if (process.argv[1] === import.meta.filename) {
  for (const name of recordPages) {
    const page = new URL(`../${name}`, import.meta.url);
    writeFileSync(page, withRecordTables(readFileSync(page, "utf8")));
  }
}
