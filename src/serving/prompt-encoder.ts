// Question: how do prompts become tokens without holding up the texts of others?
//
// Texts are written between the ticks of one thread. Short prompts become tokens there, in less than a millisecond; a
// thread of its own, started for the first of them, takes the long ones.

import { type Encoders, startEncoders } from "../data/stored/encoders.ts";
import type { Tokenizer } from "../data/tokenizer.ts";

export interface PromptEncoder {
  /** The tokens of each text, as the tokenizer's `encode` gives them. */
  encode(texts: readonly string[]): Promise<readonly (readonly number[])[]>;
  /** End the thread; a later `encode` starts another. */
  close(): void;
}

/** UTF-16 units of texts that become tokens at once. */
const SHORT = 4096;

export function createPromptEncoder(tokenizer: Tokenizer): PromptEncoder {
  let thread: Encoders | undefined;
  const close = (): void => {
    thread?.close();
    thread = undefined;
  };
  const encodeLong = async (text: string): Promise<number[]> => {
    const used = (thread ??= startEncoders(tokenizer, "U32", 1));
    try {
      const { raw } = await used.encode([{ text, ends: false }]);
      return [...new Uint32Array(raw.buffer)];
    } catch (error) {
      // A thread that ended is not asked again.
      if (used.ended && thread === used) close();
      throw error;
    }
  };
  return {
    encode(texts) {
      const short = texts.reduce((sum, { length }) => sum + length, 0) <= SHORT;
      return Promise.all(texts.map(async (text) => (short ? [...tokenizer.encode(text)] : encodeLong(text))));
    },
    close,
  };
}
