// Question: where in a .bin file do token ids lie, and do they fit a vocabulary?
//
// Two kinds are read, both little-endian:
//
//   raw      nothing but ids, as nanoGPT writes them: uint16, or uint32 where the vocabulary has more than 65536
//            tokens or the upper half of every id is zero
//   llm.c    256 int32 first: 20240520, version 1, the number of ids, and uint16 ids; or 20240801, version 7, the
//            number, and uint32 ids (dev/data/data_common.py)

import fs from "node:fs";
import { showBytes, showCount } from "../../basics/show.ts";
import { reason } from "../../files/errors.ts";
import { type TokenPart, tokensOf, tokenWidths, type TokenWidth } from "./token-parts.ts";

const HEADER_BYTES = 1024;
/** The first number of a header, its version and its ids. */
const headers: ReadonlyMap<number, { readonly version: number; readonly width: TokenWidth }> = new Map([
  [20240520, { version: 1, width: "U16" }],
  [20240801, { version: 7, width: "U32" }],
]);
/** So many bytes are looked at to tell uint32 from uint16. */
const LOOKED_AT = 2 ** 18;
/** Fewer ids than these tell nothing. */
const TELLING = 64;

/**
 * The ids of a .bin file.
 *
 * @throws Error when the file cannot be read, is empty, or has another length than its header says
 */
export function binPart(file: string, vocabularySize: number): TokenPart {
  const { size, beginning } = readBeginning(file);
  if (size === 0) throw new Error(`${file} is empty: it must hold token ids. Write it again, or leave it out`);
  const view = new DataView(beginning.buffer, beginning.byteOffset, beginning.length);
  const header = size >= HEADER_BYTES ? headers.get(view.getInt32(0, true)) : undefined;
  if (header) return withHeader(file, size, view, header);
  const width = vocabularySize > 2 ** 16 || looksWide(view, size) ? "U32" : "U16";
  const { BYTES_PER_ELEMENT: bytes } = tokenWidths[width];
  if (size % bytes !== 0)
    throw new Error(
      `${file} ends within a token: it has ${size} bytes, and its ids take ${bytes} each${width === "U32" ? " (uint32)" : ""}. It was cut off, or it holds something else; write it again`,
    );
  return { path: file, width, start: 0, length: size / bytes };
}

function withHeader(
  file: string,
  size: number,
  view: DataView,
  { version, width }: { readonly version: number; readonly width: TokenWidth },
): TokenPart {
  const [found, length] = [view.getInt32(4, true), view.getInt32(8, true)];
  if (found !== version)
    throw new Error(
      `${file} has the header of llm.c with version ${found}; version ${version} is read. Write it with llm.c's data scripts of today`,
    );
  const needed = HEADER_BYTES + length * tokenWidths[width].BYTES_PER_ELEMENT;
  if (length < 1 || size !== needed)
    throw new Error(
      `${file} was cut off, or its header is wrong: it says ${showCount(length)} tokens, which take ${showBytes(needed)}, and the file has ${showBytes(size)}. Write it again`,
    );
  return { path: file, width, start: HEADER_BYTES, length };
}

function readBeginning(file: string): { readonly size: number; readonly beginning: Buffer } {
  try {
    const descriptor = fs.openSync(file, "r");
    try {
      const { size } = fs.fstatSync(descriptor);
      const beginning = Buffer.alloc(Math.min(size, LOOKED_AT));
      fs.readSync(descriptor, beginning, 0, beginning.length, 0);
      return { size, beginning };
    } finally {
      fs.closeSync(descriptor);
    }
  } catch (error) {
    throw new Error(`cannot read ${file}: ${reason(error)}`, { cause: error });
  }
}

/** Whether every second uint16 is zero, and not every one. */
function looksWide(view: DataView, size: number): boolean {
  const count = Math.floor(view.byteLength / 4);
  if (size % 4 !== 0 || count < TELLING) return false;
  let any = 0;
  for (let at = 0; at < count; at++) {
    if (view.getUint16(4 * at + 2, true) !== 0) return false;
    any |= view.getUint16(4 * at, true);
  }
  return any !== 0;
}

/**
 * The bytes of text that the tokens of some parts stand for.
 *
 * @param byteLengths of each token of the vocabulary
 * @param onTokens hears how many tokens were looked at, from time to time
 * @throws Error with the file and the place of the first id that the vocabulary does not have
 */
export function bytesOfParts(
  parts: readonly TokenPart[],
  byteLengths: Uint32Array,
  onTokens: (count: number) => void = () => {},
): number {
  let bytes = 0;
  for (const { ids, part, from } of tokensOf(parts)) {
    for (let at = 0; at < ids.length; at++) {
      const id = ids[at]!;
      // An id beyond 2^31 is below zero here.
      if (id < 0 || id >= byteLengths.length)
        throw new Error(
          `${part.path}, token ${from + at} (byte ${part.start + (from + at) * tokenWidths[part.width].BYTES_PER_ELEMENT}): the id is ${id >>> 0}, and the tokenizer has ids 0 to ${byteLengths.length - 1}. Give the tokenizer that the file was made with (--tokenizer)`,
        );
      bytes += byteLengths[id]!;
    }
    onTokens(ids.length);
  }
  return bytes;
}
