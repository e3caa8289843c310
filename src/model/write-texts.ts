// Question: how do tokens become text while they are written?
//
// Pieces of text are passed on as soon as they are certain. The bytes of a character may come in several
// tokens, and a possible beginning of a stop string is held back until it proves not to be one.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { type Generator, samplingFields, type SamplingOptions } from "./generate.ts";

/** What `writeTexts` needs from a tokenizer. */
export interface TextCodec {
  /** The token that separates texts; it ends a text when it is drawn. */
  readonly endOfText: number | undefined;
  /** The tokens that a model expects before a text; none by default. */
  readonly before?: readonly number[];
  encode(text: string): Iterable<number>;
  createStreamDecoder(): { push(id: number): string; end(): string };
}

/** How texts are written; see `SamplingOptions`. */
export interface WritingOptions extends Omit<SamplingOptions, "stopToken"> {
  /** Each ends a text; the text stops before it. */
  readonly stop?: readonly string[];
}

const { stopToken: _, ...rules } = samplingFields;
const writingRules: FieldRules<WritingOptions> = { ...rules, stop: "list" };

/** A token and the text that it made certain; or the rest of a text, and why it ends. */
export type WrittenPiece =
  | { readonly prompt: number; readonly piece: string; readonly token: number; readonly logProbability: number }
  | { readonly prompt: number; readonly piece: string; readonly end: "stop string" | "end of text" | "length" };

/**
 * Continue prompts side by side. All pieces of a prompt joined are the text that follows it.
 *
 * @throws RangeError when a prompt is empty, or an option is out of range
 */
export async function* writeTexts(
  generator: Generator,
  codec: TextCodec,
  prompts: readonly string[],
  writing: WritingOptions,
): AsyncIterable<WrittenPiece> {
  expectFields("writeTexts", writing, writingRules);
  const { stop = [], maxTokens = 200, ...options } = writing;
  if (prompts.includes(""))
    throw new RangeError('generate: the prompt is empty; give at least one character, such as "The".');
  if (stop.includes(""))
    throw new RangeError("generate: a stop string is empty, which would end every text at once; leave it out.");
  const texts = prompts.map(() => ({ decoder: codec.createStreamDecoder(), holder: createHolder(stop), count: 0 }));
  const ended = new Set<number>();
  const written = generator.generateBatch(
    prompts.map((prompt) => [...(codec.before ?? []), ...codec.encode(prompt)]),
    { ...options, maxTokens, stopToken: codec.endOfText, ended },
  );
  for await (const { prompt, token, logProbability } of written) {
    const text = texts[prompt]!;
    text.count++;
    const { certain, stopped } = text.holder.push(text.decoder.push(token));
    yield { prompt, piece: certain, token, logProbability };
    if (!stopped) continue;
    ended.add(prompt);
    yield { prompt, piece: "", end: "stop string" };
  }
  for (const [prompt, { decoder, holder, count }] of texts.entries()) {
    if (ended.has(prompt)) continue;
    const { certain, stopped } = holder.push(decoder.end());
    const rest = stopped ? "" : holder.rest();
    yield {
      prompt,
      piece: certain + rest,
      end: stopped ? "stop string" : count < maxTokens ? "end of text" : "length",
    };
  }
}

/** Text that waits until it is certain. */
export interface StopHolder {
  push(text: string): { certain: string; stopped: boolean };
  /** What is still held back. */
  rest(): string;
}

/**
 * Passes text on up to the stop string that is complete first, the longest of several, and holds back a possible
 * beginning of one.
 */
export function createHolder(stop: readonly string[]): StopHolder {
  let held = "";
  return {
    push(text) {
      held += text;
      const contained = stop.filter((string) => held.includes(string));
      if (contained.length > 0) {
        const endOf = (string: string): number => held.indexOf(string) + string.length;
        const end = Math.min(...contained.map(endOf));
        const longest = Math.max(...contained.filter((string) => endOf(string) === end).map(({ length }) => length));
        return { certain: held.slice(0, end - longest), stopped: true };
      }
      const doubtful = Math.max(0, ...stop.map((string) => longestBeginning(held, string)));
      const certain = held.slice(0, held.length - doubtful);
      held = held.slice(certain.length);
      return { certain, stopped: false };
    },
    rest: () => held,
  };
}

/** The length of the longest end of `text` with which `string` begins, but which is not all of it. */
function longestBeginning(text: string, string: string): number {
  for (let length = Math.min(text.length, string.length - 1); length > 0; length--)
    if (text.endsWith(string.slice(0, length))) return length;
  return 0;
}
