// Question: how does a text become tokens on disk, in one call?
//
// Corpus, split, tokenizer, token files. Each combination of corpus, vocabulary, seed and validation share has a
// folder in the cache folder, with `tokenizer.json`, `train.safetensors` and `validation.safetensors`. Existing
// files are used again if they were made from the same text by the same tokenizer and their checksums are right;
// otherwise they are made again. The tokenizer learns from the training part only.
//
// So it is for texts that fit into memory. Files of data (parquet, JSON lines, token ids), several sources, and texts
// of more than LARGE bytes are prepared by stored/prepare-files.ts, which holds none of them in memory.

import fs from "node:fs";
import path from "node:path";
import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";
import { given } from "../basics/given.ts";
import { showBytes, showCount, showMany } from "../basics/show.ts";
import {
  type Corpus,
  type CorpusSource,
  expectSource,
  extensionsOf,
  parseSource,
  readCorpus,
  textExtensions,
} from "./corpus.ts";
import type { PreparedData, PreparedFiles, PrepareProgress } from "./prepared-files.ts";
import { dataFormOf, isEndingOfData, kindsOfFolder } from "./stored/data-files.ts";
import { prepareFiles } from "./stored/prepare-files.ts";
import { isStoredData, openStoredData } from "./stored/stored-data.ts";
import { readTokenizer, writeTokenizer } from "./tokenizer-file.ts";
import { type Document, type Split, splitDocuments } from "./split.ts";
import { sweepLeftovers, writeFileAtomically } from "../files/atomic.ts";
import { formatJson } from "../files/json.ts";
import { type ChosenTask, parseTasks } from "./generated/table.ts";
import { isObject } from "../basics/objects.ts";
import { reason } from "../files/errors.ts";
import { sha256 } from "../files/hash.ts";
import { ensureWritableFolder } from "../files/space.ts";
import { formatTokenizer } from "./tokenizer-json.ts";
import { rolesFileOf } from "./tokenizer-roles.ts";
import { trainTokenizer, type Tokenizer } from "./tokenizer.ts";
import { encodeDocuments, type EncodedText, textsOf } from "./prepare-texts.ts";
import { openTokenFile, writeTokenFile, type TokenFile } from "./token-file.ts";
import type { TokenOrigin } from "./tokens.ts";
import { MOST_OF_TOKENIZER, readText } from "../files/read.ts";

/** What to prepare, and where to store it. */
export interface PrepareOptions {
  /**
   * Where the text is; a string is read as on the command line (`sotu`, `-`, `generated:khop`, a path). Several paths of
   * files and folders are one source.
   */
  readonly source: CorpusSource | string | readonly string[];
  /** Tokens in the vocabulary; a short text gives fewer. */
  readonly vocabularySize: number;
  readonly cacheFolder: string;
  /** Chooses the validation documents. Keep it fixed while other seeds vary, so that runs can be compared. */
  readonly seed?: number;
  /** The approximate share of the bytes for validation; 0.075 by default. */
  readonly validationShare?: number;
  /** Encode the text with this tokenizer, instead of training one on it. */
  readonly tokenizer?: Tokenizer;
  /** Of a folder: the endings of the files to read, such as [".md", ".py"]; ["*"] for all. Default: those of text. */
  readonly extensions?: readonly string[];
  /** Of a folder: leave out files that are no UTF-8 text, instead of refusing the folder. Default false. */
  readonly skipUnreadable?: boolean;
  /** The most bytes of memory that the text may take; default: what is free now. */
  readonly memory?: number;
  /** Of parquet files the column and of JSON lines the field that holds the text. Default "text". */
  readonly column?: string;
  /** Of several sources: how often the windows of each are read beside those of the others. Default: as their tokens. */
  readonly weights?: readonly number[];
  /**
   * Whether the files are tokenized piece by piece and read shuffled, whatever their size. Default: only files of data,
   * several sources, and texts of more than 256 MiB.
   */
  readonly shuffled?: boolean;
}

const optionRules: FieldRules<PrepareOptions> = {
  source: "anything",
  vocabularySize: "number",
  cacheFolder: "text",
  seed: "number",
  validationShare: "number",
  tokenizer: "group",
  extensions: "list",
  skipUnreadable: "flag",
  memory: "number",
  column: "text",
  weights: "list",
  shuffled: "flag",
};

