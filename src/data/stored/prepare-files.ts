// Question: how do files that are larger than memory become tokens to train on?
//
// Files of ids are used where they lie, once every id is known to be one of the tokenizer's. Documents are tokenized
// into shards of the cache (shards.ts). Validation is whole files where their names say so, else blocks of the tokens
// (validation-blocks.ts). A tokenizer that is not given is trained on a sample: the beginning of each file.

import fs from "node:fs";
import path from "node:path";
import { given } from "../../basics/given.ts";
import { showBytes, showCount, showMany } from "../../basics/show.ts";
import { sweepLeftovers } from "../../files/atomic.ts";
import { reason } from "../../files/errors.ts";
import { sha256 } from "../../files/hash.ts";
import { type KnownFiles, knownFiles } from "../../files/known-files.ts";
import { MOST_OF_TOKENIZER, readText } from "../../files/read.ts";
import { ensureWritableFolder } from "../../files/space.ts";
import type { PreparedData, PrepareProgress } from "../prepared-files.ts";
import { readTokenizer, writeTokenizer } from "../tokenizer-file.ts";
import { formatTokenizer } from "../tokenizer-json.ts";
import { trainTokenizer, type Tokenizer } from "../tokenizer.ts";
import { outside, validationBlocks } from "../validation-blocks.ts";
import { binPart, bytesOfParts } from "./bin-file.ts";
import { type DataFile, type DataFiles, findDataFiles } from "./data-files.ts";
import { DEFAULT_COLUMN, documentsOf } from "./documents.ts";
import { makeShards, type Shard, type ShardProgress } from "./shards.ts";
import {
  isStoredData,
  openStoredData,
  type SourcePart,
  type StoredData,
  storedNames,
  writeStoredData,
} from "./stored-data.ts";
import { partsOf } from "./token-parts.ts";

/** What to prepare. */
export interface FileWishes {
  /** Paths of files and folders. */
  readonly sources: readonly string[];
  readonly extensions?: readonly string[] | undefined;
  readonly textEndings: readonly string[];
  readonly column?: string | undefined;
  /** How often each source is read, beside the others. */
  readonly weights?: readonly number[] | undefined;
  readonly tokenizer?: Tokenizer | undefined;
  readonly vocabularySize: number;
  readonly cacheFolder: string;
  readonly seed: number;
  readonly validationShare: number;
}

type OnProgress = (progress: PrepareProgress) => void;

/** Raise it when the same options would give different files. */
const version = 1;
/** Text that a tokenizer is trained on. */
const SAMPLE_BYTES = 2 ** 25;
const SAID_EVERY_MS = 5000;

/** @throws Error that names the file and the place of what is wrong with it */
export async function prepareFiles(wishes: FileWishes, onProgress: OnProgress): Promise<PreparedData> {
  const { sources, cacheFolder, vocabularySize, seed, validationShare, weights } = wishes;
  const found = findDataFiles(sources, wishes.extensions, wishes.textEndings);
  const all = [...found.train, ...found.validation];
  const bytes = all.reduce((sum, { size }) => sum + size, 0);
  const hasColumns = all.some(({ form }) => form !== "bin" && form !== "text");
  if (wishes.column !== undefined && !hasColumns)
    throw new Error(
      `prepareData: column (--column) is for parquet files and JSON lines, and ${all.length === 1 ? all[0]!.path : sources.join(", ")} holds ${all[0]!.form === "bin" ? "token ids" : "text"}. Leave it out.`,
    );
  const described = `${showMany(all.length, "file")}, ${showBytes(bytes)}`;
  for (const message of found.notes) onProgress({ stage: "corpus", share: 0, message });

  const known = knownFiles(cacheFolder);
  const hashes = hashAll(all, known, onProgress);
  onProgress({ stage: "corpus", share: 1, message: described });
  const holdsIds = all.some(({ form }) => form === "bin");
  const tokenizer = wishes.tokenizer ?? (holdsIds ? besideOf(all[0]!) : undefined);
  const column = hasColumns ? (wishes.column ?? DEFAULT_COLUMN) : undefined;
  const content = ({ path: file, form, source }: DataFile): unknown => [hashes.get(file), form, source];
  // What is trained on and what is kept are told apart: the same files in other roles have other shards.
  const contents = [found.train.map(content), found.validation.map(content), column];
  const text = sha256(JSON.stringify([...contents, weights]));
  const vocabulary = tokenizer
    ? sha256(formatTokenizer(tokenizer) + (tokenizer.definition.endToken ?? ""))
    : vocabularySize;
  const name = nameOf(sources);
  const place = (what: string, ...keys: readonly unknown[]): string =>
    path.join(cacheFolder, `${name}-${what}-${sha256(JSON.stringify([version, vocabulary, ...keys])).slice(0, 12)}`);
  const folder = place(String(tokenizer?.vocabularySize ?? vocabularySize), text, seed, validationShare);

  const kept = openKept(folder, text, onProgress);
  if (!kept) {
    const made = tokenizer ?? (await trainOnSample(found.train, column, vocabularySize, onProgress));
    const shardsIn = place("tokens", ...contents);
    const parts = holdsIds
      ? partsOfIds(found, made, hashes, onProgress)
      : await tokenize(found, made, column ?? DEFAULT_COLUMN, shardsIn, known, onProgress);
    ensureWritableFolder(folder);
    sweepLeftovers(folder, Object.values(storedNames));
    writeTokenizer(path.join(folder, storedNames.tokenizer), made);
    const origin = { text, tokenizer: sha256(readText(path.join(folder, storedNames.tokenizer), MOST_OF_TOKENIZER)) };
    const split = splitOff(parts, made, seed, validationShare);
    writeStoredData(folder, {
      format: "birkhoff data 1",
      origin,
      documents: parts.documents,
      files: parts.files,
      ...given({ weights: weights && [...weights] }),
      ...split,
    });
  }
  const opened = kept ?? openStoredData(folder, { text });
  const { tokenizer: used, train, validation, stored } = opened;
  return {
    ...opened,
    summary: {
      corpus: name,
      documents: stored.documents,
      validationDocuments: 0,
      splitRule: stored.validationRule,
      vocabularySize: used.vocabularySize,
      trainBytes: train.bytes,
      trainTokens: train.length,
      validationBytes: validation.bytes,
      validationTokens: validation.length,
      validationBytesPerToken: validation.bytes / Math.max(1, validation.length),
      reused: kept !== undefined,
      folder,
      notes: found.notes,
    },
  };
}

