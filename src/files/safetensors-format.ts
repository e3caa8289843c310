// Question: what do the bytes of safetensors hold?
//
// A u64 n, n bytes of JSON padded with spaces so that the data starts at a multiple of 8, and then the tensors' bytes,
// row-major, one after another. All numbers are little-endian, as on every machine on which WebAssembly's memory can be
// viewed directly. The JSON gives each tensor's dtype, shape and data_offsets [begin, end), counted from the end of the
// JSON, and strings under `__metadata__`.
// Source: https://github.com/huggingface/safetensors#format
//
// The reader trusts nothing: it checks every number against the bytes that there are before it allocates memory for it.
// Where they lie, in a file (safetensors.ts) or in memory, is a source's matter. write-safetensors.ts makes such bytes.

import { isObject } from "../basics/objects.ts";
import { reason } from "./errors.ts";
import { parseHeader, shortName } from "./safetensors-header.ts";

/** Element types that can be read; F32 and I32 are written. */
export type Dtype = "F32" | "F16" | "BF16" | "I32" | "I64";

export interface StoredTensor {
  /** The dtype in the file; values are widened to float32, or narrowed to int32 where they fit. */
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

export interface Safetensors {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** The key of the strings that accompany the tensors. */
export const METADATA_KEY = "__metadata__";
/** The limit of the format's reference library. */
const largestHeader = 100_000_000;

/** The header's description of a tensor; the bytes follow in the order of the list. */
export interface DescribedTensor {
  readonly name: string;
  /** Any dtype, not only those that can be read here. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** A file whose head has been read and checked, and whose tensors are read one by one. */
export interface OpenSafetensors {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes. */
  readonly tensors: readonly DescribedTensor[];
  /** A tensor's values; throws if its dtype cannot be read here. */
  read(name: string): StoredTensor;
  /** `count` of a tensor's values, from the one numbered `from` on. */
  readSome(name: string, from: number, count: number): StoredTensor["data"];
  /** A tensor's bytes as stored, from first to last, in parts of moderate size. */
  bytes(name: string): Generator<Uint8Array>;
  /** Fills `into` with a tensor's bytes, from its byte `from` on. */
  readBytes(name: string, from: number, into: Uint8Array): void;
  close(): void;
}

/** One file of which it is known where its tensors lie. */
export interface OpenFile extends OpenSafetensors {
  /** The file's bytes [from, to) that a tensor takes. */
  rangeOf(name: string): readonly [from: number, to: number];
}

const LONGEST_REASON = 1000;

/** The file is not a safetensors file, or it is damaged. */
export class UnsoundSafetensorsError extends Error {
  override name = "UnsoundSafetensorsError";
  /** What is wrong with it. */
  readonly how: string;

