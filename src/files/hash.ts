// Question: what is the SHA-256 of a text, of a file, or of bytes as they come?

import { createHash, type Hash } from "node:crypto";
import fs from "node:fs";

/** A hash for bytes as they come: `update` it with them, then call `digest("hex")`. */
export const newSha256 = (): Hash => createHash("sha256");

/** The hash of a text or of bytes, in hexadecimal. */
export const sha256 = (content: string | Uint8Array): string => newSha256().update(content).digest("hex");

/**
 * The hash of a file, which need not fit into memory.
 *
 * @param onBytes hears how many bytes have been read since the last time
 */
export function sha256OfFile(file: string, onBytes?: (bytes: number) => void): string {
  const hash = newSha256();
  const part = new Uint8Array(1 << 20);
  const descriptor = fs.openSync(file, "r");
  try {
    for (;;) {
      const got = fs.readSync(descriptor, part);
      if (got === 0) return hash.digest("hex");
      hash.update(part.subarray(0, got));
      onBytes?.(got);
    }
  } finally {
    fs.closeSync(descriptor);
  }
}
