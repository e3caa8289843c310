// Question: how are tokens read that lie in parts of many files, of which none is held in memory?
//
// A part is a stretch of a file of token ids, uint16 or uint32, little-endian: a whole .bin file, a shard of the token
// cache, or what the validation left of one. The parts follow one another as one source, with a seam between each
// two. A window is one positioned read of each part that it touches; the operating system keeps what was read lately.
// Few files are open at a time, however many there are.

import fs from "node:fs";
import { showBytes, showCount } from "../../basics/show.ts";
import { reason } from "../../files/errors.ts";
import { checkWindow, type StoredTokens, type TokenOrigin } from "../tokens.ts";
import type { TokenRange } from "../validation-blocks.ts";
import { lastAtMost } from "../window-order.ts";

export const tokenWidths: { readonly U16: typeof Uint16Array; readonly U32: typeof Uint32Array } = {
  U16: Uint16Array,
  U32: Uint32Array,
};
export type TokenWidth = "U16" | "U32";

/** The narrowest ids that hold a vocabulary. */
export const widthFor = (vocabularySize: number): TokenWidth => (vocabularySize <= 2 ** 16 ? "U16" : "U32");

/** A stretch of a file of token ids. */
export interface TokenPart {
  readonly path: string;
  readonly width: TokenWidth;
  /** The byte at which it begins. */
  readonly start: number;
  /** In tokens. */
  readonly length: number;
}

/** What is known of tokens beside where they lie. */
export interface TokenFacts {
  readonly vocabularySize: number;
  readonly bytes: number;
  readonly origin: TokenOrigin;
  readonly checksum: string;
}

const OPEN_FILES = 32;
const SCRATCH_BYTES = 2 ** 16;

/**
 * Open parts of files as one source.
 *
 * @throws Error when a file is not there or is too short
 */
export function openTokenParts(parts: readonly TokenPart[], facts: TokenFacts): StoredTokens {
  const firsts: number[] = [];
  let length = 0;
  for (const part of parts) {
    expectWhole(part);
    firsts.push(length);
    length += part.length;
  }
  const descriptors = new Map<string, number>();
  const descriptorOf = (file: string): number => {
    const open = descriptors.get(file);
    if (open !== undefined) {
      // The one that was used last comes last.
      descriptors.delete(file);
      descriptors.set(file, open);
      return open;
    }
    const [oldest] = descriptors;
    if (oldest && descriptors.size >= OPEN_FILES) {
      fs.closeSync(oldest[1]);
      descriptors.delete(oldest[0]);
    }
    const opened = fs.openSync(file, "r");
    descriptors.set(file, opened);
    return opened;
  };
  let scratch = new ArrayBuffer(SCRATCH_BYTES);
  const readPart = (
    { path: file, width, start }: TokenPart,
    from: number,
    count: number,
  ): Uint16Array | Uint32Array => {
    const { BYTES_PER_ELEMENT: bytes } = tokenWidths[width];
    if (scratch.byteLength < count * bytes) scratch = new ArrayBuffer(count * bytes);
    const into = new Uint8Array(scratch, 0, count * bytes);
    const descriptor = descriptorOf(file);
    for (let done = 0; done < into.length;) {
      const got = fs.readSync(descriptor, into, done, into.length - done, start + from * bytes + done);
      if (got === 0)
        throw new Error(
          `${file} became shorter while it was read: leave the files of a run as they are, or start it anew`,
        );
      done += got;
    }
    return new tokenWidths[width](scratch, 0, count);
  };
  return {
    ...facts,
    length,
    seams: firsts.slice(1),
    read(offset, count, into, at = 0) {
      checkWindow(offset, count, length);
      for (let done = 0, index = lastAtMost(firsts, offset); done < count; index++) {
        const part = parts[index]!;
        const from = offset + done - firsts[index]!;
        const some = Math.min(count - done, part.length - from);
        into.set(readPart(part, from, some), at + done);
        done += some;
      }
    },
    close() {
      for (const descriptor of descriptors.values()) fs.closeSync(descriptor);
      descriptors.clear();
    },
  };
}

function expectWhole({ path: file, width, start, length }: TokenPart): void {
  let size: number;
  try {
    size = fs.statSync(file).size;
  } catch (error) {
    throw new Error(`cannot read the tokens ${file}: ${reason(error)}. Put the file back, or prepare the data anew`, {
      cause: error,
    });
  }
  const needed = start + length * tokenWidths[width].BYTES_PER_ELEMENT;
  if (size < needed)
    throw new Error(
      `${file} was cut off: it has ${showBytes(size)}, and its ${showCount(length)} tokens need ${showBytes(needed)}. Put the whole file back, or prepare the data anew`,
    );
}

/** The parts of some ranges of the tokens of all parts, in their order. */
export function partsOf<P extends TokenPart>(parts: readonly P[], ranges: readonly TokenRange[]): P[] {
  const found: P[] = [];
  for (const { from, to } of ranges) {
    let first = 0;
    for (const part of parts) {
      const [begin, end] = [Math.max(from, first), Math.min(to, first + part.length)];
      const start = part.start + (begin - first) * tokenWidths[part.width].BYTES_PER_ELEMENT;
      if (end > begin) found.push({ ...part, start, length: end - begin });
      first += part.length;
    }
  }
  return found;
}

/** Every token of some parts, in pieces of moderate size, each with its part and its place in it. */
export function* tokensOf(
  parts: readonly TokenPart[],
): Generator<{ readonly ids: Int32Array; readonly part: TokenPart; readonly from: number }> {
  const facts = { vocabularySize: 0, bytes: 0, origin: { text: "", tokenizer: "" }, checksum: "" };
  const piece = new Int32Array(2 ** 20);
  for (const part of parts) {
    const source = openTokenParts([part], facts);
    try {
      for (let from = 0; from < part.length; from += piece.length) {
        const count = Math.min(piece.length, part.length - from);
        source.read(from, count, piece);
        yield { ids: piece.subarray(0, count), part, from };
      }
    } finally {
      source.close();
    }
  }
}
