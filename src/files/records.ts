// Question: how do records, one per line, survive a kill and a full disk?
//
// The file only grows: it is opened once, and a whole line is written at a time. A line that could not be written
// completely is removed again, and the reader ignores a line that a kill has cut off.

import fs from "node:fs";
import { writeAll, writeFileAtomically } from "./atomic.ts";
import { attempt, reason } from "./errors.ts";
import { formatRecord, parseJson, type StepRecord } from "./json.ts";
import { newSha256 } from "./hash.ts";
import { MOST_OF_RECORDS, readText } from "./read.ts";

/** A file that only grows. */
export interface Log {
  /** Adds whole lines in one write; if that fails, the file is as before. */
  append(lines: string): void;
  /** Makes what was appended durable. */
  sync(): void;
  /** By what the file, as long as it is now, is known again. */
  mark(): LogMark;
  close(): void;
}

/** The length of a file of records and the SHA-256 of its bytes. */
export interface LogMark {
  readonly bytes: number;
  readonly sha256: string;
}

export function openLog(file: string): Log {
  const hash = newSha256();
  let descriptor: number;
  let size = 0;
  try {
    descriptor = fs.openSync(file, "a+");
    const part = new Uint8Array(1 << 20);
    for (let got; (got = fs.readSync(descriptor, part, 0, part.length, size)) > 0; size += got)
      hash.update(part.subarray(0, got));
  } catch (error) {
    throw cannotAppend(file, error);
  }
  return {
    append(lines) {
      const bytes = Buffer.from(lines);
      try {
        writeAll(descriptor, bytes);
        size += bytes.length;
        hash.update(bytes);
      } catch (error) {
        attempt(() => fs.ftruncateSync(descriptor, size));
        throw cannotAppend(file, error);
      }
    },
    sync() {
      try {
        fs.fsyncSync(descriptor);
      } catch (error) {
        throw cannotAppend(file, error);
      }
    },
    mark: () => ({ bytes: size, sha256: hash.copy().digest("hex") }),
    close: () => fs.closeSync(descriptor),
  };
}

const cannotAppend = (file: string, error: unknown): Error =>
  new Error(`cannot write to ${file}: ${reason(error)}. What was written before is kept`, { cause: error });

interface Line<R> {
  readonly line: string;
  readonly record: R;
}

/** The whole lines of a text; text after the last line feed was cut off by a kill, or is being written now. */
function parseLines<R extends StepRecord>(text: string, onDamage: (line: number) => void): Line<R>[] {
  return text
    .split("\n")
    .slice(0, -1)
    .flatMap((line, index) => {
      try {
        const record = parseJson(line) as R | null;
        if (typeof record?.step === "number") return { line, record };
      } catch {
        // `onDamage` reports it.
      }
      onDamage(index + 1);
      return [];
    });
}

/** The records of a file. The last line may be cut off; any other damage is an error. */
export function readRecords<R extends StepRecord>(file: string): R[] {
  let text: string;
  try {
    text = readText(file, MOST_OF_RECORDS);
  } catch (error) {
    throw new Error(`cannot read the records ${file}: ${reason(error)}`, { cause: error });
  }
  const lines = parseLines<R>(text, (line) => {
    throw new Error(`line ${line} of ${file} is damaged: delete that line to read the others`);
  });
  return lines.map(({ record }) => record);
}

/** Puts a record in the place of the last line, which is of the same step. */
export function replaceLast(file: string, record: StepRecord): void {
  const text = readText(file, MOST_OF_RECORDS);
  const lines = text.split("\n").slice(0, -1);
  if ((parseJson(lines.at(-1) ?? "null") as StepRecord | null)?.step !== record.step)
    throw new Error(`${file} does not end with the record of step ${record.step}: another program has changed it`);
  writeFileAtomically(
    file,
    `${lines
      .slice(0, -1)
      .map((line) => `${line}\n`)
      .join("")}${formatRecord(record)}`,
  );
}

/** Drops unwanted records, a line that was cut off, and damaged lines, with a warning; other lines stay as they are. */
export function keepRecords(
  file: string,
  wanted: (record: StepRecord) => boolean,
  onWarning: (message: string) => void,
): void {
  if (!fs.existsSync(file)) return;
  const text = readText(file, MOST_OF_RECORDS);
  const lines = parseLines(text, (line) => onWarning(`line ${line} of ${file} was damaged and is dropped`));
  const kept = lines
    .filter(({ record }) => wanted(record))
    .map(({ line }) => `${line}\n`)
    .join("");
  if (kept !== text) writeFileAtomically(file, kept);
}
