// Question: how much memory may be used, and who says so?
//
// What the user allows; else what is free now: on this machine, or of what the container around the process may have.

import { freemem, totalmem } from "node:os";

/** The most bytes that may be used, and where that limit comes from, in words. */
export interface MemoryAllowed {
  readonly bytes: number;
  readonly source: string;
}

/** The limit; `asked` bytes in place of those that are free now. */
export function memoryAllowed(asked?: number): MemoryAllowed {
  if (asked !== undefined) return { bytes: asked, source: "what --memory allows" };
  // A container reports 0, or more than the machine has, when it has no limit.
  const constrained = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  const left = constrained - process.memoryUsage.rss();
  // Only Linux reports how much memory is available; elsewhere, caches count as used.
  const free = process.platform === "linux" ? freemem() : totalmem();
  return left < free && constrained < totalmem()
    ? { bytes: left, source: "what this container has left" }
    : {
        bytes: free,
        source: process.platform === "linux" ? "what is free on this machine" : "the memory of this machine",
      };
}
