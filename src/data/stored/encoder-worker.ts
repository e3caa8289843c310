// Question: what does a thread of encoders.ts do? It encodes what it is sent, and sends the ids back.

import { parentPort, workerData } from "node:worker_threads";
import { parseTokenizer } from "../tokenizer-json-read.ts";
import type { TokenRoles } from "../tokenizer-roles.ts";
import type { TextPiece } from "./documents.ts";
import { type EncodedPieces, encodePieces } from "./encode-pieces.ts";
import type { TokenWidth } from "./token-parts.ts";

/** What an encoder is made of. */
export interface EncoderData {
  /** The text of a tokenizer.json. */
  readonly tokenizer: string;
  readonly roles: TokenRoles;
  readonly width: TokenWidth;
}

/** What it answers. */
export type EncoderAnswer = { readonly encoded: EncodedPieces } | { readonly error: string };

const { tokenizer: text, roles, width } = workerData as EncoderData;
const tokenizer = parseTokenizer(text, "tokenizer.json", roles);

const answer = (pieces: readonly TextPiece[]): EncoderAnswer => {
  try {
    return { encoded: encodePieces(tokenizer, pieces, width) };
  } catch (error) {
    return { error: (error as Error).message };
  }
};

parentPort!.on("message", (pieces: readonly TextPiece[]) => {
  const said = answer(pieces);
  parentPort!.postMessage(said, "encoded" in said ? [said.encoded.raw.buffer] : []);
});
