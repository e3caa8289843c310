// Question: how is a safetensors file read that need not fit into memory?
//
// safetensors-format.ts says what it holds; here are its bytes.

import fs from "node:fs";
import { reason } from "./errors.ts";
import { openSource, type OpenFile, readAll, type Safetensors } from "./safetensors-format.ts";

const largestRead = 1 << 30;

/** Reads and checks a whole file; the error names the file and what is wrong with it. */
export const readSafetensors = (file: string): Safetensors => readAll(openSafetensors(file));

/** Opens a file that need not fit into memory; errors name it and what is wrong with it. */
export function openSafetensors(file: string): OpenFile {
  let descriptor: number;
  try {
    // Opening a pipe would wait for someone to write to it.
    const stat = fs.statSync(file);
    if (!stat.isFile()) throw new Error(stat.isDirectory() ? "it is a folder" : "it is not a file");
    descriptor = fs.openSync(file, "r");
  } catch (error) {
    throw new Error(`cannot read the tensors ${file}: ${reason(error)}`, { cause: error });
  }
  return openSource(file, {
    size: fs.fstatSync(descriptor).size,
    fill: (position, into) => fillBytes(descriptor, position, into),
    close: () => fs.closeSync(descriptor),
  });
}

function fillBytes(descriptor: number, position: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    const got = fs.readSync(descriptor, bytes, done, Math.min(bytes.length - done, largestRead), position + done);
    if (got === 0) throw new Error("it became shorter while it was read");
    done += got;
  }
}
