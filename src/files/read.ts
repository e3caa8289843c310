// Question: how is a file read whole, without waiting for ever and without filling the memory?
//
// A path that somebody gave may lead to a named pipe, which waits for a writer, or to a device, which may never end; a
// file may be larger than any of its kind. So it is opened without waiting, and what was opened is looked at before it
// is read. Descriptors that are open already, such as /dev/fd/63 of <(...), are read as they are.

import fs from "node:fs";
import { showBytes } from "../basics/show.ts";

/** What a path leads to. */
export type PathKind = "file" | "folder" | "descriptor" | "named pipe" | "socket" | "device";

/** A descriptor of this process, by the path that the shell gives it. */
const DESCRIPTOR = /^\/(?:dev|proc\/(?:self|thread-self|\d+))\/fd\/\d+$|^\/dev\/stdin$/;

/** @param given the path as the user wrote it: /dev/fd/63 is an open descriptor, whatever it leads to */
export function kindOf(given: string, stat: fs.Stats): PathKind {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "folder";
  if (DESCRIPTOR.test(given) && (stat.isFIFO() || stat.isSocket())) return "descriptor";
  return stat.isFIFO() ? "named pipe" : stat.isSocket() ? "socket" : "device";
}

/** The most bytes of a file of settings: many times what any has. */
const MOST = 2 ** 26;
/** The most bytes of a tokenizer: the largest vocabularies take a tenth of it. */
export const MOST_OF_TOKENIZER: number = 2 ** 28;
/** The most bytes of a file of records: what one string of the engine holds. */
export const MOST_OF_RECORDS: number = 2 ** 29 - 64;

/**
 * The bytes of a file.
 *
 * @param most the most bytes that it may have
 * @throws Error without the file's name: what it is instead of a file, or how large; a system error if it is not there
 */
export function readWhole(file: string, most: number = MOST): Buffer {
  return opened(file, (descriptor, size) => {
    if (size > most)
      throw new Error(`it has ${showBytes(size)}, and at most ${showBytes(most)} of such a file are read`);
    return fs.readFileSync(descriptor);
  });
}

/** The text of a file, as `readWhole`. */
export const readText = (file: string, most?: number): string => readWhole(file, most).toString("utf8");

/** The first bytes of a file as text, as many as there are; a character that is cut at their end is left out. */
export function readBeginning(file: string, bytes: number): string {
  return opened(file, (descriptor) => {
    const beginning = new Uint8Array(bytes);
    let length = 0;
    for (let got = -1; got !== 0 && length < bytes; length += got)
      got = fs.readSync(descriptor, beginning, length, bytes - length, null);
    return new TextDecoder().decode(beginning.subarray(0, length), { stream: length === bytes });
  });
}

function opened<T>(file: string, read: (descriptor: number, size: number) => T): T {
  // Windows has no such flag, which then counts as 0, and no such pipes.
  const { O_RDONLY, O_NONBLOCK } = fs.constants;
  const descriptor = fs.openSync(file, DESCRIPTOR.test(file) ? O_RDONLY : O_RDONLY | O_NONBLOCK);
  try {
    const stat = fs.fstatSync(descriptor);
    const kind = kindOf(file, stat);
    if (kind === "named pipe" || kind === "socket" || kind === "device")
      throw new Error(`it is a ${kind}, not a file, and reading it could wait for ever`);
    // Of a folder the system's own error comes.
    return read(descriptor, kind === "file" ? stat.size : 0);
  } finally {
    fs.closeSync(descriptor);
  }
}
