// Question: where do the files of a benchmark lie, and what do they hold?
//
// The user names a folder. A benchmark's files lie in the folder of its name in it, or in the folder itself. They are
// the files that the benchmarks' authors publish, or the parquet files of the hub (hub-files.ts); none comes with the
// package.

import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { messageOf } from "../files/errors.ts";
import { readText } from "../files/read.ts";
import { parseCsv } from "./csv.ts";
import { type HubFile, readHubFiles } from "./hub-files.ts";

/** The data of one benchmark. */
export interface DataFolder {
  /**
   * The first of some files that is there, by names below the folder; a * stands for any text within a name, but never
   * finds a file of training examples.
   *
   * @param what what the file holds, as a message says it
   * @throws Error that names what was looked for
   */
  file(what: string, ...names: readonly string[]): DataFile;
  /** As `file`, or undefined where none is there. */
  optionalFile(...names: readonly string[]): DataFile | undefined;
  /** All files whose name matches, in order. */
  files(name: string): readonly DataFile[];
}

/** A file of examples, read when asked. Its methods throw an Error that names the file and the place in it. */
export interface DataFile {
  readonly path: string;
  text(): string;
  /** Lines of JSON. */
  lines<T>(schema: z.ZodType<T>): T[];
  json<T>(schema: z.ZodType<T>): T;
  /** Comma-separated values with this many columns, without a head. */
  rows(columns: number): string[][];
}

/** For tasks that read no files. */
export const noDataFolder: DataFolder = {
  optionalFile: () => undefined,
  files: () => [],
  file(what) {
    throw new Error(`eval: ${what} are wanted, and no folder is given; name the folder that holds them with --data.`);
  },
};

/**
 * As `openDataFolder`, and with the parquet files of the hub, which are read at once: of the authors' files that a task
 * asks for, those that are not there.
 *
 * @param benchmark the name of its folder in `folder`
 * @throws Error when the folder is not there, or a parquet file cannot be read
 */
export async function readDataFolder(folder: string, benchmark: string): Promise<DataFolder> {
  const own = path.join(folder, benchmark);
  const known = await readHubFiles(fs.existsSync(own) ? own : folder, benchmark);
  return openFolder(folder, benchmark, known);
}

/**
 * Look for the files of a benchmark. Parquet files are not looked for; `readDataFolder` reads them.
 *
 * @param benchmark the name of its folder in `folder`
 * @throws Error when the folder is not there
 */
export function openDataFolder(folder: string, benchmark: string): DataFolder {
  return openFolder(folder, benchmark, []);
}

function openFolder(folder: string, benchmark: string, hub: readonly HubFile[]): DataFolder {
  if (!fs.existsSync(folder))
    throw new Error(
      `--data: ${folder} is given; it must be a folder that holds benchmarks, such as ${folder}/${benchmark}; see docs/evaluation.md.`,
    );
  const places = [path.join(folder, benchmark), folder].filter((place) => fs.existsSync(place));
  const matching = (name: string): string[] => places.flatMap((place) => glob(place, name.split("/")));
  const optionalFile = (...names: readonly string[]): DataFile | undefined => {
    const found = names.flatMap(matching)[0];
    if (found !== undefined) return dataFile(found);
    const kept = names.flatMap((name) => hub.filter((file) => file.name === name))[0];
    return kept && hubFile(kept);
  };
  return {
    optionalFile,
    file(what, ...names) {
      const found = optionalFile(...names);
      if (!found)
        throw new Error(
          `${benchmark}: there is no file of ${what} in ${folder}; it may be ${names.map((name) => `${benchmark}/${name}`).join(" or ")}; docs/evaluation.md says where they come from.`,
        );
      return found;
    },
    files: (name) => matching(name).map(dataFile),
  };
}

/** Files below a folder whose path matches, part by part. */
function glob(folder: string, [part = "", ...rest]: readonly string[]): string[] {
  if (!part.includes("*")) {
    const next = path.join(folder, part);
    if (!fs.existsSync(next)) return [];
    return rest.length === 0 ? [next] : glob(next, rest);
  }
  const literal = (text: string): string => text.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`);
  const pattern = new RegExp(`^${part.split("*").map(literal).join(".*")}$`);
  const names = fs.statSync(folder).isDirectory() ? fs.readdirSync(folder).sort(byNumber) : [];
  // Asked by mistake, the training examples would make a model look better than it is.
  const found = names.filter((name) => pattern.test(name) && !/train/i.test(name));
  return found.flatMap((name) => glob(folder, [name, ...rest]));
}

/** 2.json before 10.json. */
const byNumber = (a: string, b: string): number =>
  Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : a > b ? 1 : 0);

const failing =
  (file: string) =>
  (where: string, error: unknown): Error =>
    new Error(
      `${file}${where}: ${error instanceof z.ZodError ? z.prettifyError(error).replaceAll("\n", " ") : messageOf(error)}; it must have the form that its benchmark publishes (docs/evaluation.md).`,
    );

/** @throws Error that says in which row the columns are too few or too many */
function expectColumns(rows: readonly (readonly string[])[], columns: number, fail: ReturnType<typeof failing>): void {
  const wrong = rows.findIndex((row) => row.length !== columns);
  if (wrong >= 0) throw fail(`, row ${wrong + 1}`, new Error(`${rows[wrong]!.length} columns instead of ${columns}`));
}

/** What parquet files of the hub hold. */
function hubFile({ path: file, lines = [], json, rows = [] }: HubFile): DataFile {
  const fail = failing(file);
  const parse = <T>(value: unknown, schema: z.ZodType<T>, where: string): T => {
    try {
      return schema.parse(value);
    } catch (error) {
      throw fail(where, error);
    }
  };
  return {
    path: file,
    text: () => lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
    lines: (schema) => lines.map((line, index) => parse(line, schema, `, row ${index + 1}`)),
    json: (schema) => parse(json, schema, ""),
    rows(columns) {
      expectColumns(rows, columns, fail);
      return rows.map((row) => [...row]);
    },
  };
}

function dataFile(file: string): DataFile {
  const fail = failing(file);
  const parse = <T>(text: string, schema: z.ZodType<T>, where: string): T => {
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      throw fail(where, error);
    }
  };
  const text = (): string => {
    try {
      return readText(file).replace(/^\ufeff/, "");
    } catch (error) {
      throw fail("", error);
    }
  };
  return {
    path: file,
    text,
    lines: (schema) =>
      text()
        .split("\n")
        .flatMap((line, index) => (line.trim() === "" ? [] : [parse(line, schema, `, line ${index + 1}`)])),
    json: (schema) => parse(text(), schema, ""),
    rows(columns) {
      const content = text();
      let rows: string[][];
      try {
        rows = parseCsv(content);
      } catch (error) {
        throw fail("", error);
      }
      expectColumns(rows, columns, fail);
      return rows;
    },
  };
}
