// Question: how does a file or a stream become text, within the memory allowed?
//
// Text must be UTF-8. A byte order mark at its start is dropped; nothing else is changed. Bytes are counted before
// they are read where their number is known, and while they are read where it is not, so that neither a huge file
// nor an endless stream fills the memory. A named pipe, a socket or a device is never waited for; descriptors that
// are open already, such as /dev/fd/63 of <(...), are read as standard input is.
//
// memory ≈ KEPT · bytes + WORKING · bytes of the largest text + LETTER · bytes of the longest word
//
// The first are the strings, in Node's own heap, which has a limit of its own; the second the buffer and the tokens
// of one text; the third the merges of a word, which are found in one queue.

import { constants, isUtf8 } from "node:buffer";
import fs from "node:fs";
import { getHeapStatistics } from "node:v8";
import { showBytes } from "../basics/show.ts";
import { reason } from "../files/errors.ts";
import { type MemoryAllowed, memoryAllowed } from "../files/memory.ts";
import type { PathKind } from "../files/read.ts";

/** Bytes of a string for a byte of text: two where one letter lies beyond Latin. */
const KEPT = 2;
/** Bytes of buffers and tokens for a byte of the text that is read or encoded. */
const WORKING = 6;
/** Bytes for a byte of the longest word: symbols, links and the queue of its merges. */
const LETTER = 180;
/** Words shorter than this need no count of their own. */
const LONG_WORD = 2 ** 20;
/** So many zero bytes at the start of a file are no text. */
const ZEROS = 2 ** 12;
const CHUNK = 2 ** 20;

/** A file that is no text: `--skip-unreadable` leaves it out. */
export class UnreadableText extends Error {
  override readonly name = "UnreadableText";
  /** The reason in a few words, for a list. */
  readonly why: string;
  constructor(message: string, why: string, options?: ErrorOptions) {
    super(message, options);
    this.why = why;
  }
}

/** Counts the bytes of a corpus against the memory that it may take. */
export interface TextBudget {
  /**
   * @param what the subject of the message
   * @param bytes of all text that is about to be read
   * @param largest of them in one text
   * @throws RangeError when they do not fit
   */
  expect(what: string, bytes: number, largest?: number): void;
  /** Count a text that was read. */
  take(what: string, bytes: number, longestWord: number): void;
}

/** @param memory the most bytes of memory to use; default: what is free now */
export function textBudget(memory?: number): TextBudget {
  const limits = [memoryAllowed(memory), heapAllowed()] as const;
  const counted = { bytes: 0, largest: 0, word: 0 };
  const check = (what: string, { bytes, largest, word }: Sizes): void => {
    const kept = KEPT * bytes;
    const needs = [kept + WORKING * largest + LETTER * word, kept] as const;
    for (const [at, need] of needs.entries())
      if (need > limits[at]!.bytes) throw tooLarge(what, { bytes, largest, word }, need, limits[at]!);
  };
  return {
    expect(what, bytes, largest = bytes) {
      check(what, { ...counted, bytes: counted.bytes + bytes, largest: Math.max(counted.largest, largest) });
    },
    take(what, bytes, word) {
      counted.bytes += bytes;
      counted.largest = Math.max(counted.largest, bytes);
      counted.word = Math.max(counted.word, word < LONG_WORD ? 0 : word);
      check(what, counted);
    },
  };
}

interface Sizes {
  readonly bytes: number;
  /** Of one text. */
  readonly largest: number;
  /** The longest word of a size that counts. */
  readonly word: number;
}

const HEAP = "the heap of Node";

function heapAllowed(): MemoryAllowed {
  const { heap_size_limit: limit, used_heap_size: used } = getHeapStatistics();
  return { bytes: limit - used, source: HEAP };
}

function tooLarge(what: string, { bytes, largest, word }: Sizes, need: number, allowed: MemoryAllowed): RangeError {
  const [limit, heap] = [Math.max(0, allowed.bytes), allowed.source === HEAP];
  const letters = word > 0 ? `, its longest word ${showBytes(word)} (a run of letters or signs without a space)` : "";
  const fixed = heap ? 0 : LETTER * word;
  // As one text, which is the worst case, or in texts as large as these.
  const fitting = Math.floor(Math.max(0, limit - fixed) / (KEPT + (heap ? 0 : (WORKING * largest) / bytes)));
  const smaller = fixed >= limit ? "Break the long word up" : `Give at most ${showBytes(0.99 * fitting)} of text`;
  const larger = heap
    ? `let the heap grow (NODE_OPTIONS=--max-old-space-size=${Math.ceil(need / 2 ** 20) + 1024})`
    : "allow more memory (--memory)";
  return new RangeError(
    `${what}: ${showBytes(bytes)} of text${letters} would need about ${showBytes(need)} of memory; the limit is ` +
      `${showBytes(limit)}, ${allowed.source}. ${smaller}, or ${larger}.`,
  );
}

/** The error for a source that may never end, or never begin. */
export function endless(given: string, kind: PathKind): Error {
  return new Error(
    `${given} is a ${kind}, and reading it could wait for ever: give a file or a folder, ` +
      `or pipe the text in ("cat ${given} | birkhoff train --data -")`,
  );
}

