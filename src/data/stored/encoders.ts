// Question: how do several threads encode one stream of documents, in its order?
//
// Batches of documents go round the threads, and their ids come back in the order in which the batches went. Two
// batches a thread are on their way at a time, so that no thread waits for the one that reads; no more are in memory.

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { formatTokenizer } from "../tokenizer-json.ts";
import type { Tokenizer } from "../tokenizer.ts";
import type { TextPiece } from "./documents.ts";
import { type EncodedPieces, encodePieces } from "./encode-pieces.ts";
import type { EncoderAnswer, EncoderData } from "./encoder-worker.ts";
import type { TokenWidth } from "./token-parts.ts";

/** What encodes batches of documents; `close` it when done. */
export interface Encoders {
  /** How many batches may wait for their ids at a time. */
  readonly ahead: number;
  encode(pieces: readonly TextPiece[]): Promise<EncodedPieces>;
  /** Whether a thread has ended, after which nothing more is encoded. */
  readonly ended: boolean;
  close(): void;
}

const MOST_THREADS = 16;

/** So many threads encode, as a rule: one is left to read. */
export const encoderThreads = (): number => Math.max(1, Math.min(MOST_THREADS, availableParallelism() - 1));

/** @param threads 0: the calling thread encodes itself, for texts that are not worth the start of another */
export function startEncoders(tokenizer: Tokenizer, width: TokenWidth, threads: number): Encoders {
  if (threads === 0)
    return { ahead: 1, encode: async (pieces) => encodePieces(tokenizer, pieces, width), ended: false, close() {} };
  const { beginToken, endToken } = tokenizer.definition;
  const workerData: EncoderData = {
    tokenizer: formatTokenizer(tokenizer),
    roles: { ...(beginToken === undefined ? {} : { beginToken }), ...(endToken === undefined ? {} : { endToken }) },
    width,
  };
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const url = new URL(`./encoder-worker.${extension}`, import.meta.url);
  let failed: Error | undefined;
  const encoders = Array.from({ length: threads }, () => {
    const worker = new Worker(url, { workerData });
    const waiting: { resolve(encoded: EncodedPieces): void; reject(error: Error): void }[] = [];
    const fail = (error: Error): void => {
      failed ??= error;
      for (const { reject } of waiting.splice(0)) reject(error);
    };
    worker.on("message", (answer: EncoderAnswer) => {
      const { resolve, reject } = waiting.shift()!;
      if ("encoded" in answer) resolve(answer.encoded);
      else reject(new Error(answer.error));
    });
    worker.on("error", fail);
    worker.on("exit", (code) => fail(new Error(`a thread that tokenizes has ended with code ${code}`)));
    worker.unref();
    return { worker, waiting, fail };
  });
  let next = 0;
  return {
    ahead: 2 * threads,
    get ended() {
      return failed !== undefined;
    },
    encode(pieces) {
      if (failed) return Promise.reject(failed);
      const { worker, waiting } = encoders[next++ % threads]!;
      return new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        worker.ref();
        worker.postMessage(pieces);
      });
    },
    close() {
      for (const { worker, fail } of encoders) {
        worker.removeAllListeners();
        fail(new Error("a thread that tokenizes was closed"));
        void worker.terminate();
      }
    },
  };
}

/** Calls a function on each batch and gives the results in the order of the batches, with `ahead` under way. */
export async function* inOrder<T, R>(
  batches: AsyncIterable<T>,
  ahead: number,
  run: (batch: T) => Promise<R>,
): AsyncGenerator<{ readonly batch: T; readonly result: R }, void, undefined> {
  const queue: { batch: T; result: Promise<R> }[] = [];
  const settle = async ({ batch, result }: { batch: T; result: Promise<R> }) => ({ batch, result: await result });
  for await (const batch of batches) {
    const result = run(batch);
    // It is heard when its turn comes.
    result.catch(() => {});
    queue.push({ batch, result });
    if (queue.length >= ahead) yield await settle(queue.shift()!);
  }
  for (const next of queue) yield await settle(next);
}