const nameOf = ([first = "", ...others]: readonly string[]): string => {
  const base = path.basename(path.resolve(first)).replace(/\.[^.]*$/, "");
  return `${base || "data"}${others.length > 0 ? `-and-${others.length}` : ""}`.replace(/[^\p{L}\p{N}._-]+/gu, "-");
};

function openKept(folder: string, text: string, onProgress: OnProgress): ReturnType<typeof openStoredData> | undefined {
  if (!isStoredData(folder)) return undefined;
  try {
    return openStoredData(folder, { text });
  } catch (error) {
    onProgress({ stage: "tokens", share: 0, message: `making the tokens anew, for ${reason(error)}` });
    return undefined;
  }
}

/** Says something from time to time. */
function now(): (say: () => void) => void {
  let said = performance.now();
  return (say) => {
    if (performance.now() - said < SAID_EVERY_MS) return;
    said = performance.now();
    say();
  };
}

function hashAll(files: readonly DataFile[], known: KnownFiles, onProgress: OnProgress): ReadonlyMap<string, string> {
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const sometimes = now();
  let done = 0;
  const hashes = new Map<string, string>();
  for (const { path: file } of files) {
    const hash = known.hashOf(file, (more) => {
      done += more;
      const message = `checking the files: ${showBytes(done)} of ${showBytes(bytes)}`;
      sometimes(() => onProgress({ stage: "corpus", share: done / Math.max(1, bytes), message }));
    });
    hashes.set(file, hash);
  }
  return hashes;
}

/** The tokenizer beside a file of ids. */
function besideOf({ path: file }: DataFile): Tokenizer {
  const beside = path.join(path.dirname(file), "tokenizer.json");
  if (fs.existsSync(beside)) return readTokenizer(beside);
  throw new Error(
    `${file} holds token ids, and there is no tokenizer.json beside it: put the tokenizer that it was made with there, or name it with --tokenizer (GPT-2's is the file tokenizer.json of openai-community/gpt2 on Hugging Face)`,
  );
}

async function trainOnSample(
  files: readonly DataFile[],
  column: string | undefined,
  vocabularySize: number,
  onProgress: OnProgress,
): Promise<Tokenizer> {
  const texts: string[] = [];
  for (const file of files) {
    let left = SAMPLE_BYTES / files.length;
    for await (const { text } of documentsOf(file, column ?? DEFAULT_COLUMN)) {
      texts.push(text);
      left -= Buffer.byteLength(text);
      if (left <= 0) break;
    }
  }
  if (texts.length === 0) throw empty(files);
  const tokenizer = trainTokenizer(texts, {
    vocabularySize,
    onProgress: (share) => onProgress({ stage: "tokenizer", share, message: "training the tokenizer" }),
  });
  const message = `${showMany(tokenizer.vocabularySize, "token")} in the vocabulary`;
  onProgress({ stage: "tokenizer", share: 1, message });
  return tokenizer;
}

