// Question: what are the texts of a column of a parquet file, and what are its rows?
//
// The package hyparquet reads it, one group of rows after another, of the columns alone that are asked for. Snappy is its own; gzip,
// Brotli and zstd are Node's (zstd from Node 22.15 on, before by the package fzstd).

import fs from "node:fs";
import zlib from "node:zlib";
import type { AsyncBuffer, Compressors, FileMetaData } from "hyparquet";
import { reason } from "../../files/errors.ts";
import { expectPackages } from "../../files/packages.ts";
import { expectCounts } from "./parquet-counts.ts";

/** Rows that are in memory at a time, where a group has more. */
const ROWS = 4096;

/**
 * The texts of a column, row by row; a row without a text is left out.
 *
 * @throws Error that names the file when it cannot be read, and when it has no such column of texts
 */
export async function* textsOfParquet(file: string, column: string): AsyncGenerator<string, void, undefined> {
  expectPackages("parquet");
  const { parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
  const { parquetHeader } = await import("hyparquet/src/column.js");
  const descriptor = openFile(file);
  try {
    const buffer = bufferOf(descriptor);
    if (buffer.byteLength === 0) throw new Error(`${file} is empty: it has 0 bytes. Fetch it again, or leave it out`);
    const naming = namingOf(file);
    const metadata = await naming(() => parquetMetadataAsync(buffer));
    expectColumn(file, column, metadata);
    const compressors = await compressorsOf(metadata);
    let row = 0;
    for (const { num_rows: rows, columns } of metadata.row_groups) {
      const end = row + Number(rows);
      const meta = columns.find(({ meta_data: each }) => each?.path_in_schema.join(".") === column)?.meta_data;
      if (meta && row < end) await naming(() => expectCounts(buffer, meta, Number(rows), parquetHeader));
      for (; row < end; row = Math.min(end, row + ROWS)) {
        const asked = { file: buffer, metadata, columns: [column], rowStart: row, rowEnd: Math.min(end, row + ROWS) };
        const read = await naming(() => parquetReadObjects({ ...asked, compressors }));
        for (const [at, { [column]: text }] of read.entries()) {
          if (typeof text === "string") yield text;
          else if (text !== null && text !== undefined)
            throw new Error(
              `${file}, row ${row + at + 1}: "${column}" is no text but ${typeof text}. Choose a column of texts with --column`,
            );
        }
      }
    }
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * All rows of a small file, of some of its columns: lists and groups of fields as they are, whole numbers as numbers.
 * Fields without a value are left out.
 *
 * @param columns those that the file lacks are left out too
 * @throws Error that names the file when it cannot be read
 */
export async function rowsOfParquet(file: string, columns: readonly string[]): Promise<Record<string, unknown>[]> {
  expectPackages("parquet");
  const { parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
  const descriptor = openFile(file);
  try {
    const buffer = bufferOf(descriptor);
    const naming = namingOf(file);
    const metadata = await naming(() => parquetMetadataAsync(buffer));
    const there = columnsOf(metadata);
    const asked = columns.filter((column) => there.includes(column));
    const compressors = await compressorsOf(metadata);
    const rows = await naming(() => parquetReadObjects({ file: buffer, metadata, columns: asked, compressors }));
    return rows.map((row) => plain(row) as Record<string, unknown>);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** As JSON has it. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value) || value instanceof Date) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field)]));
}

/** Runs what reads a file, and names the file in what goes wrong. */
const namingOf =
  (file: string) =>
  async <T>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action();
    } catch (error) {
      throw new Error(
        `${file} cannot be read as parquet: ${reason(error)}. It was cut off or damaged, or is another kind of file; fetch it again, or leave it out`,
        { cause: error },
      );
    }
  };

function openFile(file: string): number {
  try {
    return fs.openSync(file, "r");
  } catch (error) {
    throw new Error(`cannot read ${file}: ${reason(error)}`, { cause: error });
  }
}

function bufferOf(descriptor: number): AsyncBuffer {
  const byteLength = fs.fstatSync(descriptor).size;
  return {
    byteLength,
    async slice(start, end = byteLength) {
      const bytes = new Uint8Array(end - start);
      for (let done = 0; done < bytes.length;) {
        const got = fs.readSync(descriptor, bytes, done, bytes.length - done, start + done);
        if (got === 0) throw new Error("it ends before its last column does");
        done += got;
      }
      return bytes.buffer;
    },
  };
}

function expectColumn(file: string, column: string, metadata: FileMetaData): void {
  const names = columnsOf(metadata);
  if (names.includes(column)) return;
  throw new Error(
    `${file} has no column "${column}"; it has ${names.map((name) => `"${name}"`).join(", ")}. Choose one with --column`,
  );
}

/** The names of a file's columns. */
function columnsOf({ schema }: FileMetaData): string[] {
  const [root, ...others] = schema;
  const names: string[] = [];
  // Children of the root alone; what lies below them is no column of texts.
  for (let at = 0; at < others.length && names.length < (root?.num_children ?? 0);) {
    names.push(others[at]!.name);
    let below = 1;
    for (; below > 0; at++) below += (others[at]?.num_children ?? 0) - 1;
  }
  return names;
}

/** What unpacks the columns of a file. */
async function compressorsOf({ row_groups: groups }: FileMetaData): Promise<Compressors> {
  const own: Compressors = {
    GZIP: (bytes) => zlib.gunzipSync(bytes),
    BROTLI: (bytes) => zlib.brotliDecompressSync(bytes),
  };
  const usesZstd = groups.some(({ columns }) => columns.some(({ meta_data: meta }) => meta?.codec === "ZSTD"));
  if (!usesZstd) return own;
  const { zstdDecompressSync } = zlib as { zstdDecompressSync?: typeof zlib.zstdDecompressSync };
  if (zstdDecompressSync) return { ...own, ZSTD: (bytes) => zstdDecompressSync(bytes) };
  expectPackages("zstd");
  const { decompress } = await import("fzstd");
  return { ...own, ZSTD: (bytes, length) => decompress(bytes, new Uint8Array(length)) };
}
