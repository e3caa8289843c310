// Question: how does a run write a text, while it trains and afterwards?
//
// The text is drawn with random numbers of its own, a function of the run's seed, and nothing of the training is
// touched: a run that writes has the bits of one that does not. A step's text is the same whoever asks for it, and the
// run's folder keeps it once.

import type { PreparedFiles } from "../data/prepared-files.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { samplingRandom } from "../data/random.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { Trainer } from "../training/trainer.ts";
import type { RunFolder } from "./run-folder.ts";
import type { Sample } from "./samples.ts";

const PROMPT_TOKENS = 32;
const PROMPT_WORDS = 5;

/** The prompt of a run's samples: the first words of its validation text that are whole and on one line. */
export function samplePrompt({ tokenizer, validation }: Pick<PreparedFiles, "tokenizer" | "validation">): string {
  const first = new Int32Array(Math.min(PROMPT_TOKENS, validation.length));
  validation.read(0, first.length, first);
  const start = Math.max(
    0,
    first.findIndex((id) => id !== tokenizer.endOfText),
  );
  const end = first.findIndex((id, at) => at > start && id === tokenizer.endOfText);
  const text = tokenizer.decode([...first.subarray(start, end < 0 ? undefined : end)]);
  const line = text.split("\n").find((each) => /\S/u.test(each)) ?? "";
  const words = line.trim().split(/\s+/u);
  // The text may begin within a word, and what was read of it ends within one.
  if (words.length > 1 && /^\p{Ll}/u.test(line)) words.shift();
  if (words.length > 1 && text.endsWith(line)) words.pop();
  return words.slice(0, PROMPT_WORDS).join(" ").replaceAll("\uFFFD", "") || "The";
}

const SAMPLE_TOKENS = 80;
/** The length of a sample in tokens, at most. */
export const largestSample: { readonly prompt: number; readonly tokens: number } = {
  prompt: PROMPT_TOKENS,
  tokens: SAMPLE_TOKENS,
};
/** After so many tokens the process hears of signals. */
const LISTEN = 8;

/** What writes a sample, and where it is kept. */
export interface Writer {
  readonly config: Pick<TrainingConfig, "seed">;
  readonly trainer: Pick<Trainer, "generate" | "step">;
  readonly folder: Pick<RunFolder, "appendSample">;
}

/**
 * Let a run write a text with the parameters that it has now, and save the text in its folder.
 *
 * @returns undefined, and nothing is saved, where the signal was aborted meanwhile
 */
export async function writeSample(
  { config, trainer, folder }: Writer,
  tokenizer: Tokenizer,
  prompt: string,
  signal?: AbortSignal,
): Promise<Sample | undefined> {
  const { step } = trainer;
  const ids: number[] = [];
  const tokens = trainer.generate([...tokenizer.before, ...tokenizer.encode(prompt)], {
    temperature: 0.8,
    topK: 40,
    maxTokens: SAMPLE_TOKENS,
    stopToken: tokenizer.endOfText,
    random: samplingRandom(config.seed),
  });
  for await (const id of tokens) {
    ids.push(id);
    if (signal && ids.length % LISTEN === 0) await new Promise((resolve) => setImmediate(resolve));
    if (signal?.aborted) return undefined;
  }
  const sample = { step, prompt, text: tokenizer.decode(ids) };
  folder.appendSample(sample);
  return sample;
}
