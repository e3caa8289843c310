// Question: how does a run write a text after training?

import type { Tokenizer } from "../data/tokenizer.ts";
import type { Run } from "../runs/run.ts";

/** The prompt of the samples at the end of training. */
export const SAMPLE_PROMPT = "The people of the United States";
const SAMPLE_TOKENS = 80;

/** The length of such a sample in tokens. */
export function sampleSize(tokenizer: Tokenizer, prompt: string = SAMPLE_PROMPT): { prompt: number; tokens: number } {
  return { prompt: tokenizer.before.length + tokenizer.encode(prompt).length, tokens: SAMPLE_TOKENS };
}

/** About six lines of a terminal. */
const LONGEST_PRINTED = 480;

/** A text as one short paragraph for the terminal; bytes that are no text become "…". */
export function printedSample(text: string): string {
  const paragraph = text
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .replaceAll(/\uFFFD+/gu, "…")
    .trim();
  return paragraph.length > LONGEST_PRINTED ? `${paragraph.slice(0, LONGEST_PRINTED).trimEnd()}…` : paragraph;
}

/** Let a run write a text, save the text in the run's folder, and return it as it is printed. */
export async function writeSample(
  run: Run,
  tokenizer: Tokenizer,
  random: (index: number) => number,
  prompt: string = SAMPLE_PROMPT,
): Promise<string> {
  const ids: number[] = [];
  const tokens = run.trainer.generate([...tokenizer.before, ...tokenizer.encode(prompt)], {
    temperature: 0.8,
    topK: 40,
    maxTokens: SAMPLE_TOKENS,
    stopToken: tokenizer.endOfText,
    random,
  });
  for await (const id of tokens) ids.push(id);
  const text = tokenizer.decode(ids);
  run.folder.appendSample({ step: run.trainer.step, prompt, text });
  return printedSample(`${prompt}${text}`);
}
