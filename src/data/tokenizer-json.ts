// Question: how is a tokenizer stored?
//
// As Hugging Face's `tokenizer.json`. Every reader of that format can use our tokenizers, and we can use any
// byte-level BPE tokenizer of that format: GPT-2's layout (`ByteLevel`) and that of Llama 3 and Qwen
// (`Split` by a regular expression, then `ByteLevel`).
//
// The post-processor is not read: it adds tokens around a text, which is the caller's task.

import { isObject } from "../basics/objects.ts";
import { spell, unspell } from "./alphabet.ts";
import { wordPattern, type WordRule } from "./pretokenise.ts";
import { Tokenizer, type AddedToken, type TokenizerDefinition } from "./tokenizer.ts";

/** The text of `tokenizer.json`; equal tokenizers give equal text. */
export function formatTokenizer(tokenizer: Tokenizer): string {
  const { tokens, merges, added, words, addPrefixSpace, ignoreMerges } = tokenizer.definition;
  const spelled = tokens.map((bytes) => (bytes ? spell(bytes) : undefined));
  const vocabulary = spelled.flatMap((token, id) => (token === undefined ? [] : [[token, id] as const]));
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added.map(({ id, content, special }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special,
    })),
    normalizer: null,
    pre_tokenizer: formatWords(words, addPrefixSpace),
    post_processor: null,
    decoder: byteLevel(false, true),
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      vocab: Object.fromEntries(vocabulary),
      merges: merges.map(([left, right]) => `${spelled[left]} ${spelled[right]}`),
    },
  };
  return `${JSON.stringify(json, null, 1)}\n`;
}

const byteLevel = (addPrefixSpace: boolean, useRegex: boolean) => ({
  type: "ByteLevel",
  add_prefix_space: addPrefixSpace,
  trim_offsets: true,
  use_regex: useRegex,
});

function formatWords(words: WordRule, addPrefixSpace: boolean): object {
  if (typeof words === "string") return byteLevel(addPrefixSpace, words === "gpt2");
  const split = { type: "Split", pattern: { Regex: words.regex }, behavior: "Isolated", invert: false };
  return { type: "Sequence", pretokenizers: [split, byteLevel(false, false)] };
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads the text of a `tokenizer.json`.
 * @param name what to call it in an error, for example its path
 */
export function parseTokenizer(text: string, name: string = "tokenizer.json"): Tokenizer {
  const fail = (why: string): never => {
    throw new Error(`${name} cannot be used: ${why}. Only byte-level BPE tokenizers can be read`);
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return fail(`it is not JSON (${messageOf(error)})`);
  }
  const root = isObject(json) ? json : fail("it is not a JSON object");
  const model = isObject(root["model"]) ? root["model"] : fail('it has no "model"');

  if (model["type"] !== undefined && model["type"] !== "BPE") fail(`its model is ${show(model["type"])}, not BPE`);
  for (const field of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[field]) fail(`"model.${field}" is ${show(model[field])}`);
  }
  if (model["byte_fallback"]) fail('"model.byte_fallback" is set, so bytes are tokens such as <0x0A>');
  if (root["normalizer"]) fail(`it has a normalizer (${show(typeOf(root["normalizer"]))})`);
  if (typeOf(root["decoder"]) !== "ByteLevel") fail(`its decoder is ${show(typeOf(root["decoder"]))}, not ByteLevel`);

  const added = readAdded(root["added_tokens"], fail);
  const { tokens, merges } = readModel(model, new Set(added.map(({ id }) => id)), fail);
  const definition: TokenizerDefinition = {
    tokens,
    merges,
    added,
    ...readPreTokenizer(root["pre_tokenizer"], fail),
    ignoreMerges: model["ignore_merges"] === true,
  };
  try {
    return new Tokenizer(definition);
  } catch (error) {
    return fail(messageOf(error));
  }
}

type Fail = (why: string) => never;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const typeOf = (value: unknown): unknown => (isObject(value) ? value["type"] : undefined);
const show = (value: unknown): string => (value === undefined ? "missing" : JSON.stringify(value));

function readPreTokenizer(value: unknown, fail: Fail): Pick<TokenizerDefinition, "words" | "addPrefixSpace"> {
  const unsupported = (): never => fail(`its pre_tokenizer is ${show(value).slice(0, 300)}`);
  const steps = isObject(value) && value["type"] === "Sequence" ? value["pretokenizers"] : [value];
  if (!Array.isArray(steps) || steps.length > 2) return unsupported();
  const byteLevel: unknown = steps.at(-1);
  if (!isObject(byteLevel) || byteLevel["type"] !== "ByteLevel") return unsupported();
  const addPrefixSpace = byteLevel["add_prefix_space"] === true;
  const useRegex = byteLevel["use_regex"] !== false;
  if (steps.length === 1) return { words: useRegex ? "gpt2" : "none", addPrefixSpace };

  const split: unknown = steps[0];
  if (!isObject(split) || split["type"] !== "Split" || useRegex || addPrefixSpace) return unsupported();
  if (split["behavior"] !== "Isolated" || split["invert"] === true) return unsupported();
  const regex = isObject(split["pattern"]) ? split["pattern"]["Regex"] : undefined;
  if (typeof regex !== "string") return unsupported();
  const words = { regex };
  try {
    wordPattern(words);
  } catch {
    return fail(`this version of JavaScript does not understand its pattern ${show(regex)}`);
  }
  if (new RegExp(`^(?:${regex})$`, "u").test("")) return fail(`its pattern ${show(regex)} matches the empty word`);
  return { words, addPrefixSpace };
}

function readAdded(value: unknown, fail: Fail): AddedToken[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [];
  return list.map((token): AddedToken => {
    if (!isObject(token)) return fail(`an added token is ${show(token)}`);
    const { id, content, special } = token;
    if (!isId(id) || typeof content !== "string" || content === "") return fail(`an added token is ${show(token)}`);
    for (const field of ["single_word", "lstrip", "rstrip"]) {
      if (token[field] === true) fail(`the added token ${show(content)} has "${field}"`);
    }
    return { id, content, special: special === true };
  });
}

const isId = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 22;

function readModel(
  model: Json,
  addedIds: ReadonlySet<number>,
  fail: Fail,
): Pick<TokenizerDefinition, "tokens" | "merges"> {
  if (!isObject(model["vocab"])) return fail('"model.vocab" is missing');
  if (!Array.isArray(model["merges"])) return fail('"model.merges" is missing');

  const ids = new Map<string, number>();
  const tokens: (Uint8Array | undefined)[] = [];
  for (const [token, id] of Object.entries(model["vocab"])) {
    if (!isId(id)) return fail(`"model.vocab" gives ${show(token)} the number ${show(id)}`);
    ids.set(token, id);
    if (addedIds.has(id)) continue;
    const bytes = unspell(token);
    if (bytes === undefined) return fail(`its token ${show(token)} is not written in the byte-level alphabet`);
    if (tokens[id]) return fail(`two tokens have the number ${id}`);
    tokens[id] = bytes;
  }
  const merges = model["merges"].map((merge: unknown, rank) => {
    const pair: readonly unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const [left, right] = pair.map(String);
    const [leftId, rightId, merged] = [ids.get(left!), ids.get(right!), ids.get(`${left}${right}`)];
    if (leftId === undefined || rightId === undefined || merged === undefined) {
      return fail(`merge ${rank} (${show(merge)}) is of or makes a token that "model.vocab" lacks`);
    }
    return [leftId, rightId, merged] as const;
  });
  return { tokens: Array.from(tokens), merges };
}