const empty = (files: readonly DataFile[]): Error =>
  new Error(
    `${files.length === 1 ? files[0]!.path : showMany(files.length, "file")} ${files.length === 1 ? "holds" : "hold"} no text: give files with documents in them, or choose another column (--column)`,
  );

interface MadeParts {
  readonly train: readonly SourcePart[];
  readonly validation: readonly SourcePart[];
  /** Of text, that all training tokens stand for, before validation is split off. */
  readonly trainBytes: number;
  readonly validationBytes: number;
  readonly documents: number;
  readonly files: StoredData["files"];
}

function partsOfIds(
  { train, validation }: DataFiles,
  { vocabularySize, byteLengths }: Tokenizer,
  hashes: ReadonlyMap<string, string>,
  onProgress: OnProgress,
): MadeParts {
  const partOf = (file: DataFile): SourcePart => ({ ...binPart(file.path, vocabularySize), source: file.source });
  const [trained, kept] = [train.map(partOf), validation.map(partOf)];
  const all = [...trained, ...kept].reduce((sum, { length }) => sum + length, 0);
  const sometimes = now();
  let done = 0;
  const bytesOf = (parts: readonly SourcePart[]): number =>
    bytesOfParts(parts, byteLengths, (more) => {
      done += more;
      const message = `checking the ids: ${showCount(done)} of ${showCount(all)}`;
      sometimes(() => onProgress({ stage: "tokens", share: done / all, message }));
    });
  const [trainBytes, validationBytes] = [bytesOf(trained), bytesOf(kept)];
  const files = [...train, ...validation].map(({ path: file }) => ({ path: file, sha256: hashes.get(file)! }));
  return { train: trained, validation: kept, trainBytes, validationBytes, documents: 0, files };
}

async function tokenize(
  { train, validation }: DataFiles,
  tokenizer: Tokenizer,
  column: string,
  folder: string,
  known: KnownFiles,
  onProgress: OnProgress,
): Promise<MadeParts> {
  const shardsOf = async (files: readonly DataFile[], name: string) => {
    const into = path.join(folder, name);
    ensureWritableFolder(into);
    const sometimes = now();
    const started = performance.now();
    const tell = (at: ShardProgress): void =>
      sometimes(() =>
        onProgress({ stage: "tokens", share: at.file / files.length, message: said(at, files, started) }),
      );
    return await makeShards({ files, column, tokenizer, folder: into, known, onProgress: tell });
  };
  onProgress({ stage: "tokens", share: 0, message: "tokenizing the text" });
  const trained = await shardsOf(train, "train");
  if (trained.shards.length === 0) throw empty(train);
  const kept = validation.length > 0 ? await shardsOf(validation, "validation") : undefined;
  if (kept?.shards.length === 0) throw empty(validation);
  const shards = [...trained.shards, ...(kept?.shards ?? [])];
  const bare = ({ path: file, width, start, length, source }: Shard): SourcePart => ({
    path: file,
    width,
    start,
    length,
    source,
  });
  return {
    train: trained.shards.map(bare),
    validation: kept?.shards.map(bare) ?? [],
    trainBytes: trained.bytes,
    validationBytes: kept?.bytes ?? 0,
    documents: trained.documents + (kept?.documents ?? 0),
    files: shards.map(({ path: file, sha256: hash }) => ({ path: file, sha256: hash })),
  };
}

function said({ bytes, bytesNow, tokens, file }: ShardProgress, files: readonly DataFile[], started: number): string {
  const rate = (1000 * bytesNow) / (performance.now() - started);
  const where = files.length > 1 ? `, file ${file + 1} of ${files.length}` : "";
  return `tokenizing: ${showBytes(bytes)} of text, ${showCount(tokens)} tokens, ${showBytes(rate)} a second${where}`;
}

/** Validation where no files are for it: blocks of the training tokens. */
function splitOff(
  { train, validation, trainBytes, validationBytes }: MadeParts,
  { byteLengths }: Tokenizer,
  seed: number,
  share: number,
): Pick<StoredData, "train" | "validation" | "validationRule"> {
  if (validation.length > 0)
    return {
      validationRule: "files of their own",
      train: { parts: [...train], bytes: trainBytes },
      validation: { parts: [...validation], bytes: validationBytes },
    };
  const length = train.reduce((sum, part) => sum + part.length, 0);
  const blocks = validationBlocks(length, seed, share);
  const kept = partsOf(train, blocks);
  const bytes = bytesOfParts(kept, byteLengths);
  return {
    validationRule: "blocks of tokens",
    train: { parts: partsOf(train, outside(blocks, length)), bytes: trainBytes - bytes },
    validation: { parts: kept, bytes },
  };
}
