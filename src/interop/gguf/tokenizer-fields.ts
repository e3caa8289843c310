// Question: how is a tokenizer written in the fields of a GGUF file?
//
// As its tokens, their kinds, its merges, and the name of one of the ways of cutting a text that llama.cpp knows. A
// tokenizer that cuts otherwise would get other tokens there, so it is refused. Normal forms have no field, and whether
// a word that is a token is taken whole, before any merge, goes with the name: only llama-bpe does so.
//
// Source: https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp

import { spell } from "../../data/alphabet.ts";
import type { WordRule } from "../../data/pretokenise.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { given } from "../../basics/given.ts";
import type { GgufValue } from "./gguf-file.ts";

/** The kinds of tokens. */
const kinds = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

const contractions = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const words = (digits: string): string =>
  String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const cut = (...splits: WordRule["splits"]): WordRule => ({ splits, prefixSpace: false, gpt2: false });
const isolated = (regex: string): WordRule["splits"][number] => ({
  kind: "split",
  pattern: { regex },
  behavior: "Isolated",
  invert: false,
});

/** The ways of cutting that have a name there. */
const cuts: Readonly<Record<string, WordRule>> = {
  "gpt-2": { splits: [], prefixSpace: false, gpt2: true },
  smollm: { splits: [{ kind: "digits", individual: true }], prefixSpace: false, gpt2: true },
  "llama-bpe": cut(isolated(words(String.raw`\p{N}{1,3}`))),
  qwen2: cut(isolated(words(String.raw`\p{N}`))),
  "deepseek-v3": cut(
    isolated(String.raw`\p{N}{1,3}`),
    isolated("[一-龥぀-ゟ゠-ヿ]+"),
    isolated(
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
  ),
};

/** A rule as text; released files have the ends of lines in their patterns as they are, or written out. */
const signature = (rule: WordRule): string =>
  JSON.stringify(rule, (_, value: unknown) =>
    typeof value === "string" ? value.replaceAll("\r", "\\r").replaceAll("\n", "\\n") : value,
  );

/**
 * @param onWarning hears what llama.cpp does otherwise
 * @throws Error when the tokenizer cuts texts in a way that has no name there
 */
export function tokenizerFields(
  tokenizer: Tokenizer,
  onWarning?: (message: string) => void,
): Readonly<Record<string, GgufValue>> {
  const { tokens, merges, added, words: rule, normalForms = [], ignoreMerges } = tokenizer.definition;
  const wanted = signature(rule);
  const name = Object.keys(cuts).find((each) => signature(cuts[each]!) === wanted);
  if (name === undefined)
    throw new Error(
      `gguf: the tokenizer cuts texts by ${wanted.slice(0, 200)}, for which GGUF has no name; allowed are the ways of ${Object.keys(cuts).join(", ")}. Export it as hf or onnx, whose files hold the rules themselves`,
    );
  if (normalForms.length > 0)
    onWarning?.(
      `llama.cpp does not bring texts into the normal form ${normalForms.join(", ")} first, as this tokenizer does`,
    );
  if (ignoreMerges !== (name === "llama-bpe"))
    onWarning?.(
      ignoreMerges
        ? `llama.cpp makes every word of merges; this tokenizer takes a word that is a token whole`
        : `llama.cpp takes a word that is a token whole; this tokenizer makes every word of merges`,
    );
  const addedById = new Map(added.map((token) => [token.id, token]));
  const spelled = Array.from({ length: tokenizer.vocabularySize }, (_, id) => {
    const token = addedById.get(id);
    if (token) return { text: token.content, kind: token.special ? kinds.control : kinds.userDefined };
    const bytes = tokens[id];
    return bytes ? { text: spell(bytes), kind: kinds.normal } : { text: `[PAD${id}]`, kind: kinds.unused };
  });
  const { begin, endOfText } = tokenizer;
  return {
    "tokenizer.ggml.model": { text: "gpt2" },
    "tokenizer.ggml.pre": { text: name },
    "tokenizer.ggml.tokens": { texts: spelled.map(({ text }) => text) },
    "tokenizer.ggml.token_type": { i32s: spelled.map(({ kind }) => kind) },
    "tokenizer.ggml.merges": { texts: merges.map(([a, b]) => `${spell(tokens[a]!)} ${spell(tokens[b]!)}`) },
    ...given({
      "tokenizer.ggml.bos_token_id": begin === undefined ? undefined : { u32: begin },
      "tokenizer.ggml.eos_token_id": endOfText === undefined ? undefined : { u32: endOfText },
    }),
    "tokenizer.ggml.add_bos_token": { flag: begin !== undefined && tokenizer.before.includes(begin) },
  };
}
