// Question: how is a tokenizer stored?
//
// As Hugging Face's `tokenizer.json`. Every reader of that format can use our tokenizers, and we can use any
// byte-level BPE tokenizer of that format (tokenizer-json-read.ts).
//
// All tokens stand in `model.vocab`, the added ones too: Hugging Face's library gives an added token that it does not
// find there a number of its own, whatever its `id` says.

import { spell } from "./alphabet.ts";
import type { SplitRule, WordRule } from "./pretokenise.ts";
import type { NormalForm } from "./normal-forms.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The text of `tokenizer.json`; equal tokenizers give equal text. */
export function formatTokenizer(tokenizer: Tokenizer): string {
  const { tokens, merges, added, normalForms = [], words, ignoreMerges, postProcessor } = tokenizer.definition;
  const spelled = tokens.map((bytes) => (bytes ? spell(bytes) : undefined));
  const vocabulary = new Map(spelled.flatMap((token, id) => (token === undefined ? [] : [[token, id] as const])));
  for (const { content, id } of added) vocabulary.set(content, id);
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added.map((token) => ({
      id: token.id,
      content: token.content,
      single_word: token.singleWord ?? false,
      lstrip: token.lstrip ?? false,
      rstrip: token.rstrip ?? false,
      normalized: token.normalized ?? false,
      special: token.special,
    })),
    normalizer: formatNormalForms(normalForms),
    pre_tokenizer: formatWords(words),
    post_processor: postProcessor?.json ?? null,
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
      vocab: Object.fromEntries([...vocabulary].sort(([, a], [, b]) => a - b)),
      merges: merges.map(([left, right]) => `${spelled[left]} ${spelled[right]}`),
    },
  };
  return `${JSON.stringify(json, null, 1)}\n`;
}

function formatNormalForms(forms: readonly NormalForm[]): object | null {
  const steps = forms.map((type) => ({ type }));
  return steps.length > 1 ? { type: "Sequence", normalizers: steps } : (steps[0] ?? null);
}

const byteLevel = (addPrefixSpace: boolean, useRegex: boolean) => ({
  type: "ByteLevel",
  add_prefix_space: addPrefixSpace,
  trim_offsets: true,
  use_regex: useRegex,
});

function formatWords({ splits, prefixSpace, gpt2 }: WordRule): object {
  const last = byteLevel(prefixSpace, gpt2);
  return splits.length === 0 ? last : { type: "Sequence", pretokenizers: [...splits.map(formatSplit), last] };
}

function formatSplit(rule: SplitRule): object {
  if (rule.kind === "digits") return { type: "Digits", individual_digits: rule.individual };
  const { pattern, behavior, invert } = rule;
  return {
    type: "Split",
    pattern: "regex" in pattern ? { Regex: pattern.regex } : { String: pattern.text },
    behavior,
    invert,
  };
}
