// Question: how do documents become token ids on the disk, once, however many there are?
//
// A folder of the cache gets shards, `tokens-00000.bin` and so on: nothing but ids, uint16 or uint32, as nanoGPT
// writes them, so other programs read them too. A shard is written under a temporary name and renamed when it is
// whole; then `place.json` says how far the documents are read. What is killed goes on after its last whole shard.

import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { sweepLeftovers, syncFolder, temporaryOf, writeAll, writeFileAtomically } from "../../files/atomic.ts";
import { attempt, reason } from "../../files/errors.ts";
import { newSha256 } from "../../files/hash.ts";
import type { KnownFiles } from "../../files/known-files.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { DataFile } from "./data-files.ts";
import { documentsOf, type TextPiece } from "./documents.ts";
import { encoderThreads, inOrder, startEncoders } from "./encoders.ts";
import { type TokenPart, type TokenWidth, widthFor } from "./token-parts.ts";

/** A shard, with the argument of --data that its documents came from. */
export interface Shard extends TokenPart {
  readonly source: number;
  readonly sha256: string;
}

/** The shards of some files. */
export interface Shards {
  readonly shards: readonly Shard[];
  /** Bytes of text that the tokens stand for. */
  readonly bytes: number;
  readonly documents: number;
}

/** How far the work is. */
export interface ShardProgress {
  /** Bytes of text that are tokenized, all in all, and since this process began. */
  readonly bytes: number;
  readonly bytesNow: number;
  readonly tokens: number;
  /** The file that is read, from 0. */
  readonly file: number;
}

/** Tokens of a shard: 64 MiB of uint16. */
const SHARD_TOKENS = 2 ** 25;
/** UTF-16 units of text that a thread gets at a time. */
const BATCH = 2 ** 20;
/** Files of fewer bytes together are not worth other threads. */
const FEW_BYTES = 2 ** 23;

const count = z.number().int().min(0);
const placeSchema = z.strictObject({
  format: z.literal("birkhoff shards 1"),
  width: z.enum(["U16", "U32"]),
  /** The next piece to read. */
  file: count,
  piece: count,
  documents: count,
  shards: z.array(z.strictObject({ source: count, length: count, bytes: count, sha256: z.string() })),
});
type Place = z.infer<typeof placeSchema>;

const PLACE = "place.json";
const shardName = (index: number): string => `tokens-${String(index).padStart(5, "0")}.bin`;

/** What to tokenize, and where to. */
export interface ShardWishes {
  readonly files: readonly DataFile[];
  readonly column: string;
  readonly tokenizer: Tokenizer;
  /** It exists. What is in it was made of the same files by the same tokenizer. */
  readonly folder: string;
  readonly known: KnownFiles;
  readonly onProgress?: (progress: ShardProgress) => void;
  /** Tokens of a shard; for tests. */
  readonly shardTokens?: number;
}

/** The shards of some files; those that are there already are not made again. */
export async function makeShards(wishes: ShardWishes): Promise<Shards> {
  const { files, column, tokenizer, folder, known, onProgress = () => {}, shardTokens = SHARD_TOKENS } = wishes;
  const width = widthFor(tokenizer.vocabularySize);
  let place = readPlace(folder, width, known);
  sweepLeftovers(folder, [PLACE, ...Array.from({ length: place.shards.length + 1 }, (_, index) => shardName(index))]);
  if (place.file < files.length) {
    const left = files.slice(place.file).reduce((sum, { size }) => sum + size, 0);
    const encoders = startEncoders(tokenizer, width, left < FEW_BYTES ? 0 : encoderThreads());
    let writer: ShardWriter | undefined;
    try {
      let bytes = place.shards.reduce((sum, shard) => sum + shard.bytes, 0);
      let tokens = place.shards.reduce((sum, shard) => sum + shard.length, 0);
      let bytesNow = 0;
      let { documents } = place;
      for await (const { batch, result } of inOrder(batchesOf(files, column, place), encoders.ahead, ({ pieces }) =>
        encoders.encode(pieces),
      )) {
        const { source } = files[batch.file]!;
        writer ??= openShard(path.join(folder, shardName(place.shards.length)));
        writer.add(result.raw, result.tokens, result.bytes);
        documents += batch.pieces.filter(({ ends }) => ends).length;
        bytes += result.bytes;
        bytesNow += result.bytes;
        tokens += result.tokens;
        onProgress({ bytes, bytesNow, tokens, file: batch.file });
        // A shard belongs to one source.
        const lastOfSource = batch.lastOfFile && files[batch.file + 1]?.source !== source;
        if (writer.tokens < shardTokens && !lastOfSource) continue;
        const shard = writer.finish(known);
        writer = undefined;
        const next = batch.lastOfFile ? { file: batch.file + 1, piece: 0 } : { file: batch.file, piece: batch.next };
        place = { ...place, ...next, documents, shards: [...place.shards, ...(shard ? [{ source, ...shard }] : [])] };
        writeFileAtomically(path.join(folder, PLACE), `${JSON.stringify(place, undefined, 1)}\n`);
      }
    } finally {
      writer?.abandon();
      encoders.close();
    }
  }
  return {
    shards: place.shards.map(({ source, length, sha256 }, index) => ({
      path: path.join(path.resolve(folder), shardName(index)),
      width,
      start: 0,
      length,
      source,
      sha256,
    })),
    bytes: place.shards.reduce((sum, shard) => sum + shard.bytes, 0),
    documents: place.documents,
  };
}