/** The text of a file. Its size is compared with the budget before it is read. */
export function readTextFile(file: string, budget: TextBudget): string {
  const size = attempt(file, () => fs.statSync(file)).size;
  expectString(file, size);
  budget.expect(file, size);
  const bytes = size === 0 ? readOpen(file, budget) : attempt(file, () => readBytes(file));
  const text = decodeText(file, bytes);
  budget.take(file, bytes.length, longestWord(bytes));
  return text;
}

/** The text of a descriptor that is open already. */
export function readDescriptor(file: string, budget: TextBudget): string {
  const bytes = readOpen(file, budget);
  const text = decodeText(file, bytes);
  budget.take(file, bytes.length, longestWord(bytes));
  return text;
}

/** Collects the chunks of a stream, and stops it when they are too many. */
export async function readTextStream(name: string, stream: AsyncIterable<Buffer>, budget: TextBudget): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    expectString(name, length);
    budget.expect(name, length);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  const text = decodeText(name, bytes);
  budget.take(name, bytes.length, longestWord(bytes));
  return text;
}

/** The beginning of a file first: what begins with zeros alone is not worth reading on. */
function readBytes(file: string): Uint8Array {
  const descriptor = fs.openSync(file, "r");
  try {
    const head = Buffer.alloc(ZEROS);
    if (fs.readSync(descriptor, head, 0, ZEROS, 0) === ZEROS && head.every((byte) => byte === 0)) throw zeros(file);
    return fs.readFileSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

const zeros = (file: string): UnreadableText =>
  new UnreadableText(
    `${file} is not text: it begins with ${ZEROS} zero bytes, as a sparse file or a file of another kind does. ` +
      "Give a text file, or leave it out (in a folder: --skip-unreadable)",
    "no text",
  );

/** Reads to the end, counting. */
function readOpen(file: string, budget: TextBudget): Uint8Array {
  const chunks: Buffer[] = [];
  let length = 0;
  const descriptor = attempt(file, () => fs.openSync(file, "r"));
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK);
      const read = attempt(file, () => fs.readSync(descriptor, chunk, 0, CHUNK, null));
      if (read === 0) return Buffer.concat(chunks);
      length += read;
      expectString(file, length);
      budget.expect(file, length);
      chunks.push(chunk.subarray(0, read));
    }
  } finally {
    fs.closeSync(descriptor);
  }
}

function expectString(name: string, size: number): void {
  if (size <= constants.MAX_STRING_LENGTH) return;
  throw new Error(
    `${name} has ${showBytes(size)}, more than the ${showBytes(constants.MAX_STRING_LENGTH)} of one text: ` +
      `split it into files in a folder and give the folder ("split -C 100M --additional-suffix=.txt")`,
  );
}

/** White space, letters, digits, and all else: a word is a run of one class, as pretokenise.ts cuts them. */
const classes = Uint8Array.from({ length: 256 }, (_, byte) => {
  const sign = String.fromCharCode(byte);
  return byte >= 0x80 || /[A-Za-z]/.test(sign) ? 1 : /\s/.test(sign) ? 0 : /\d/.test(sign) ? 2 : 3;
});

/** The most bytes of one word, or a little more: of signs beyond ASCII only the East Asian ones end a word here. */
export function longestWord(bytes: Uint8Array): number {
  let [longest, start, before] = [0, 0, 0];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    const now = classes[byte]!;
    // U+3000 to U+303F and U+FF00 to U+FF3F.
    const sign = (byte === 0xe3 && bytes[at + 1] === 0x80) || (byte === 0xef && bytes[at + 1] === 0xbc);
    if (now === before && !sign) continue;
    if (before !== 0 && at - start > longest) longest = at - start;
    [start, before] = [at, now];
  }
  return before === 0 ? longest : Math.max(longest, bytes.length - start);
}

function decodeText(name: string, bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new UnreadableText(describeInvalid(name, bytes), "not UTF-8");
  return new TextDecoder().decode(bytes);
}

function describeInvalid(name: string, bytes: Uint8Array): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return `${name} is UTF-16 text; convert it to UTF-8 ("iconv -f UTF-16 -t UTF-8 IN > OUT"), or leave it out (in a folder: --skip-unreadable)`;
  }
  if (first === 0x1f && second === 0x8b) {
    return `${name} is compressed by gzip, which only .jsonl.gz may be; unpack it ("gunzip FILE"), or leave it out (in a folder: --skip-unreadable)`;
  }
  const at = invalidAt(bytes);
  return (
    `${name} is not UTF-8 text: the byte 0x${bytes[at]!.toString(16).padStart(2, "0")} at offset ${at} begins no ` +
    'character. Convert it ("iconv -f WINDOWS-1252 -t UTF-8 IN > OUT"), or leave it out if it is not text ' +
    "(in a folder: --skip-unreadable)"
  );
}

/** The offset of the first byte sequence that is not a character. */
function invalidAt(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (length > 1 && !isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  return at;
}

/** Runs a system call; its error says which file could not be read. */
export function attempt<Result>(file: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (error instanceof UnreadableText) throw error;
    throw new UnreadableText(`cannot read ${file}: ${reason(error)}`, reason(error), { cause: error });
  }
}
