// Question: which tokenizer does a `tokenizer.json` from elsewhere describe?
//
// Read are byte-level BPE tokenizers: those of GPT-2, Llama 3, Qwen, DeepSeek, SmolLM, StarCoder, GPT-NeoX and their
// like. Their normalizers are normal forms of Unicode; their pre-tokenizers are `Split`s and `Digits`, then `ByteLevel`.
// What cannot be read exactly is refused, with the field and its value. `truncation` and `padding` are passed over:
// they are about batches.

import { given } from "../basics/given.ts";
import { isObject } from "../basics/objects.ts";
import type { AddedToken } from "./added-tokens.ts";
import { unspell } from "./alphabet.ts";
import { readPostProcessor } from "./post-processor.ts";
import { splitBehaviors, type SplitRule, wordCutter, type WordRule } from "./pretokenise.ts";
import type { NormalForm } from "./normal-forms.ts";
import { Tokenizer, type TokenizerDefinition } from "./tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;
type Fail = (why: string) => never;

/**
 * Reads the text of a `tokenizer.json`.
 * @param name what to call it in an error, for example its path
 * @param roles the tokens that begin and end a text, which stand in another file
 */
export function parseTokenizer(
  text: string,
  name: string = "tokenizer.json",
  roles: Pick<TokenizerDefinition, "beginToken" | "endToken"> = {},
): Tokenizer {
  const fail = (why: string): never => {
    throw new Error(
      `${name} cannot be used: ${why}. Only byte-level BPE tokenizers can be read (docs/files.md says which)`,
    );
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
  for (const field of ["continuing_subword_prefix", "end_of_word_suffix", "dropout"]) {
    if (model[field]) fail(`"model.${field}" is ${show(model[field])}`);
  }
  if (model["byte_fallback"])
    fail('"model.byte_fallback" is set, so bytes are tokens such as <0x0A>, as in SentencePiece (Llama 2, Mistral 7B)');
  const decoder = typeOf(root["decoder"]);
  if (decoder !== "ByteLevel") fail(`its decoder is ${show(decoder)}, not ByteLevel`);

  const vocabulary = isObject(model["vocab"]) ? Object.entries(model["vocab"]) : fail('"model.vocab" is missing');
  const listed: readonly unknown[] = Array.isArray(root["added_tokens"]) ? root["added_tokens"] : [];
  // Numbers may have gaps, but each costs memory: a huge one must not fill it.
  const bound = 2 * (vocabulary.length + listed.length) + 1024;
  const isNumber = (id: unknown): id is number =>
    typeof id === "number" && Number.isInteger(id) && id >= 0 && id < bound;
  const numbered = (what: string, id: unknown): number =>
    isNumber(id)
      ? id
      : fail(`${what} has the number ${show(id)}; allowed for ${vocabulary.length} tokens: 0 to ${bound - 1}`);

  const added = readAdded(listed, numbered, fail);
  const { tokens, merges } = readModel(vocabulary, model["merges"], added, numbered, fail);
  const size = added.reduce((most, { id }) => Math.max(most, id + 1), tokens.length);
  const isToken = (id: unknown): id is number => isNumber(id) && id < size;
  const definition: TokenizerDefinition = {
    tokens,
    merges,
    added,
    normalForms: readNormalizer(root["normalizer"], fail),
    words: readPreTokenizer(root["pre_tokenizer"], fail),
    ignoreMerges: model["ignore_merges"] === true,
    ...given({ postProcessor: readPostProcessor(root["post_processor"], isToken, fail) }),
    ...roles,
  };
  try {
    return new Tokenizer(definition);
  } catch (error) {
    return fail(messageOf(error));
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const typeOf = (value: unknown): unknown => (isObject(value) ? value["type"] : undefined);
const show = (value: unknown): string => (value === undefined ? "missing" : JSON.stringify(value).slice(0, 300));

/** How deep a Sequence may lie in Sequences. */
const deepest = 8;
/** How many cuts may follow each other; released tokenizers have six at most. */
const mostSteps = 64;

/** The steps of a Sequence, also of one within another. */
function stepsOf(value: unknown, field: string, fail: Fail, depth = 0): readonly Json[] {
  if (value === null || value === undefined) return [];
  if (!isObject(value) || depth > deepest) return fail(`it has a step that is ${show(value)}`);
  if (value["type"] !== "Sequence") return [value];
  const steps: unknown = value[field];
  return Array.isArray(steps)
    ? steps.flatMap((step) => stepsOf(step, field, fail, depth + 1))
    : fail(`its Sequence lacks "${field}"`);
}

const normalForms: readonly unknown[] = ["NFC", "NFD", "NFKC", "NFKD"] satisfies NormalForm[];
const isNormalForm = (type: unknown): type is NormalForm => normalForms.includes(type);

function readNormalizer(value: unknown, fail: Fail): NormalForm[] {
  return stepsOf(value, "normalizers", fail).map(({ type }) =>
    isNormalForm(type) ? type : fail(`it has the normalizer ${show(type)}; allowed: ${normalForms.join(", ")}`),
  );
}

function readPreTokenizer(value: unknown, fail: Fail): WordRule {
  const steps = stepsOf(value, "pretokenizers", fail);
  const last = steps.at(-1);
  if (last?.["type"] !== "ByteLevel")
    return fail(`its pre_tokenizer is ${show(value)}, which does not end with ByteLevel`);
  if (steps.length > mostSteps)
    return fail(`its pre_tokenizer has ${steps.length} steps; allowed: at most ${mostSteps}`);
  return {
    splits: steps.slice(0, -1).map((step) => readSplit(step, fail)),
    prefixSpace: last["add_prefix_space"] === true,
    gpt2: last["use_regex"] !== false,
  };
}

function readSplit(step: Json, fail: Fail): SplitRule {
  if (step["type"] === "Digits") return { kind: "digits", individual: step["individual_digits"] === true };
  const unsupported = (): never =>
    fail(`its pre_tokenizer has the step ${show(step)}; allowed before ByteLevel: Split and Digits`);
  if (step["type"] !== "Split" || !isObject(step["pattern"])) return unsupported();
  const behavior = splitBehaviors.find((each) => each === step["behavior"]);
  const { Regex: regex, String: text } = step["pattern"];
  const pattern = typeof regex === "string" ? { regex } : typeof text === "string" ? { text } : unsupported();
  if (!behavior) return unsupported();
  const rule: SplitRule = { kind: "split", pattern, behavior, invert: step["invert"] === true };
  try {
    wordCutter({ splits: [rule], prefixSpace: false, gpt2: false });
  } catch (error) {
    return fail(`its pattern ${show(regex ?? text)} is not understood: ${messageOf(error)}`);
  }
  return rule;
}

/** A number that a token may have; fails for any other. */
type Numbered = (what: string, id: unknown) => number;

function readAdded(list: readonly unknown[], numbered: Numbered, fail: Fail): AddedToken[] {
  const byId = new Map<number, string>();
  const contents = new Set<string>();
  return list.flatMap((token): AddedToken[] => {
    if (!isObject(token)) return fail(`an added token is ${show(token)}`);
    const { content, special } = token;
    if (typeof content !== "string" || content === "") return fail(`an added token is ${show(token)}`);
    const id = numbered(`the added token ${show(content)}`, token["id"]);
    const other = byId.get(id);
    if (other === content) return [];
    if (other !== undefined) return fail(`the added tokens ${show(other)} and ${show(content)} have the number ${id}`);
    if (contents.has(content)) return fail(`the added token ${show(content)} has two numbers`);
    byId.set(id, content);
    contents.add(content);
    const asked = {
      normalized: token["normalized"] ?? special !== true,
      lstrip: token["lstrip"],
      rstrip: token["rstrip"],
      singleWord: token["single_word"],
    };
    const set = Object.fromEntries(Object.entries(asked).filter(([, value]) => value === true)) as Partial<AddedToken>;
    return [{ id, content, special: special === true, ...set }];
  });
}

function readModel(
  vocabulary: readonly (readonly [string, unknown])[],
  listedMerges: unknown,
  added: readonly AddedToken[],
  numbered: Numbered,
  fail: Fail,
): Pick<TokenizerDefinition, "tokens" | "merges"> {
  if (!Array.isArray(listedMerges)) return fail('"model.merges" is missing');
  const addedById = new Map(added.map((token) => [token.id, token.content]));
  const addedByContent = new Map(added.map((token) => [token.content, token.id]));
  const ids = new Map<string, number>();
  const tokens: (Uint8Array | undefined)[] = [];
  for (const [token, value] of vocabulary) {
    const id = numbered(`the token ${show(token)} of "model.vocab"`, value);
    const expected = addedByContent.get(token);
    if (expected !== undefined && expected !== id)
      return fail(`${show(token)} has the number ${expected} in "added_tokens" and ${id} in "model.vocab"`);
    const content = addedById.get(id);
    if (content !== undefined && content !== token)
      return fail(`${show(content)} in "added_tokens" and ${show(token)} in "model.vocab" have the number ${id}`);
    const bytes = unspell(token);
    if (bytes === undefined && content === undefined)
      return fail(`its token ${show(token)} is not written in the byte-level alphabet`);
    if (tokens[id]) return fail(`two tokens have the number ${id}`);
    ids.set(token, id);
    if (bytes) tokens[id] = bytes;
  }
  const merges = listedMerges.map((merge: unknown, rank) => {
    const pair: readonly unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const [left, right] = pair.map(String);
    const made = [left, right, `${left}${right}`].map((token) => ids.get(token!));
    const [leftId, rightId, merged] = made;
    if (pair.length !== 2 || leftId === undefined || rightId === undefined || merged === undefined)
      return fail(`merge ${rank} (${show(merge)}) is of or makes a token that "model.vocab" lacks`);
    if (made.some((id) => !tokens[id!]))
      return fail(`merge ${rank} (${show(merge)}) is of a token that is not written in the byte-level alphabet`);
    return [leftId, rightId, merged] as const;
  });
  return { tokens: Array.from(tokens), merges };
}
