// Question: how does what a run writes survive a kill and a full disk?
//
// Whole files: under a temporary name, synced, renamed. Growing files (one record a line): opened once,
// a whole line a write; a line that could not be written whole is taken back, and one that a kill has
// torn is left out by the reader.

import fs from "node:fs";
import path from "node:path";
import { reason, writeAtomically } from "./atomic.ts";

/** Writes all of `bytes`: one write may take only a part of them, and at most 2 GiB. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  const largestWrite = 1 << 30;
  for (let done = 0; done < bytes.length;) {
    done += fs.writeSync(descriptor, bytes, done, Math.min(bytes.length - done, largestWrite));
  }
}

/** A reader finds the old file or the new one, never half of one; nor does a loss of power leave half. */
export function writeFileAtomically(file: string, content: string | Uint8Array): void {
  writeAtomically(file, (descriptor) =>
    writeAll(descriptor, typeof content === "string" ? Buffer.from(content) : content),
  );
}

/** Whether an error is the system's error of that code. */
export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;

/** Does what should be done but may fail without harm. */
export function attempt(action: () => void): void {
  try {
    action();
  } catch {
    return;
  }
}

/** Makes names that were added to or taken from a folder durable, where the system can. */
export function syncFolder(folder: string): void {
  attempt(() => {
    const descriptor = fs.openSync(folder, "r");
    attempt(() => fs.fsyncSync(descriptor));
    fs.closeSync(descriptor);
  });
}

/**
 * Fails when the disk of a folder, which need not exist yet, has less room than `bytes`. What a file
 * system does not tell cannot be known before: then this passes, and the write itself will fail.
 *
 * @param purpose what the bytes are for, to name in the error
 */
export function expectSpace(folder: string, bytes: number, purpose: string): void {
  const free = freeBytes(folder);
  if (bytes <= free) return;
  throw new Error(
    `${purpose} need ${inMiB(bytes, Math.ceil)} MiB, but the disk of ${folder} has ${inMiB(free, Math.floor)} MiB free: ` +
      "free some space, or choose a folder on another disk",
  );
}

const inMiB = (bytes: number, round: (value: number) => number): number => round(bytes / 2 ** 20);

function freeBytes(folder: string): number {
  try {
    const { bavail, blocks, bsize } = fs.statfsSync(existingPart(path.resolve(folder)));
    return blocks === 0 ? Infinity : bavail * bsize;
  } catch {
    return Infinity;
  }
}

function existingPart(folder: string): string {
  return fs.existsSync(folder) || path.dirname(folder) === folder ? folder : existingPart(path.dirname(folder));
}

/** A file that only grows. */
export interface Log {
  /** Adds whole lines in one write; when that fails, the file is as it was. */
  append(lines: string): void;
  /** Makes what was appended durable. */
  sync(): void;
  close(): void;
}

export function openLog(file: string): Log {
  let descriptor: number;
  let size: number;
  try {
    descriptor = fs.openSync(file, "a");
    size = fs.fstatSync(descriptor).size;
  } catch (error) {
    throw cannotAppend(file, error);
  }
  return {
    append(lines) {
      const bytes = Buffer.from(lines);
      try {
        writeAll(descriptor, bytes);
        size += bytes.length;
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
    close: () => fs.closeSync(descriptor),
  };
}

const cannotAppend = (file: string, error: unknown): Error =>
  new Error(`cannot write to ${file}: ${reason(error)}. What was written before is kept`, { cause: error });

export interface StepRecord {
  readonly step: number;
}

/** JSON has no word for these, and the record of a run that diverged needs them. */
const nonFinite: ReadonlyMap<unknown, number> = new Map(
  [NaN, Infinity, -Infinity].map((value) => [String(value), value]),
);

/** A record as a line of JSON; NaN and the infinities are written as texts. */
export function formatRecord(record: StepRecord): string {
  const finite = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  return `${JSON.stringify(record, finite)}\n`;
}

/**
 * JSON in which those texts are numbers again.
 *
 * @throws SyntaxError when it is no JSON
 */
export function parseJson(text: string): unknown {
  // Asking about every value takes several times as long as reading them, and hardly any line has such a text.
  if (!text.includes('NaN"') && !text.includes('Infinity"')) return JSON.parse(text);
  return JSON.parse(text, (_, value: unknown) => nonFinite.get(value) ?? value);
}

interface Line<R> {
  readonly line: string;
  readonly record: R;
}

/** The whole lines of a text; what follows the last line feed was torn by a kill, or is being written now. */
function parseLines<R extends StepRecord>(text: string, onDamage: (line: number) => void): Line<R>[] {
  return text
    .split("\n")
    .slice(0, -1)
    .flatMap((line, index) => {
      try {
        const record = parseJson(line) as R | null;
        if (typeof record?.step === "number") return { line, record };
      } catch {
        // Told below.
      }
      onDamage(index + 1);
      return [];
    });
}

/** The records of a file, of which the last may be torn; any other damage is an error. */
export function readRecords<R extends StepRecord>(file: string): R[] {
  let text: string;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`cannot read the records ${file}: ${reason(error)}`, { cause: error });
  }
  const lines = parseLines<R>(text, (line) => {
    throw new Error(`line ${line} of ${file} is damaged: delete that line to read the others`);
  });
  return lines.map(({ record }) => record);
}

/** Drops the records that are not wanted, a torn line, and damaged ones, of which it tells; other lines stay as they are. */
export function keepRecords(
  file: string,
  wanted: (record: StepRecord) => boolean,
  onWarning: (message: string) => void,
): void {
  if (!fs.existsSync(file)) return;
  const text = fs.readFileSync(file, "utf8");
  const lines = parseLines(text, (line) => onWarning(`line ${line} of ${file} was damaged and is dropped`));
  const kept = lines
    .filter(({ record }) => wanted(record))
    .map(({ line }) => `${line}\n`)
    .join("");
  if (kept !== text) writeFileAtomically(file, kept);
}

/** Whether two paths are one place, also through links. */
export function isSamePlace(a: string, b: string): boolean {
  const real = (place: string): string => (fs.existsSync(place) ? fs.realpathSync(place) : path.resolve(place));
  return real(a) === real(b);
}