/** Where the work is to go on: after the last shard that is there and whole. */
function readPlace(folder: string, width: TokenWidth, known: KnownFiles): Place {
  const beginning: Place = { format: "birkhoff shards 1", width, file: 0, piece: 0, documents: 0, shards: [] };
  try {
    const place = placeSchema.parse(JSON.parse(fs.readFileSync(path.join(folder, PLACE), "utf8")));
    const whole = place.shards.every(
      ({ sha256 }, index) => known.hashOf(path.join(folder, shardName(index))) === sha256,
    );
    return whole && place.width === width ? place : beginning;
  } catch {
    // None is there, or it is damaged: all is made again.
    return beginning;
  }
}

interface PieceBatch {
  readonly file: number;
  readonly pieces: readonly TextPiece[];
  /** The piece of the file after the last of these. */
  readonly next: number;
  readonly lastOfFile: boolean;
}

/** The documents of all files from a place on, in batches of one file each. Every file ends with a batch. */
async function* batchesOf(
  files: readonly DataFile[],
  column: string,
  from: Pick<Place, "file" | "piece">,
): AsyncGenerator<PieceBatch, void, undefined> {
  for (let file = from.file; file < files.length; file++) {
    const skipped = file === from.file ? from.piece : 0;
    let next = 0;
    let pieces: TextPiece[] = [];
    let units = 0;
    for await (const piece of documentsOf(files[file]!, column)) {
      if (++next <= skipped) continue;
      pieces.push(piece);
      units += piece.text.length;
      if (units < BATCH) continue;
      yield { file, pieces, next, lastOfFile: false };
      [pieces, units] = [[], 0];
    }
    yield { file, pieces, next, lastOfFile: true };
  }
}

interface ShardWriter {
  readonly tokens: number;
  add(raw: Uint8Array, tokens: number, bytes: number): void;
  /** Undefined where nothing was added. */
  finish(known: KnownFiles): { length: number; bytes: number; sha256: string } | undefined;
  /** Remove what is not finished. */
  abandon(): void;
}

function openShard(file: string): ShardWriter {
  const temporary = temporaryOf(file);
  const hash = newSha256();
  let [length, bytes] = [0, 0];
  const naming = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw new Error(
        `cannot write the tokens ${file}: ${reason(error)}. Free some space, or choose another folder (--cache)`,
        { cause: error },
      );
    }
  };
  fs.rmSync(temporary, { force: true });
  const descriptor = naming(() => fs.openSync(temporary, "wx"));
  return {
    get tokens() {
      return length;
    },
    add(raw, more, moreBytes) {
      naming(() => writeAll(descriptor, raw));
      hash.update(raw);
      length += more;
      bytes += moreBytes;
    },
    finish(known) {
      naming(() => fs.fsyncSync(descriptor));
      fs.closeSync(descriptor);
      if (length === 0) {
        fs.rmSync(temporary, { force: true });
        return undefined;
      }
      naming(() => fs.renameSync(temporary, file));
      syncFolder(path.dirname(file));
      const sha256 = hash.digest("hex");
      known.remember(file, sha256);
      return { length, bytes, sha256 };
    },
    abandon() {
      // It may be closed already.
      attempt(() => fs.closeSync(descriptor));
      attempt(() => fs.rmSync(temporary, { force: true }));
    },
  };
}