  constructor(file: string, cause: unknown) {
    const said = reason(cause);
    // Names and shapes of a file may be of any length.
    const how = said.length > LONGEST_REASON ? `${said.slice(0, LONGEST_REASON)}…` : said;
    super(`${file} is not a sound safetensors file: ${how}`, { cause });
    this.how = how;
  }
}

/** Bytes that are read where they are asked for. */
export interface ByteSource {
  readonly size: number;
  /** Fill `into` with the bytes from a position on. */
  fill(position: number, into: Uint8Array): void;
  close(): void;
}

/**
 * Reads and checks the bytes of a whole file.
 *
 * @param name what to call them in errors
 * @throws UnsoundSafetensorsError that says what is wrong with them
 */
export function decodeSafetensors(bytes: Uint8Array, name: string): Safetensors {
  return readAll(
    openSource(name, {
      size: bytes.length,
      fill: (position, into) => into.set(bytes.subarray(position, position + into.length)),
      close() {},
    }),
  );
}

/** All that an open file holds; it is then closed. */
export function readAll(opened: OpenSafetensors): Safetensors {
  try {
    return {
      metadata: opened.metadata,
      tensors: new Map(opened.tensors.map(({ name }) => [name, opened.read(name)])),
    };
  } finally {
    opened.close();
  }
}

/** Reads and checks the head of a source; errors name it and what is wrong with it. */
export function openSource(file: string, source: ByteSource): OpenFile {
  const naming = <R>(action: () => R): R => {
    try {
      return action();
    } catch (error) {
      throw new UnsoundSafetensorsError(file, error);
    }
  };
  try {
    const { metadata, entries, start } = naming(() => readHead(source));
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    const entryOf = (name: string): Entry => {
      const entry = byName.get(name);
      if (!entry) throw new Error(`${file} has no tensor ${shortName(name)}`);
      return entry;
    };
    const decoded = ({ name, dtype }: Entry, from: number, to: number): StoredTensor["data"] => {
      if (!isDtype(dtype)) throw new Error(unreadable(name, dtype));
      return dtypes[dtype].decode(readBytes(source, start + from, to - from).buffer, name);
    };
    return {
      metadata,
      tensors: entries.map(({ name, dtype, shape, begin, end }) => ({ name, dtype, shape, bytes: end - begin })),
      read: (name) =>
        naming(() => {
          const entry = entryOf(name);
          const data = decoded(entry, entry.begin, entry.end);
          return { dtype: entry.dtype as Dtype, shape: entry.shape, data };
        }),
      readSome: (name, from, count) =>
        naming(() => {
          const entry = entryOf(name);
          const width = (entry.end - entry.begin) / sizeOf(entry.shape);
          return decoded(entry, entry.begin + from * width, Math.min(entry.end, entry.begin + (from + count) * width));
        }),
      *bytes(name) {
        const { begin, end } = entryOf(name);
        for (let at = begin; at < end; at += partBytes) {
          yield naming(() => readBytes(source, start + at, Math.min(partBytes, end - at)));
        }
      },
      readBytes(name, from, into) {
        const { begin, end } = entryOf(name);
        if (begin + from + into.length > end)
          throw new RangeError(
            `${name} of ${file} has ${end - begin} bytes; bytes ${from} to ${from + into.length} lie outside`,
          );
        naming(() => source.fill(start + begin + from, into));
      },
      rangeOf(name) {
        const { begin, end } = entryOf(name);
        return [start + begin, start + end];
      },
      close: () => source.close(),
    };
  } catch (error) {
    source.close();
    throw error;
  }
}

/** How many bytes of a copied tensor are in memory at a time. */
const partBytes = 1 << 24;

function readHead(source: ByteSource): { metadata: Readonly<Record<string, string>>; entries: Entry[]; start: number } {
  const { size } = source;
  const beginning = readBytes(source, 0, Math.min(size, 32));
  if (size < 8) throw new Error(`it has ${size} bytes, and the length of its header alone takes 8`);
  const headerBytes = Number(new DataView(beginning.buffer).getBigUint64(0, true));
  if (headerBytes > largestHeader || headerBytes > size - 8) {
    const foreign = foreignFormat(beginning);
    if (foreign !== undefined) throw new Error(`it is ${foreign}`);
    const limit = headerBytes > size - 8 ? `it has ${size} bytes in all` : `the format allows ${largestHeader}`;
    throw new Error(`bytes 0 to 7 say that its header has ${headerBytes} bytes, but ${limit}`);
  }
  const header = parseHeader(readBytes(source, 8, headerBytes));
  const { [METADATA_KEY]: metadata = {}, ...described } = header;
  const start = 8 + headerBytes;
  const entries = Object.entries(described)
    .map(([name, entry]) => checkEntry(name, entry))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(entries, start, size);
  return { metadata: checkMetadata(metadata), entries, start };
}

/** Files that are mistaken for safetensors, by their first bytes; none of these is a length that a header can have. */
const foreignFormats: readonly (readonly [begin: string, what: string])[] = [
  ["PK\x03\x04", "a zip archive, as PyTorch's .bin, .pt and .pth files are: save it as safetensors first"],
  ["\x80\x02", "a Python pickle, as old PyTorch files are: save it as safetensors first"],
  ["\x80\x03", "a Python pickle: save it as safetensors first"],
  ["\x80\x04", "a Python pickle: save it as safetensors first"],
  ["\x80\x05", "a Python pickle: save it as safetensors first"],
  ["GGUF", "a GGUF file, as llama.cpp uses them: take the safetensors that it was made from"],
  ["\x93NUMPY", "a NumPy array"],
  ["\x89HDF", "an HDF5 file"],
  ["\x1f\x8b", "compressed with gzip: unpack it first"],
  ["version https://", "a pointer of Git LFS and not the file itself: fetch it with git lfs pull"],
  ["<", "a text that begins as a web page does: the download went wrong"],
  ["{", "a text that begins as JSON does, such as an index or a config.json"],
];

const foreignFormat = (beginning: Uint8Array): string | undefined =>
  foreignFormats.find(([begin]) => String.fromCharCode(...beginning).startsWith(begin))?.[1];

function readBytes(source: ByteSource, position: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  source.fill(position, bytes);
  return bytes;
}

interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function checkEntry(given: string, entry: unknown): Entry {
  const name = shortName(given);
  if (!isObject(entry)) throw new Error(`${name} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string") throw new Error(unreadable(name, dtype));
  if (!areCounts(shape)) throw new Error(`${name} has the shape ${shown(shape)}, which is not a list of sizes`);
  if (shape.length > mostAxes) throw new Error(`${name} has ${shape.length} axes; at most ${mostAxes} are read`);
  if (!isRange(offsets)) {
    throw new Error(`${name} has the data_offsets ${shown(offsets)}, which are not [begin, end]`);
  }
  const [begin, end] = offsets;
  const width = isDtype(dtype) ? dtypes[dtype].bytes : otherWidths.get(dtype);
  const bytes = width === undefined ? end - begin : sizeOf(shape) * width;
  if (end - begin !== bytes || bytes < 0) {
    throw new Error(
      `${name}, ${shortName(dtype)} [${shape.join(", ")}], takes ${bytes} bytes, but its data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { name: given, dtype, shape, begin, end };
}

/** As many as NumPy has. */
const mostAxes = 64;
const shown = (value: unknown): string => shortName(JSON.stringify(value) ?? "missing");

const unreadable = (name: string, dtype: unknown): string =>
  `${shortName(name)} has the dtype ${shown(dtype)}; ${Object.keys(dtypes).join(", ")} can be read`;

/**
 * The tensors must cover the data from its first to its last byte, each byte once.
 *
 * @param start the byte of the file at which the data begins
 * @param size of the file
 */
function checkCoverage(entries: readonly Entry[], start: number, size: number): void {
  let covered = 0;
  let before = "the header";
  for (const [index, { name: given, dtype, shape, begin, end }] of entries.entries()) {
    const name = shortName(given);
    if (begin !== covered) {
      const what = begin < covered ? "bytes belong to both" : "bytes between them belong to no tensor";
      throw new Error(
        `${name} begins at byte ${start + begin} (${begin} of the data), but ${before} ends at ${start + covered}: ${Math.abs(begin - covered)} ${what}`,
      );
    }
    if (start + end > size) {
      const missing = entries.length - index - 1;
      throw new Error(
        `it was cut off: ${name}, ${shortName(dtype)} [${shape.join(", ")}], takes bytes ${start + begin} to ${start + end - 1}, ` +
          `but the file ends at byte ${size}${missing > 0 ? `, and ${missing} more tensors were to follow` : ""}`,
      );
    }
    covered = end;
    before = name;
  }
  if (start + covered !== size) {
    throw new Error(
      `${before} ends at byte ${start + covered}, but the file has ${size} bytes: the rest belongs to no tensor`,
    );
  }
}

function checkMetadata(metadata: unknown): Readonly<Record<string, string>> {
  if (isObject(metadata) && areTexts(metadata)) return metadata;
  throw new Error(`its ${METADATA_KEY} is not an object of texts`);
}

const areTexts = (values: Record<string, unknown>): values is Record<string, string> =>
  Object.values(values).every((value) => typeof value === "string");

/** An array for the values of a tensor of this shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

const isDtype = (value: unknown): value is Dtype => typeof value === "string" && Object.hasOwn(dtypes, value);

const areCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);

const isRange = (value: unknown): value is [begin: number, end: number] => areCounts(value) && value.length === 2;

interface DtypeRule {
  readonly bytes: number;
  readonly decode: (raw: ArrayBuffer, name: string) => Float32Array | Int32Array;
}

const dtypes: Readonly<Record<Dtype, DtypeRule>> = {
  F32: { bytes: 4, decode: (raw) => new Float32Array(raw) },
  F16: { bytes: 2, decode: (raw) => Float32Array.from(new Uint16Array(raw), widenHalf) },
  BF16: {
    bytes: 2,
    decode: (raw) => new Float32Array(Uint32Array.from(new Uint16Array(raw), (bits) => bits << 16).buffer),
  },
  I32: { bytes: 4, decode: (raw) => new Int32Array(raw) },
  I64: { bytes: 8, decode: (raw, name) => Int32Array.from(new BigInt64Array(raw), (value) => narrow(value, name)) },
};

/** Bytes per element, for dtypes that are copied but not read. */
const otherWidths: ReadonlyMap<string, number> = new Map(
  Object.entries({ F64: 8, U64: 8, U32: 4, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1, F8_E4M3: 1, F8_E5M2: 1 }),
);

/** IEEE half: a sign, 5 bits of exponent, 10 of fraction. */
function widenHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

function narrow(value: bigint, name: string): number {
  if (BigInt.asIntN(32, value) !== value) throw new Error(`${name} holds ${value}, which is too large for 32 bits`);
  return Number(value);
}
