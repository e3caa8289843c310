// Question: what are the lines of a file that may be compressed and larger than memory?
//
// The file is read and unpacked in pieces of moderate size; a line is what lies between two newlines. gzip is Node's
// own, and zstd too from Node 22.15 on; before, the package fzstd unpacks it.

import { isUtf8 } from "node:buffer";
import fs from "node:fs";
import { Transform, type TransformCallback } from "node:stream";
import zlib from "node:zlib";
import { showBytes } from "../../basics/show.ts";
import { reason } from "../../files/errors.ts";
import { expectPackages } from "../../files/packages.ts";

/** How a file is packed. */
export type Packing = "plain" | "gz" | "zst";

/** The longest line, which must be one string of the engine. */
const LONGEST = 2 ** 28;
const PIECE = 2 ** 20;

/** A line, without its newline, and its number from 1. */
export interface Line {
  readonly text: string;
  readonly number: number;
}

/**
 * The lines of a file, in their order.
 *
 * @throws Error that names the file and, where there is one, the line
 */
export async function* linesOf(file: string, packing: Packing): AsyncGenerator<Line, void, undefined> {
  let number = 0;
  let kept: Buffer[] = [];
  let length = 0;
  const lineOf = (bytes: Buffer): Line => {
    number++;
    if (!isUtf8(bytes))
      throw new Error(
        `${file}, line ${number}: it is not UTF-8. Convert the file ("iconv -f WINDOWS-1252 -t UTF-8 IN > OUT"), or remove the line`,
      );
    return { text: bytes.toString("utf8"), number };
  };
  for await (const piece of unpacked(file, packing)) {
    let from = 0;
    for (let end = piece.indexOf(10); end >= 0; end = piece.indexOf(10, from)) {
      const rest = piece.subarray(from, end);
      yield lineOf(kept.length > 0 ? Buffer.concat([...kept, rest]) : rest);
      [kept, length, from] = [[], 0, end + 1];
    }
    if (from < piece.length) kept.push(piece.subarray(from));
    length += piece.length - from;
    if (length > LONGEST)
      throw new Error(
        `${file}, line ${number + 1}: it is longer than ${showBytes(LONGEST)}. A line must be one document; break it up, or write the file anew`,
      );
  }
  if (length > 0) yield lineOf(Buffer.concat(kept));
}

/** The bytes of a file, unpacked. */
export async function* unpacked(file: string, packing: Packing): AsyncGenerator<Buffer, void, undefined> {
  const unpacker = unpackers[packing]();
  const stream = fs.createReadStream(file, { highWaterMark: PIECE });
  const bytes = unpacker ? stream.pipe(unpacker) : stream;
  // A pipe passes no errors on.
  if (unpacker) stream.on("error", (error) => unpacker.destroy(error));
  try {
    for await (const piece of bytes) yield piece as Buffer;
  } catch (error) {
    const what =
      packing === "plain"
        ? `cannot read ${file}: ${reason(error)}`
        : `${file} cannot be unpacked: ${reason(error)}. It was cut off, or is no ${packing === "gz" ? "gzip" : "zstd"} file; fetch it again`;
    throw new Error(what, { cause: error });
  } finally {
    stream.destroy();
  }
}

const unpackers: Readonly<Record<Packing, () => Transform | undefined>> = {
  plain: () => undefined,
  gz: () => zlib.createGunzip({ chunkSize: PIECE }),
  zst: () => nodeZstd() ?? packageZstd(),
};

function nodeZstd(): Transform | undefined {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: typeof zlib.createZstdDecompress };
  return createZstdDecompress?.({ chunkSize: PIECE });
}

/** zstd by the package fzstd, for older versions of Node. */
export function packageZstd(): Transform {
  expectPackages("zstd");
  let sink: Transform;
  let ended = true;
  const unpacking = import("fzstd").then(
    ({ Decompress }) =>
      new Decompress((chunk, last) => {
        ended = last === true;
        if (chunk.length > 0) sink.push(Buffer.from(chunk));
      }),
  );
  const push = (chunk: Uint8Array, last: boolean, done: TransformCallback): void => {
    unpacking.then((stream) => {
      // The unpacker's errors are no instances of Error's own kinds.
      try {
        stream.push(chunk, last);
        done(last && !ended ? new Error("unexpected end of file") : null);
      } catch (error) {
        done(new Error(reason(error)));
      }
    }, done);
  };
  sink = new Transform({
    transform: (chunk: Buffer, _, done) => push(chunk, false, done),
    flush: (done) => push(new Uint8Array(0), true, done),
  });
  return sink;
}
