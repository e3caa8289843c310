// Question: how is prepared data kept whose tokens lie in files of any size?
//
// A folder of the cache with `tokenizer.json` and `data.json`, which says where the tokens of each part lie: in shards
// of the cache or in the user's own .bin files. Every file is known by its SHA-256, and one that has changed is refused.

import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { writeFileAtomically } from "../../files/atomic.ts";
import { reason } from "../../files/errors.ts";
import { sha256 } from "../../files/hash.ts";
import { knownFiles } from "../../files/known-files.ts";
import { MOST_OF_TOKENIZER, readText } from "../../files/read.ts";
import type { PreparedFiles } from "../prepared-files.ts";
import { readTokenizer } from "../tokenizer-file.ts";
import type { StoredTokens, TokenOrigin } from "../tokens.ts";
import type { MixturePart } from "../window-order.ts";
import { openTokenParts, type TokenPart } from "./token-parts.ts";

export const storedNames: { readonly data: string; readonly tokenizer: string } = {
  data: "data.json",
  tokenizer: "tokenizer.json",
};

/** A part, with the argument of --data that it comes from. */
export type SourcePart = TokenPart & { readonly source: number };

/** Tokens, and the bytes of text that they stand for. */
export interface StoredPart {
  readonly bytes: number;
  readonly parts: readonly SourcePart[];
}

/** What data.json says. */
export interface StoredData {
  readonly format: "birkhoff data 1";
  readonly origin: TokenOrigin;
  readonly documents: number;
  readonly validationRule: "blocks of tokens" | "files of their own";
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
  /** Of each source; absent: all tokens alike. */
  readonly weights?: readonly number[];
  readonly train: StoredPart;
  readonly validation: StoredPart;
}

const count = z.number().int().min(0);
const tokensSchema = z.strictObject({
  bytes: count,
  parts: z.array(
    z.strictObject({
      path: z.string(),
      width: z.enum(["U16", "U32"]),
      start: count,
      length: count.min(1),
      source: count,
    }),
  ),
});
const storedSchema: z.ZodType<StoredData> = z.strictObject({
  format: z.literal("birkhoff data 1"),
  origin: z.strictObject({ text: z.string(), tokenizer: z.string() }),
  documents: count,
  validationRule: z.enum(["blocks of tokens", "files of their own"]),
  files: z.array(z.strictObject({ path: z.string(), sha256: z.string() })),
  weights: z.array(z.number().positive()).exactOptional(),
  train: tokensSchema,
  validation: tokensSchema,
});

export const isStoredData = (folder: string): boolean => fs.existsSync(path.join(folder, storedNames.data));

export function writeStoredData(folder: string, data: StoredData): void {
  writeFileAtomically(path.join(folder, storedNames.data), `${JSON.stringify(data, undefined, 1)}\n`);
}

/**
 * Open a folder of prepared data.
 *
 * @throws Error when a file of it is missing, damaged or another than it was
 */
export function openStoredData(
  folder: string,
  expected: Partial<TokenOrigin> = {},
): PreparedFiles & { readonly stored: StoredData } {
  const stored = readStoredData(folder);
  const file = path.join(folder, storedNames.tokenizer);
  const tokenizer = readTokenizer(file);
  const is = { text: stored.origin.text, tokenizer: sha256(readText(file, MOST_OF_TOKENIZER)) };
  const wanted = { ...stored.origin, ...expected };
  for (const part of ["text", "tokenizer"] as const)
    if (is[part] !== wanted[part])
      throw new Error(`${folder} was made from another ${part}: delete it, it will be made again`);
  const known = knownFiles(path.dirname(path.resolve(folder)));
  for (const each of stored.files)
    if (hashOf(known, each.path) !== each.sha256)
      throw new Error(`${each.path} has changed since its tokens were prepared: put the old file back, or start anew`);
  const opened: StoredTokens[] = [];
  const close = (): void => opened.forEach((tokens) => tokens.close());
  const open = (part: "train" | "validation"): StoredTokens => {
    const { bytes, parts } = stored[part];
    const checksum = sha256(
      JSON.stringify([part, stored.origin, stored.files.map((each) => each.sha256), placesOf(parts)]),
    );
    const facts = { vocabularySize: tokenizer.vocabularySize, bytes, origin: stored.origin, checksum };
    const tokens = openTokenParts(parts, facts);
    opened.push(tokens);
    return tokens;
  };
  try {
    return {
      tokenizer,
      train: open("train"),
      validation: open("validation"),
      mixture: mixtureOf(stored),
      folder,
      close,
      stored,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Where parts lie, without the folders that hold them. */
const placesOf = (parts: readonly SourcePart[]): unknown =>
  parts.map(({ path: file, width, start, length }) => [path.basename(file), width, start, length]);

function hashOf(known: ReturnType<typeof knownFiles>, file: string): string {
  try {
    return known.hashOf(file);
  } catch (error) {
    throw new Error(`cannot read the tokens ${file}: ${reason(error)}. Put the file back, or prepare the data anew`, {
      cause: error,
    });
  }
}

function readStoredData(folder: string): StoredData {
  const file = path.join(folder, storedNames.data);
  try {
    return storedSchema.parse(JSON.parse(readText(file, MOST_OF_TOKENIZER)));
  } catch (error) {
    throw new Error(`${file} is damaged (${reason(error)}): delete it, it will be made again`, { cause: error });
  }
}

/** Each source with its weight; without weights all tokens are alike. */
function mixtureOf({ train, weights }: StoredData): readonly MixturePart[] {
  const tokensOf = (source?: number): number =>
    train.parts.reduce((sum, part) => sum + (source === undefined || part.source === source ? part.length : 0), 0);
  return weights
    ? weights.map((weight, source) => ({ tokens: tokensOf(source), weight }))
    : [{ tokens: tokensOf(), weight: 1 }];
}
