// Question: which of a benchmark's files do the parquet files of the hub stand for?
//
// The hub keeps most benchmarks as parquet: SUBJECT/test-00000-of-00001.parquet, or SUBJECT/test/0000.parquet in its
// branch refs/convert/parquet. A task reads the files that the benchmark's authors publish. So the rows of a split, and of
// a subject where there are such, become what the authors' file of that name holds, and no task has to know of them.

import fs from "node:fs";
import path from "node:path";
import { rowsOfParquet } from "../data/stored/parquet.ts";

/** Rows of parquet files, as the authors' file holds them. */
export interface HubFile {
  /** The authors' name for the file. */
  readonly name: string;
  /** The first of the parquet files. */
  readonly path: string;
  /** Lines of JSON, one document, or rows of fields, as `DataFile` reads them. */
  readonly lines?: readonly unknown[];
  readonly json?: unknown;
  readonly rows?: readonly (readonly string[])[];
}

type Row = Readonly<Record<string, unknown>>;
type Split = "train" | "validation" | "test" | "dev";
type Content = Pick<HubFile, "lines" | "json" | "rows">;

/** How the hub keeps one benchmark. */
interface HubForm {
  readonly columns: readonly string[];
  /** The authors' name of each split that is read, of a subject where there are such. */
  readonly names: Readonly<Partial<Record<Split, (subject: string) => string>>>;
  /** Of several configurations the one that the harness asks. */
  readonly configuration?: string;
  /** Whether the folder of a split is a subject, or the column `subject` says it. */
  readonly subjects?: true;
  content(rows: readonly Row[]): Content;
}

const always = (name: string) => () => name;
const asLines = (rows: readonly Row[]): Content => ({ lines: rows });

/** By the folder of the benchmark. */
const forms: Readonly<Record<string, HubForm>> = {
  gsm8k: {
    columns: ["question", "answer"],
    names: { test: always("test.jsonl"), train: always("train.jsonl") },
    configuration: "main",
    content: asLines,
  },
  hellaswag: {
    columns: ["ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "source_id", "split", "split_type", "label"],
    names: { validation: always("hellaswag_val.jsonl"), train: always("hellaswag_train.jsonl") },
    content: asLines,
  },
  piqa: {
    columns: ["goal", "sol1", "sol2", "label"],
    names: { validation: always("valid.jsonl"), train: always("train.jsonl") },
    content: asLines,
  },
  triviaqa: {
    columns: ["question", "answer"],
    names: { validation: always("validation.jsonl"), train: always("train.jsonl") },
    configuration: "rc.nocontext",
    content: (rows) => ({
      lines: rows.map(({ question, answer }) => ({ question, aliases: (answer as Row | undefined)?.["aliases"] })),
    }),
  },
  math: {
    columns: ["problem", "level", "type", "solution"],
    names: { test: (subject) => `test/${subject}.jsonl`, train: (subject) => `train/${subject}.jsonl` },
    subjects: true,
    content: asLines,
  },
  bbh: {
    columns: ["input", "target"],
    names: { test: (subject) => `bbh/${subject}.json` },
    subjects: true,
    content: (rows) => ({ json: { examples: rows } }),
  },
  mmlu: {
    columns: ["question", "subject", "choices", "answer"],
    names: { test: (subject) => `test/${subject}_test.csv`, dev: (subject) => `dev/${subject}_dev.csv` },
    subjects: true,
    content: (rows) => ({
      rows: rows.map(({ question, choices, answer }) =>
        // The number of the answer is its letter in the authors' file.
        [question, ...((choices as unknown[] | undefined) ?? []), "ABCD"[answer as number] ?? answer].map(String),
      ),
    }),
  },
  drop: {
    columns: ["section_id", "query_id", "passage", "question", "answer", "validated_answers"],
    names: { validation: always("drop_dataset_dev.json"), train: always("drop_dataset_train.json") },
    content: (rows) => ({ json: passagesOf(rows) }),
  },
};

/** The passages with their questions, in order; the hub has a row for each question. */
function passagesOf(rows: readonly Row[]): Record<string, { passage: unknown; qa_pairs: unknown[] }> {
  const passages: Record<string, { passage: unknown; qa_pairs: unknown[] }> = {};
  for (const { section_id: id, passage, validated_answers: others, ...pair } of rows)
    (passages[String(id)] ??= { passage, qa_pairs: [] }).qa_pairs.push({ ...pair, validated_answers: listed(others) });
  return passages;
}

/** A list of groups of fields, which the hub keeps as a group of lists. */
function listed(value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value ?? [];
  const fields = Object.entries(value as Readonly<Record<string, readonly unknown[]>>);
  const count = Math.max(0, ...fields.map(([, values]) => values.length));
  return Array.from({ length: count }, (_, at) =>
    Object.fromEntries(fields.flatMap(([name, values]) => (values[at] == null ? [] : [[name, values[at]]]))),
  );
}

/** The split and the configuration that a path below the benchmark's folder says; undefined for other files. */
function placeOf(parts: readonly string[]): { split: Split; configuration: string } | undefined {
  const said = /^(train|validation|test|dev)(?:-\d+-of-\d+|[-_]?\d*)?\.parquet$/.exec(parts.at(-1)!)?.[1];
  const folder = parts.at(-2);
  if (said !== undefined) return { split: said as Split, configuration: folder === "data" ? "" : (folder ?? "") };
  if (!/^\d+\.parquet$/.test(parts.at(-1)!) || !/^(train|validation|test|dev)$/.test(folder ?? "")) return undefined;
  return { split: folder as Split, configuration: parts.at(-3) ?? "" };
}

/**
 * What the parquet files in a folder, and in the folders in it, stand for.
 *
 * @param benchmark the name of its folder
 * @throws Error that names a file which cannot be read
 */
export async function readHubFiles(folder: string, benchmark: string): Promise<HubFile[]> {
  const form = forms[benchmark];
  if (!form || !fs.existsSync(folder)) return [];
  const found = (fs.readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => name.endsWith(".parquet"))
    .sort()
    .flatMap((name) => {
      const place = placeOf(name.split(path.sep));
      const named = place && form.names[place.split];
      return named ? [{ file: path.join(folder, name), ...place, named }] : [];
    });
  // MMLU's folder `all` has the subjects of the other folders once more.
  const [chosen, others] = [form.configuration ?? "", form.subjects ? "all" : ""];
  const preferred = found.filter(({ configuration }) =>
    chosen === "" ? configuration !== others : configuration === chosen,
  );
  const files = new Map<string, { readonly path: string; readonly rows: Row[] }>();
  for (const { file, configuration, named } of preferred.length > 0 ? preferred : found) {
    for (const { subject, ...row } of await rowsOfParquet(file, form.columns)) {
      const name = named(form.subjects && typeof subject === "string" ? subject : configuration);
      const own = files.get(name) ?? { path: file, rows: [] };
      files.set(name, own);
      own.rows.push(row);
    }
  }
  return [...files].map(([name, { path: first, rows }]) => ({ name, path: first, ...form.content(rows) }));
}
