// Question: where are more tokens stored than memory should hold?
//
// In a file, from which only the requested windows are read. (A window is one positioned read. The operating
// system keeps frequently read parts in memory, so there is no second cache here.)
//
// The file is a safetensors file, so other programs read it too. Its tensor `tokens` is U16 where the vocabulary
// allows it, else U32. The metadata says for which vocabulary, tokenizer and text the file was made, and a SHA-256
// of the tokens tells a damaged file from a sound one.

import { writeAtomically } from "../files/atomic.ts";
import { newSha256 } from "../files/hash.ts";
import { openSafetensors } from "../files/safetensors.ts";
import { type OpenSafetensors, UnsoundSafetensorsError } from "../files/safetensors-format.ts";
import { type GrownTensor, writeGrowingTensor } from "../files/growing-tensor.ts";
import { checkWindow, type StoredTokens, type TokenOrigin } from "./tokens.ts";

/** An open token file; `close` it when done. */
export interface TokenFile extends StoredTokens {
  readonly path: string;
}

const FORMAT = "birkhoff tokens 1";
const TENSOR = "tokens";
const dtypes = { U16: Uint16Array, U32: Uint32Array } as const;
type Dtype = keyof typeof dtypes;

const dtypeFor = (vocabularySize: number): Dtype => (vocabularySize <= 2 ** 16 ? "U16" : "U32");

const isDtype = (dtype: string | undefined): dtype is Dtype => dtype !== undefined && Object.hasOwn(dtypes, dtype);

interface Chunk {
  readonly ids: Uint32Array;
  readonly bytes: number;
}

/** Writes tokens as they come; the file appears only when the last one is written. */
export function writeTokenFile(
  file: string,
  vocabularySize: number,
  origin: TokenOrigin,
  chunks: Iterable<Chunk>,
): void {
  writeAtomically(file, (descriptor) => writeGrowingTensor(descriptor, encode(vocabularySize, origin, chunks)));
}

function* encode(
  vocabularySize: number,
  origin: TokenOrigin,
  chunks: Iterable<Chunk>,
): Generator<Uint8Array, GrownTensor> {
  const dtype = dtypeFor(vocabularySize);
  const checksum = newSha256();
  let length = 0;
  let bytes = 0;
  for (const chunk of chunks) {
    const raw = new Uint8Array(dtypes[dtype].from(chunk.ids).buffer);
    checksum.update(raw);
    yield raw;
    length += chunk.ids.length;
    bytes += chunk.bytes;
  }
  const metadata = {
    format: FORMAT,
    vocabulary_size: String(vocabularySize),
    bytes: String(bytes),
    tokenizer: origin.tokenizer,
    text: origin.text,
    sha256: checksum.digest("hex"),
  };
  return { tensor: { name: TENSOR, dtype, shape: [length] }, metadata };
}

/** Opens a token file; with `verify`, reads all of it once and compares its checksum. */
export function openTokenFile(file: string, { verify = false }: { readonly verify?: boolean } = {}): TokenFile {
  const opened = openTensors(file);
  try {
    const header = readHeader(file, opened);
    if (verify && checksumOf(opened) !== opened.metadata["sha256"]) throw damaged(file, "its checksum is wrong");
    return tokenFile(file, opened, header);
  } catch (error) {
    opened.close();
    throw error;
  }
}

function openTensors(file: string): OpenSafetensors {
  try {
    return openSafetensors(file);
  } catch (error) {
    if (error instanceof UnsoundSafetensorsError) throw damaged(file, error.how);
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
}

function readHeader(file: string, { metadata, tensors }: OpenSafetensors): Header {
  const [tensor, ...more] = tensors;
  const isOurs = metadata["format"] === FORMAT && tensor?.name === TENSOR && more.length === 0;
  const [length, ...others] = tensor?.shape ?? [];
  if (!isOurs || !isDtype(tensor.dtype) || length === undefined || others.length > 0)
    throw damaged(file, `its format is not "${FORMAT}"`);
  const [vocabularySize, bytes] = [Number(metadata["vocabulary_size"]), Number(metadata["bytes"])];
  if (!Number.isSafeInteger(vocabularySize) || !Number.isSafeInteger(bytes))
    throw damaged(file, "its vocabulary_size and its bytes are not both whole numbers");
  const origin = { tokenizer: metadata["tokenizer"] ?? "", text: metadata["text"] ?? "" };
  return { dtype: tensor.dtype, length, vocabularySize, bytes, origin };
}

function checksumOf(opened: OpenSafetensors): string {
  const hash = newSha256();
  for (const part of opened.bytes(TENSOR)) hash.update(part);
  return hash.digest("hex");
}

function tokenFile(file: string, opened: OpenSafetensors, header: Header): TokenFile {
  const { length, vocabularySize, bytes, origin } = header;
  const Tokens = dtypes[header.dtype];
  let scratch = new Tokens(4096);
  return {
    path: file,
    length,
    vocabularySize,
    bytes,
    origin,
    checksum: opened.metadata["sha256"] ?? "",
    read(offset, count, into, at = 0) {
      checkWindow(offset, count, length);
      if (scratch.length < count) scratch = new Tokens(count);
      const width = Tokens.BYTES_PER_ELEMENT;
      opened.readBytes(TENSOR, offset * width, new Uint8Array(scratch.buffer, 0, count * width));
      into.set(scratch.subarray(0, count), at);
    },
    close: () => opened.close(),
  };
}
