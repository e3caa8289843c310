// Question: how is a tokenizer read from its files and written to them?

import fs from "node:fs";
import { writeAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { MOST_OF_TOKENIZER, readText } from "../files/read.ts";
import { formatTokenizer } from "./tokenizer-json.ts";
import { parseTokenizer } from "./tokenizer-json-read.ts";
import { readRoles, writeRoles } from "./tokenizer-roles.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Reads a `tokenizer.json` of a byte-level tokenizer, from this library or any other, and from a
 * `tokenizer_config.json` beside it which tokens begin and end a text.
 *
 * @throws Error when the file cannot be read or describes another kind of tokenizer
 */
export function readTokenizer(file: string): Tokenizer {
  let text: string;
  try {
    text = readText(file, MOST_OF_TOKENIZER);
  } catch (error) {
    throw new Error(`cannot read the tokenizer ${file}: ${reason(error)}`, { cause: error });
  }
  return parseTokenizer(text, file, readRoles(file));
}

/** Writes a `tokenizer.json`, and beside it which tokens begin and end a text where that is not as usual. */
export function writeTokenizer(file: string, tokenizer: Tokenizer): void {
  writeAtomically(file, (descriptor) => fs.writeFileSync(descriptor, formatTokenizer(tokenizer)));
  writeRoles(file, tokenizer.definition);
}
