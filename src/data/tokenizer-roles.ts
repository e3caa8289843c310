// Question: which tokens begin and end a text?
//
// `tokenizer.json` does not say. Hugging Face's tools keep it beside that, in `tokenizer_config.json` (`bos_token`,
// `eos_token`); so do imported runs. Our own tokenizers need no such file: `<|endoftext|>` ends a text, and no token
// begins one.

import fs from "node:fs";
import path from "node:path";
import { given } from "../basics/given.ts";
import { isObject } from "../basics/objects.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import type { TokenizerDefinition } from "./tokenizer.ts";
import { readText } from "../files/read.ts";

/** The tokens with a role, by their content. */
export type TokenRoles = Pick<TokenizerDefinition, "beginToken" | "endToken">;

/** The file beside a `tokenizer.json`. */
export const rolesFileOf = (tokenizerFile: string): string =>
  path.join(path.dirname(tokenizerFile), "tokenizer_config.json");

/**
 * Read the roles that stand beside a `tokenizer.json`; none where there is no such file.
 *
 * @throws Error when the file is there and is not a JSON object
 */
export function readRoles(tokenizerFile: string): TokenRoles {
  const file = rolesFileOf(tokenizerFile);
  if (!fs.existsSync(file)) return {};
  let json: unknown;
  try {
    json = JSON.parse(readText(file));
  } catch (error) {
    throw new Error(`${file} cannot be read: ${reason(error)}. Mend it, or remove it`, { cause: error });
  }
  if (!isObject(json)) throw new Error(`${file} is not a JSON object. Mend it, or remove it`);
  return given({ beginToken: contentOf(json["bos_token"]), endToken: contentOf(json["eos_token"]) });
}

/** A token is its content, or an object with it. */
function contentOf(token: unknown): string | undefined {
  const content = isObject(token) ? token["content"] : token;
  return typeof content === "string" ? content : undefined;
}

/** Write the roles beside a `tokenizer.json`, or remove what stands there where it has none. */
export function writeRoles(tokenizerFile: string, { beginToken, endToken }: TokenRoles): void {
  const file = rolesFileOf(tokenizerFile);
  if (beginToken === undefined && endToken === undefined) {
    fs.rmSync(file, { force: true });
    return;
  }
  const roles = given({ bos_token: beginToken, eos_token: endToken });
  writeFileAtomically(file, `${JSON.stringify(roles, undefined, 2)}\n`);
}
