// Question: what was added to a growing file of lines since it was last looked at?
//
// A position is a number of bytes, so that it still holds after the server was restarted. A line counts once its end is
// written. A file that became shorter, was replaced, or has no line ending before the position is not the file that was
// read: the follower begins again and says so.

import type { OpenFile } from "./places.ts";

export interface Line {
  readonly text: string;
  /** The byte in the file where it begins. */
  readonly offset: number;
}

export interface Addition {
  readonly lines: readonly Line[];
  /** Whether everything read before is void. */
  readonly reset: boolean;
  /** Whether more can be read right away. */
  readonly more: boolean;
}

export interface Follower {
  /** Bytes of whole lines read so far. */
  readonly position: number;
  advance(): Addition;
}

/** Bytes read in one go. A longer line cannot come from this library and is skipped. */
const CHUNK = 8 << 20;
/** The same limit as in run-data.ts; no run of this library comes close to it. */
const LARGEST_FILE = 2 ** 30;
const NEW_LINE = 10;

/** @param from a position that an earlier follower had reached */
export function createFollower(open: () => OpenFile | undefined, from = 0): Follower {
  /** The text that has been read, and the end of the last whole line in it. */
  let position = from;
  let whole = from;
  let mark: string | undefined;
  let inLongLine = false;

  const isAnother = (file: OpenFile): boolean => {
    if (mark !== undefined && mark !== file.mark) return true;
    // The inode of a removed file is used again, and the new file may already be longer, but its lines end elsewhere.
    return file.size < position || (whole > 0 && file.read(whole - 1, 1)[0] !== NEW_LINE);
  };
  return {
    get position() {
      return whole;
    },
    advance() {
      const file = open();
      if (!file) return { lines: [], reset: false, more: false };
      try {
        const reset = isAnother(file);
        if (reset) [position, whole, inLongLine] = [0, 0, false];
        mark = file.mark;
        if (file.size <= position || file.size > LARGEST_FILE) return { lines: [], reset, more: false };
        const bytes = file.read(position, CHUNK);
        const end = bytes.lastIndexOf(NEW_LINE) + 1;
        const lines = inLongLine
          ? splitLines(bytes, bytes.indexOf(NEW_LINE) + 1, end, position)
          : splitLines(bytes, 0, end, position);
        if (end > 0) inLongLine = false;
        else if (bytes.length === CHUNK) inLongLine = true;
        position += end > 0 ? end : inLongLine ? bytes.length : 0;
        if (end > 0) whole = position;
        return { lines, reset, more: bytes.length === CHUNK };
      } finally {
        file.close();
      }
    },
  };
}

function splitLines(bytes: Buffer, start: number, end: number, position: number): Line[] {
  const lines: Line[] = [];
  for (let from = start; from < end;) {
    const to = bytes.indexOf(NEW_LINE, from);
    if (to > from) lines.push({ text: bytes.toString("utf8", from, to), offset: position + from });
    from = to + 1;
  }
  return lines;
}