const names = {
  tokenizer: "tokenizer.json",
  train: "train.safetensors",
  validation: "validation.safetensors",
  /** Of generated tasks: their names. */
  generated: "generated.json",
} as const;
/** Part of every key: raise it when the same options would give different files. */
const version = 1;

/**
 * From text to tokens on disk: corpus, split, tokenizer, token files. Existing files are used again.
 *
 * @param options the text, the vocabulary and the folder
 * @param onProgress called from time to time
 * @returns open files; `close` them when done
 * @throws Error when the text cannot be read, is not UTF-8 or is empty, or the folder cannot be written to
 */
export async function prepareData(
  options: PrepareOptions,
  onProgress: (progress: PrepareProgress) => void = () => {},
): Promise<PreparedData> {
  expectFields("prepareData", options, optionRules);
  const { vocabularySize, cacheFolder, seed = 0, validationShare = 0.075 } = options;
  expectGiven("prepareData", options, optionRules, ["source", "vocabularySize", "cacheFolder"]);
  expectWhole("prepareData", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  const extensions = options.extensions && extensionsOf(options.extensions);
  // One path is the same in a list and alone.
  const [source] = Array.isArray(options.source) && options.source.length === 1 ? options.source : [options.source];
  const paths = pathsOf({ ...options, source, ...given({ extensions }) });
  ensureWritableFolder(cacheFolder);
  sweepLeftovers(cacheFolder, []);
  if (paths) {
    expectShare(validationShare);
    const { column, weights, tokenizer } = options;
    const wishes = {
      sources: paths,
      textEndings: textExtensions,
      extensions,
      column,
      weights,
      tokenizer,
      vocabularySize,
      cacheFolder,
    };
    return await prepareFiles({ ...wishes, seed, validationShare }, onProgress);
  }
  const wanted = sourceOf(source as CorpusSource | string, options);

  onProgress({ stage: "corpus", share: 0, message: "reading the text" });
  const corpus = await readCorpus(wanted, options.memory);
  const split = splitDocuments(corpus.documents, seed, validationShare);
  onProgress({ stage: "corpus", share: 1, message: describe(corpus, split) });
  for (const message of corpus.notes) onProgress({ stage: "corpus", share: 1, message });

  const own = options.tokenizer && sha256(formatTokenizer(options.tokenizer) + endOf(options.tokenizer));
  const keyed = [version, corpus.hash, vocabularySize, seed, validationShare, ...(own ? [own] : [])];
  const key = sha256(JSON.stringify(keyed));
  const folder = path.join(cacheFolder, `${corpus.name}-${vocabularySize}-${key.slice(0, 12)}`);
  const origin = { text: corpus.hash };
  const kept = openKept(folder, origin, wanted.kind === "generated", (why) =>
    onProgress({ stage: "tokenizer", share: 0, message: `making the tokens anew, for ${why}` }),
  );
  if (kept === undefined) {
    ensureWritableFolder(folder);
    sweepLeftovers(folder, [...Object.values(names), rolesFileOf(names.tokenizer)]);
    const tokenizer =
      options.tokenizer ??
      trainTokenizer(textsOf(split.train), {
        vocabularySize,
        onProgress: (share) => onProgress({ stage: "tokenizer", share, message: "training the tokenizer" }),
      });
    onProgress({
      stage: "tokenizer",
      share: 1,
      message: `${showMany(tokenizer.vocabularySize, "token")} in the vocabulary`,
    });
    if (wanted.kind === "generated")
      writeFileAtomically(path.join(folder, names.generated), formatJson({ tasks: wanted.tasks }));
    writeFolder(folder, corpus, split, tokenizer, onProgress);
  }
  const files = kept ?? openPrepared(folder, origin);
  const { tokenizer, train, validation } = files;
  onProgress({
    stage: "tokens",
    share: 1,
    message: `${showCount(train.length)} training and ${showCount(validation.length)} validation tokens`,
  });
  return {
    ...files,
    summary: {
      corpus: corpus.name,
      documents: corpus.documents.length,
      validationDocuments: split.validation.length,
      splitRule: split.rule,
      vocabularySize: tokenizer.vocabularySize,
      trainBytes: train.bytes,
      trainTokens: train.length,
      validationBytes: validation.bytes,
      validationTokens: validation.length,
      validationBytesPerToken: validation.bytes / Math.max(1, validation.length),
      reused: kept !== undefined,
      folder,
      notes: corpus.notes,
    },
  };
}

/** Texts of more bytes are tokenized piece by piece. */
const LARGE = 2 ** 28;

/** The paths of a source that is not to be held in memory; undefined of one that is. */
function pathsOf(options: PrepareOptions): readonly string[] | undefined {
  const { source, skipUnreadable, column, weights } = options;
  const paths =
    typeof source === "string" ? [source] : Array.isArray(source) ? (source as readonly string[]) : undefined;
  const stored = paths !== undefined && (paths.length !== 1 || areStored(paths[0]!, options));
  const refuse = (option: string, why: string): never => {
    throw new Error(`prepareData: ${option} ${why}. Leave it out.`);
  };
  if (!stored) {
    if (column !== undefined) refuse("column (--column)", "is for parquet files and JSON lines, and the data is text");
    if (weights !== undefined) refuse("weights (--weights)", "are for several sources, and there is one");
    return undefined;
  }
  if (skipUnreadable) refuse("skipUnreadable (--skip-unreadable)", "is for a folder of texts, and this is data");
  const special = paths.find((one) => parseSource(one).kind !== "path");
  if (special !== undefined || paths.length === 0)
    throw new Error(
      `prepareData: ${special === undefined ? "no source is given" : `${special} cannot be read shuffled or as one of several sources`}; such are files and folders. Give paths.`,
    );
  if (weights && paths.length < 2) refuse("weights (--weights)", "are for several sources, and there is one");
  if (weights && (weights.length !== paths.length || !weights.every((one) => one > 0 && one < 1e9)))
    throw new Error(
      `prepareData: the weights (--weights) are ${weights.join()}; there must be one above 0 for each of ${showMany(paths.length, "source")}. Give such as ${paths.map(() => 1).join()}.`,
    );
  if (paths.length > MOST_SOURCES)
    throw new Error(
      `prepareData: ${paths.length} sources are given; at most ${MOST_SOURCES} are read. Give folders in place of files.`,
    );
  return paths;
}

const MOST_SOURCES = 64;

/** Whether a path leads to files that are not to be held in memory. What is not there is told of later. */
function areStored(
  place: string,
  { extensions, skipUnreadable, shuffled }: Pick<PrepareOptions, "extensions" | "skipUnreadable" | "shuffled">,
): boolean {
  if (shuffled !== undefined) return shuffled;
  if (parseSource(place).kind !== "path") return false;
  const stat = fs.statSync(place, { throwIfNoEntry: false });
  if (stat?.isFile()) return dataFormOf(place) !== undefined || stat.size > LARGE;
  if (!stat?.isDirectory()) return false;
  if (extensions?.some(isEndingOfData)) return true;
  const { data, texts } = kindsOfFolder(place, extensions ?? textExtensions);
  if (extensions === undefined && data.length > 0) return true;
  // What cannot be read is known only when a text is held whole.
  if (skipUnreadable) return false;
  return texts.reduce((sum, name) => sum + fs.statSync(path.join(place, name)).size, 0) > LARGE;
}

function expectShare(share: number): void {
  if (!(share > 0 && share <= 0.5))
    throw new RangeError(`the validation share is ${share}; it must be above 0 and at most 0.5, say 0.075`);
}

/** What decides a text's tokens beside `tokenizer.json`. */
const endOf = ({ definition: { endToken } }: Tokenizer): string => (endToken === undefined ? "" : `ends ${endToken}`);

/** The source with the options for folders, which only a path has. */
function sourceOf(
  source: CorpusSource | string,
  { extensions, skipUnreadable }: Pick<PrepareOptions, "extensions" | "skipUnreadable">,
): CorpusSource {
  const parsed = typeof source === "string" ? parseSource(source) : expectSource(source);
  if (extensions === undefined && skipUnreadable === undefined) return parsed;
  if (parsed.kind === "path") return { ...parsed, ...given({ extensions, skipUnreadable }) };
  throw new Error(
    `prepareData: ${extensions === undefined ? "skipUnreadable (--skip-unreadable)" : "extensions (--extensions)"} chooses among the files of a folder, but the text is ${parsed.kind === "stdin" ? "standard input" : parsed.kind}. Leave it out, or give a folder.`,
  );
}

const describe = (corpus: Corpus, { train, validation, rule }: Split): string =>
  `${showMany(corpus.documents.length, "document")}, ${showBytes(corpus.bytes)}; ` +
  (rule === "whole documents"
    ? `${train.length} for training, ${validation.length} for validation`
    : "the end of each kept for validation");

function writeFolder(
  folder: string,
  corpus: Corpus,
  split: Split,
  tokenizer: Tokenizer,
  onProgress: (progress: PrepareProgress) => void,
): void {
  const json = formatTokenizer(tokenizer);
  const origin = { tokenizer: sha256(json), text: corpus.hash };
  let encoded = 0;
  function* encodedDocuments(documents: readonly Document[]): Generator<EncodedText, void, undefined> {
    for (const part of encodeDocuments(tokenizer, documents)) {
      yield part;
      encoded += part.bytes;
      onProgress({ stage: "tokens", share: Math.min(1, encoded / corpus.bytes), message: "encoding the text" });
    }
  }
  writeTokenFile(path.join(folder, names.train), tokenizer.vocabularySize, origin, encodedDocuments(split.train));
  writeTokenFile(
    path.join(folder, names.validation),
    tokenizer.vocabularySize,
    origin,
    encodedDocuments(split.validation),
  );
  writeTokenizer(path.join(folder, names.tokenizer), tokenizer);
}

/**
 * Opens a folder that `prepareData` made (`summary.folder`), without its text, so that a run that read
 * standard input can be resumed. A missing, damaged or unexpected file is an error.
 */
export function openPrepared(folder: string, expected: Partial<TokenOrigin> = {}): PreparedFiles {
  if (isStoredData(folder)) return openStoredData(folder, expected);
  const opened: TokenFile[] = [];
  const close = (): void => opened.forEach((tokens) => tokens.close());
  try {
    const file = path.join(folder, names.tokenizer);
    const tokenizer = readTokenizer(file);
    const origin = { tokenizer: sha256(readText(file, MOST_OF_TOKENIZER)), ...expected };
    const open = (name: string): TokenFile => {
      const tokens = openTokenFile(path.join(folder, name), { verify: true });
      opened.push(tokens);
      for (const part of ["tokenizer", "text"] as const) {
        if (origin[part] !== undefined && origin[part] !== tokens.origin[part]) {
          throw new Error(`${tokens.path} was made from another ${part}: delete it, it will be made again`);
        }
      }
      return tokens;
    };
    const tasks = path.join(folder, names.generated);
    const generated = fs.existsSync(tasks) ? readTasks(tasks) : undefined;
    return { tokenizer, train: open(names.train), validation: open(names.validation), ...given({ generated }), close };
  } catch (error) {
    close();
    throw error;
  }
}

function readTasks(file: string): ChosenTask[] {
  const stored: unknown = JSON.parse(readText(file));
  const tasks = isObject(stored) ? stored["tasks"] : undefined;
  if (typeof tasks === "string") return parseTasks(tasks);
  throw new Error(`${file} names no tasks: delete it, it will be made again`);
}

/** The folder's files if they exist and are sound. If they exist but are not sound, reports why. */
function openKept(
  folder: string,
  origin: Partial<TokenOrigin>,
  isGenerated: boolean,
  onUnsound: (why: string) => void,
): PreparedFiles | undefined {
  if (!fs.existsSync(folder)) return undefined;
  try {
    const files = openPrepared(folder, origin);
    if (!isGenerated || files.generated) return files;
    files.close();
    throw new Error(`${path.join(folder, names.generated)} is missing`);
  } catch (error) {
    onUnsound(reason(error));
    return undefined;
  }
}
