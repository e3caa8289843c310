// Question: where do tokens lie that are more than memory should hold?
//
// In a file, of which only the windows asked for are read. (A window is one positioned read; the operating
// system keeps what is read often in memory, so there is no second cache here.)
//
// The file is a safetensors file, so other programs read it too: a u64 length, that many bytes of JSON, then
// the tensor `tokens`, little-endian U16 where the vocabulary allows it, else U32. The metadata says for
// which vocabulary, tokenizer and text the file was made, and a SHA-256 of the tokens tells a damaged file
// from a sound one.

import { createHash } from "node:crypto";
import fs from "node:fs";
import { reason, writeAtomically } from "../files/atomic.ts";
import { checkWindow, type TokenSource } from "./tokens.ts";

/** An open token file; `close` it when done. */
export interface TokenFile extends TokenSource {
  readonly path: string;
  /** What the file was made from. */
  readonly origin: TokenOrigin;
  readonly close: () => void;
}

/** SHA-256 of what decides a token file's content. */
export interface TokenOrigin {
  readonly tokenizer: string;
  readonly text: string;
}

const headerBytes = 1024;
const format = "birkhoff tokens 1";
const dtypes = { U16: Uint16Array, U32: Uint32Array } as const;
type Dtype = keyof typeof dtypes;

const dtypeFor = (vocabularySize: number): Dtype => (vocabularySize <= 2 ** 16 ? "U16" : "U32");

interface Chunk {
  readonly ids: Uint32Array;
  readonly bytes: number;
}

/** Writes tokens as they come; the file appears, whole, when the last one is written. */
export function writeTokenFile(
  file: string,
  vocabularySize: number,
  origin: TokenOrigin,
  chunks: Iterable<Chunk>,
): void {
  const dtype = dtypeFor(vocabularySize);
  const checksum = createHash("sha256");
  writeAtomically(file, (descriptor) => {
    let length = 0;
    let bytes = 0;
    let at = headerBytes;
    for (const chunk of chunks) {
      const tokens = dtypes[dtype].from(chunk.ids);
      const raw = new Uint8Array(tokens.buffer);
      writeAll(descriptor, raw, at);
      checksum.update(raw);
      at += raw.length;
      length += tokens.length;
      bytes += chunk.bytes;
    }
    const header = JSON.stringify({
      __metadata__: {
        format,
        vocabulary_size: String(vocabularySize),
        bytes: String(bytes),
        tokenizer: origin.tokenizer,
        text: origin.text,
        sha256: checksum.digest("hex"),
      },
      tokens: { dtype, shape: [length], data_offsets: [0, at - headerBytes] },
    });
    const head = Buffer.alloc(headerBytes, " ");
    head.writeBigUInt64LE(BigInt(headerBytes - 8));
    head.write(header, 8);
    writeAll(descriptor, head, 0);
  });
}

/** A write may take only part of what it is given. */
function writeAll(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += fs.writeSync(descriptor, bytes, done, bytes.length - done, position + done);
  }
}

/** Opens a token file; with `verify`, reads it all once and compares its checksum. */
export function openTokenFile(file: string, { verify = false }: { readonly verify?: boolean } = {}): TokenFile {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, "r");
  } catch (error) {
    throw new Error(`cannot read the tokens ${file}: ${reason(error)}`, { cause: error });
  }
  try {
    const header = readHeader(file, descriptor);
    if (verify && checksumOf(descriptor) !== header.sha256) {
      throw damaged(file, "its checksum is wrong");
    }
    return tokenFile(file, descriptor, header);
  } catch (error) {
    fs.closeSync(descriptor);
    throw error;
  }
}

const damaged = (file: string, how: string): Error =>
  new Error(`${file} is damaged (${how}): delete it, it will be made again`);

interface Header {
  readonly dtype: Dtype;
  readonly length: number;
  readonly vocabularySize: number;
  readonly bytes: number;
  readonly origin: TokenOrigin;
  readonly sha256: string;
}

interface RawHeader {
  readonly __metadata__: Readonly<Record<string, string>>;
  readonly tokens: { readonly dtype: Dtype; readonly shape: readonly [number] };
}

function readHeader(file: string, descriptor: number): Header {
  const head = Buffer.alloc(headerBytes);
  const size = fs.fstatSync(descriptor).size;
  if (fs.readSync(descriptor, head, 0, headerBytes, 0) < headerBytes) throw damaged(file, "it is too short");
  let raw: RawHeader;
  try {
    raw = JSON.parse(head.toString("utf8", 8));
  } catch {
    throw damaged(file, "its header is not readable");
  }
  const { __metadata__: metadata, tokens } = raw;
  if (metadata?.["format"] !== format || !Object.hasOwn(dtypes, tokens?.dtype)) {
    throw damaged(file, `its format is not "${format}"`);
  }
  const [length] = tokens.shape;
  const expected = headerBytes + length * dtypes[tokens.dtype].BYTES_PER_ELEMENT;
  if (size !== expected) throw damaged(file, `it has ${size} bytes and should have ${expected}`);
  return {
    dtype: tokens.dtype,
    length,
    vocabularySize: Number(metadata["vocabulary_size"]),
    bytes: Number(metadata["bytes"]),
    origin: { tokenizer: metadata["tokenizer"] ?? "", text: metadata["text"] ?? "" },
    sha256: metadata["sha256"] ?? "",
  };
}

function checksumOf(descriptor: number): string {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(1 << 20);
  let at = headerBytes;
  for (;;) {
    const count = fs.readSync(descriptor, buffer, 0, buffer.length, at);
    if (count === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
    at += count;
  }
}

function tokenFile(file: string, descriptor: number, header: Header): TokenFile {
  const { length, vocabularySize, bytes, origin } = header;
  const Tokens = dtypes[header.dtype];
  let scratch = new Tokens(4096);
  return {
    path: file,
    length,
    vocabularySize,
    bytes,
    origin,
    read(offset, count, into, at = 0) {
      checkWindow(offset, count, length);
      if (scratch.length < count) scratch = new Tokens(count);
      const width = Tokens.BYTES_PER_ELEMENT;
      const raw = new Uint8Array(scratch.buffer, 0, count * width);
      for (let done = 0; done < raw.length;) {
        const got = fs.readSync(descriptor, raw, done, raw.length - done, headerBytes + offset * width + done);
        if (got === 0) throw damaged(file, "it became shorter while in use");
        done += got;
      }
      into.set(scratch.subarray(0, count), at);
    },
    close: () => fs.closeSync(descriptor),
  };
}
