// Question: which files does --data name, when they may hold more than memory does?
//
// Files of token ids (.bin), and files of documents: parquet, JSON lines (plain, .gz, .zst) and text. Of a folder all
// files of these kinds are taken, as folder.ts lists them. Ids and documents are not mixed; of a folder neither are
// documents in data files and plain texts, because one of the two is rarely meant.
//
// A file whose name has the word "val", "valid" or "validation" is kept for validation; one with "test" is left out.

import fs from "node:fs";
import path from "node:path";
import { showMany } from "../../basics/show.ts";
import { kindOf } from "../../files/read.ts";
import { listFolder } from "../folder.ts";
import { attempt, endless } from "../read-text.ts";

/** How a file holds documents. */
export type DocumentForm = "parquet" | "jsonl" | "jsonl.gz" | "jsonl.zst" | "text";

/** A file of data. */
export interface DataFile {
  readonly path: string;
  readonly form: "bin" | DocumentForm;
  /** In bytes. */
  readonly size: number;
  /** The argument of --data that named it, from 0. */
  readonly source: number;
}

/** The files that are trained on, and those that are only measured on. */
export interface DataFiles {
  readonly train: readonly DataFile[];
  readonly validation: readonly DataFile[];
  readonly notes: readonly string[];
}

/** Endings of files of data; the longest that fits counts. */
const forms: readonly (readonly [ending: string, form: DataFile["form"]])[] = [
  [".bin", "bin"],
  [".parquet", "parquet"],
  [".jsonl", "jsonl"],
  [".ndjson", "jsonl"],
  [".jsonl.gz", "jsonl.gz"],
  [".jsonl.zst", "jsonl.zst"],
];

/** The form of a file by its name; undefined where it is none of data. */
export function dataFormOf(name: string): DataFile["form"] | undefined {
  const lower = name.toLowerCase();
  return forms.filter(([ending]) => lower.endsWith(ending)).sort(([a], [b]) => b.length - a.length)[0]?.[1];
}

const endings: readonly string[] = forms.map(([ending]) => ending);

/** Whether files with this ending may be files of data; ".gz" is the end of ".jsonl.gz". */
export const isEndingOfData = (ending: string): boolean => endings.some((one) => one.endsWith(ending));

/** Files of data in a folder, and whether it has texts besides. */
export interface FolderKinds {
  readonly data: readonly string[];
  readonly texts: readonly string[];
}

/**
 * What a folder has of data files and of texts.
 *
 * @param textEndings endings that count as text, such as [".txt"]
 */
export function kindsOfFolder(folder: string, textEndings: readonly string[]): FolderKinds {
  const { files } = listFolder(folder, [...endings, ...textEndings], true);
  const isData = (name: string): boolean => dataFormOf(name) !== undefined;
  return { data: files.filter(isData), texts: files.filter((name) => !isData(name)) };
}

/**
 * All files that some sources name.
 *
 * @param sources paths of files and folders
 * @param extensions of folders: endings of the files to take, or undefined for all that are data
 * @param textEndings endings of texts in folders
 * @throws Error when there is none, when kinds are mixed, or when a path leads to what is no file
 */
export function findDataFiles(
  sources: readonly string[],
  extensions: readonly string[] | undefined,
  textEndings: readonly string[],
): DataFiles {
  const notes: string[] = [];
  const found = sources.flatMap((source, index) => {
    const stat = attempt(source, () => fs.statSync(source));
    const kind = kindOf(source, stat);
    if (kind === "file") return [fileOf(source, index)];
    if (kind !== "folder") throw endless(source, kind);
    return filesOfFolder(source, index, extensions, textEndings, notes);
  });
  expectOneKind(found, sources);
  const roleOf = ({ path: file }: DataFile): "train" | "validation" | "test" => roleByName(path.basename(file));
  const train = found.filter((file) => roleOf(file) === "train");
  const tests = found.filter((file) => roleOf(file) === "test");
  if (tests.length > 0 && tests.length < found.length)
    notes.push(
      `left out: ${showMany(tests.length, "file")} for tests by their names (${path.basename(tests[0]!.path)}${tests.length > 1 ? ", …" : ""})`,
    );
  // A single file is trained on, whatever its name.
  if (train.length === 0) return { train: found, validation: [], notes };
  return { train, validation: found.filter((file) => roleOf(file) === "validation"), notes };
}

function roleByName(name: string): "train" | "validation" | "test" {
  const words = name.toLowerCase().split(/[^a-z]+/);
  if (words.some((word) => ["val", "valid", "validation"].includes(word))) return "validation";
  return words.includes("test") && !words.includes("train") ? "test" : "train";
}

const fileOf = (file: string, source: number): DataFile => ({
  path: path.resolve(file),
  form: dataFormOf(file) ?? "text",
  size: attempt(file, () => fs.statSync(file)).size,
  source,
});

function filesOfFolder(
  folder: string,
  source: number,
  extensions: readonly string[] | undefined,
  textEndings: readonly string[],
  notes: string[],
): DataFile[] {
  const wanted = extensions ?? [...endings, ...textEndings];
  const { files, followed, leftOut } = listFolder(folder, wanted);
  if (files.length === 0)
    throw new Error(
      `the folder ${folder} has no files of data (${(extensions ?? endings).join(", ")}), also not in its subfolders: give one that has, or name a file`,
    );
  const left = leftOut.map(
    ({ kind, names }) => `${names.length} ${kind} (${path.basename(names[0]!)}${names.length > 1 ? ", …" : ""})`,
  );
  notes.push(
    ...followed.map((link) => `followed the link ${link}`),
    ...(left.length > 0 ? [`left out of ${folder}: ${left.join(", ")}`] : []),
  );
  const listed = files.map((name) => fileOf(path.join(folder, name), source));
  const texts = listed.filter(({ form }) => form === "text");
  if (texts.length > 0 && texts.length < listed.length) throw mixed(folder, listed);
  return listed;
}

function mixed(folder: string, files: readonly DataFile[]): Error {
  const found = new Map<string, number>();
  for (const { path: file, form } of files) {
    const ending = form === "text" ? path.extname(file) : `.${form}`;
    found.set(ending, (found.get(ending) ?? 0) + 1);
  }
  const counts = [...found].map(([ending, count]) => `${count} ${ending}`).join(", ");
  return new Error(
    `the folder ${folder} has files of several kinds (${counts}): data files and texts, or ids and documents, are not read together. Choose with --extensions, such as --extensions ${[...found.keys()].at(-1)}, or name the files`,
  );
}

/** Ids stand for a tokenizer's tokens already; documents do not. */
function expectOneKind(files: readonly DataFile[], sources: readonly string[]): void {
  const ids = files.filter(({ form }) => form === "bin");
  if (ids.length === 0 || ids.length === files.length) return;
  const other = files.find(({ form }) => form !== "bin")!;
  if (sources.length === 1) throw mixed(sources[0]!, files);
  throw new Error(
    `${ids[0]!.path} holds token ids and ${other.path} documents: they are not read together. Give files of one kind`,
  );
}
