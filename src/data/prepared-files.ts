// Question: what is there of a text once it is prepared?

import type { ChosenTask } from "./generated/table.ts";
import type { Split } from "./split.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { StoredTokens } from "./tokens.ts";
import type { MixturePart } from "./window-order.ts";

/** Progress of the preparation. */
export interface PrepareProgress {
  readonly stage: "corpus" | "tokenizer" | "tokens";
  /** From 0 to 1 within the stage. */
  readonly share: number;
  /** A message for people. */
  readonly message: string;
}

/** What was prepared, in numbers. */
export interface DataSummary {
  readonly corpus: string;
  readonly documents: number;
  readonly validationDocuments: number;
  /** How validation was chosen; of files of data see src/data/validation-blocks.ts. */
  readonly splitRule: Split["rule"] | "blocks of tokens" | "files of their own";
  readonly vocabularySize: number;
  readonly trainBytes: number;
  readonly trainTokens: number;
  readonly validationBytes: number;
  readonly validationTokens: number;
  /** Bytes per token of the validation text: divides a loss in nats a token into nats a byte. */
  readonly validationBytesPerToken: number;
  /** Whether the files existed already. */
  readonly reused: boolean;
  readonly folder: string;
  /** Links to folders that were followed, and what was left out of a folder; a line each. */
  readonly notes: readonly string[];
}

/** Open token files with their tokenizer; `close` them when done. */
export interface PreparedFiles {
  readonly tokenizer: Tokenizer;
  readonly train: StoredTokens;
  readonly validation: StoredTokens;
  /** Of data that is not held in memory: its folder, from which a thread can read ahead. */
  readonly folder?: string;
  /** The parts of the training tokens and their weights, where they are to be read shuffled: every window once an epoch. */
  readonly mixture?: readonly MixturePart[];
  /** Of generated tasks: which ones. Batches are made by their generators, and the tokens here are a sample. */
  readonly generated?: readonly ChosenTask[];
  readonly close: () => void;
}

/** Open token files, their tokenizer, and where they came from. */
export interface PreparedData extends PreparedFiles {
  readonly summary: DataSummary;
}
