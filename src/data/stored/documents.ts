// Question: which documents does a file hold, one after another, whatever its kind and size?
//
// A row of a parquet file and a line of JSON are a document each, by the text of one column. A text file is one
// document; a long one comes in pieces, which end at a line break between two lines with text, where no token of
// GPT-2's kind lies across.

import { isUtf8 } from "node:buffer";
import { isObject } from "../../basics/objects.ts";
import { showValue } from "../../basics/show.ts";
import { reason } from "../../files/errors.ts";
import type { DataFile, DocumentForm } from "./data-files.ts";
import { linesOf, type Packing, unpacked } from "./lines.ts";
import { textsOfParquet } from "./parquet.ts";

/** A document, or a piece of a long one. */
export interface TextPiece {
  readonly text: string;
  /** Whether the document ends with it. */
  readonly ends: boolean;
}

/** The column or field that holds the text, where no other is named. */
export const DEFAULT_COLUMN = "text";

/** Bytes of a piece of a long text. */
const PIECE = 2 ** 20;

const readers: Readonly<Record<DocumentForm, (file: string, column: string) => AsyncGenerator<TextPiece>>> = {
  parquet: (file, column) => whole(textsOfParquet(file, column)),
  jsonl: (file, column) => whole(textsOfLines(file, "plain", column)),
  "jsonl.gz": (file, column) => whole(textsOfLines(file, "gz", column)),
  "jsonl.zst": (file, column) => whole(textsOfLines(file, "zst", column)),
  text: (file) => piecesOfText(file),
};

/**
 * The documents of a file, in their order; empty ones are left out.
 *
 * @throws Error that names the file and the place of what is wrong with it
 */
export function documentsOf({ path: file, form }: DataFile, column: string): AsyncGenerator<TextPiece> {
  if (form === "bin") throw new Error(`${file} holds token ids, not documents`);
  return readers[form](file, column);
}

async function* whole(texts: AsyncIterable<string>): AsyncGenerator<TextPiece> {
  for await (const text of texts) if (text !== "") yield { text, ends: true };
}

async function* textsOfLines(file: string, packing: Packing, column: string): AsyncGenerator<string> {
  for await (const { text: line, number } of linesOf(file, packing)) {
    if (line.trim() === "") continue;
    const text = textOfLine(line, column, (why, mend) => {
      throw new Error(`${file}, line ${number}: ${why}. ${mend}`);
    });
    if (text !== undefined) yield text;
  }
}

/** Undefined where the field is null. */
function textOfLine(line: string, column: string, fail: (why: string, mend: string) => never): string | undefined {
  let value: unknown;
  try {
    // Some editors begin a file with the mark of its byte order.
    value = JSON.parse(line.replace(/^\uFEFF/, ""));
  } catch (error) {
    return fail(
      `it is no JSON (${reason(error)})`,
      "Each line must be one object; mend the line or remove it, and fetch the file again if it was cut off there",
    );
  }
  if (!isObject(value))
    return fail(`it is ${showValue(value)}, not an object`, `Each line must be an object with "${column}"`);
  const text = Object.hasOwn(value, column) ? value[column] : undefined;
  if (typeof text === "string") return text;
  if (text === null) return undefined;
  const texts = Object.keys(value).filter((key) => typeof value[key] === "string");
  return fail(
    text === undefined ? `it has no "${column}"` : `"${column}" is ${showValue(text)}, not a text`,
    texts.length > 0
      ? `It has texts in ${texts
          .slice(0, 6)
          .map((key) => `"${key}"`)
          .join(", ")}; choose with --column`
      : "Name the field of the text with --column",
  );
}

/** What ends a piece: a newline between two bytes that are no white space; else any newline; else any character. */
function cutOf(bytes: Buffer): number {
  const space = (byte: number | undefined): boolean => byte === undefined || byte <= 32;
  for (let at = bytes.length - 2; at > bytes.length / 2; at--)
    if (bytes[at] === 10 && !space(bytes[at - 1]) && !space(bytes[at + 1])) return at + 1;
  const newline = bytes.lastIndexOf(10);
  if (newline > 0) return newline + 1;
  let end = bytes.length;
  // Bytes of 10xxxxxx continue a character.
  while (end > 1 && (bytes[end - 1]! & 0xc0) === 0x80) end--;
  return end > 1 ? end - 1 : bytes.length;
}

async function* piecesOfText(file: string): AsyncGenerator<TextPiece> {
  let kept: Buffer = Buffer.alloc(0);
  let at = 0;
  const textOf = (bytes: Buffer): string => {
    if (!isUtf8(bytes))
      throw new Error(
        `${file} is not UTF-8 text: bytes ${at} to ${at + bytes.length} hold what is no character. Convert it ("iconv -f WINDOWS-1252 -t UTF-8 IN > OUT"), or leave it out`,
      );
    const text = bytes.toString("utf8");
    const first = at === 0;
    at += bytes.length;
    return first ? text.replace(/^\uFEFF/, "") : text;
  };
  for await (const piece of unpacked(file, "plain")) {
    kept = kept.length > 0 ? Buffer.concat([kept, piece]) : piece;
    while (kept.length > PIECE) {
      const cut = cutOf(kept.subarray(0, PIECE));
      yield { text: textOf(kept.subarray(0, cut)), ends: false };
      kept = kept.subarray(cut);
    }
  }
  const text = textOf(kept);
  if (text !== "" || at > 0) yield { text, ends: true };
}
