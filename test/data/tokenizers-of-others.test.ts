// Question: do tokenizers of others give the ids that Hugging Face's `tokenizers` (0.23.2, the Rust library) gives?
//
// golden.json was written by that library: for each tokenizer and text the ids without the post-processor (`ids`) and
// with it (`whole`). The tokenizers are cut down to a few hundred tokens.

import fs from "node:fs";
import { describe, expect, test } from "vitest";
import { normalise } from "../../src/data/normal-forms.ts";
import { parsePattern } from "../../src/data/pattern-tree.ts";
import { forEachWord } from "../../src/data/pretokenise.ts";
import { formatTokenizer } from "../../src/data/tokenizer-json.ts";
import { parseTokenizer } from "../../src/data/tokenizer-json-read.ts";
import { trainTokenizer } from "../../src/data/tokenizer.ts";
import { categories, categoryTable, codePoints } from "../../src/data/unicode-categories.ts";

const folder = new URL("../fixtures/tokenizers/", import.meta.url);
const read = (name: string): string => fs.readFileSync(new URL(`${name}.json`, folder), "utf8");
const golden = JSON.parse(read("golden")) as Record<string, { text: string; ids: number[]; whole: number[] }[]>;

describe.each(Object.entries(golden))("%s", (name, cases) => {
  const tokenizer = parseTokenizer(read(name), name);
  const written = parseTokenizer(formatTokenizer(tokenizer), name);
  test.each(cases)("$text", ({ text, ids, whole }) => {
    for (const it of [tokenizer, written]) {
      expect([...it.encode(text)]).toEqual(ids);
      const { before = [], after = [] } = it.definition.postProcessor ?? {};
      expect([...before, ...it.encode(text), ...after]).toEqual(whole);
    }
  });

  test("every added token stands in the vocabulary that is written", () => {
    const json = JSON.parse(formatTokenizer(tokenizer)) as {
      model: { vocab: Record<string, number> };
      added_tokens: { id: number; content: string }[];
      post_processor: unknown;
    };
    for (const { id, content } of json.added_tokens) expect(json.model.vocab[content]).toBe(id);
    expect(json.post_processor).toEqual((JSON.parse(read(name)) as typeof json).post_processor);
  });
});

test("names of JavaScript are tokens like others", () => {
  const names = "__proto__ constructor toString ".repeat(50);
  const tokenizer = trainTokenizer([names], { vocabularySize: 300 });
  const again = parseTokenizer(formatTokenizer(tokenizer));
  expect([...again.encode(names)]).toEqual([...tokenizer.encode(names)]);
  expect(again.decode(again.encode(names))).toBe(names);
});

test.each([
  ["in model.vocab", (json: Numbered) => (json.model.vocab["the"] = 1e9)],
  ["in added_tokens", (json: Numbered) => (json.added_tokens[0]!.id = 2 ** 32 - 6)],
  ["beyond whole numbers", (json: Numbered) => (json.added_tokens[0]!.id = 2 ** 53)],
])("a huge number %s is refused at once", (_, change) => {
  const json = JSON.parse(read("special-first")) as Numbered;
  change(json);
  expect(() => parseTokenizer(JSON.stringify(json), "it")).toThrow(/it cannot be used: .* has the number \d+; allowed/);
});

interface Numbered {
  model: { vocab: Record<string, number> };
  added_tokens: { id: number; content?: string }[];
}

test("an expression that would try for ever ends", () => {
  const json = JSON.parse(read("llama3-style")) as { pre_tokenizer: { pretokenizers: { pattern: object }[] } };
  json.pre_tokenizer.pretokenizers[0]!.pattern = { Regex: "(a+)+b|(a|aa)+$|\\s+" };
  const tokenizer = parseTokenizer(JSON.stringify(json));
  expect(() => tokenizer.encode(`${"a".repeat(20_000)} of`)).toThrow(
    /the pattern .* took \d+ steps on a text of \d+ characters and was not done: it goes back too often/,
  );
});

test("long runs of characters beyond the first plane are words", () => {
  const text = "\u{1F600}".repeat(400_000);
  const tokenizer = trainTokenizer([text], { vocabularySize: 300 });
  expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
});

interface Variants {
  readonly texts: readonly string[];
  readonly variants: Readonly<Record<string, Variant>>;
}

/** What differs from llama3-style.json, and the ids that Hugging Face's library gives for each text. */
interface Variant {
  readonly normalizer?: object;
  readonly pre_tokenizer?: object;
  readonly added?: readonly { readonly id: number; readonly content: string }[];
  readonly ids: readonly (readonly number[])[];
}

const { texts, variants } = JSON.parse(read("variants")) as Variants;

test.each(Object.entries(variants))(
  "%s is read as there, and written again",
  (name, { added = [], ids, ...fields }) => {
    const json = JSON.parse(read("llama3-style")) as Numbered;
    Object.assign(json, fields);
    for (const token of added) {
      json.added_tokens.push(token);
      json.model.vocab[token.content] = token.id;
    }
    const tokenizer = parseTokenizer(JSON.stringify(json), name);
    const written = parseTokenizer(formatTokenizer(tokenizer), name);
    for (const it of [tokenizer, written]) expect(texts.map((text) => [...it.encode(text)])).toEqual(ids);
  },
);

test("U+0085 is white space and U+FEFF is not, as in Hugging Face's library", () => {
  const tokenizer = parseTokenizer(read("special-first"));
  const words: string[] = [];
  forEachWord("a\u0085 b\ufeff c\ufeff\ufeffd\u0085\u0085e", (word) => words.push(word));
  expect(words).toEqual(["a", "\u0085", " b", "\ufeff", " c", "\ufeff\ufeff", "d", "\u0085", "\u0085", "e"]);
  expect(tokenizer.decode(tokenizer.encode("a\u0085b\ufeffc"))).toBe("a\u0085b\ufeffc");
});

test("the table of categories is Unicode 16's, and an engine agrees wherever both know the character", () => {
  const table = categoryTable();
  const unassigned = categories.indexOf("Cn");
  const differing = categories.flatMap((name, category) => {
    const engine = new RegExp(`\\p{gc=${name}}`, "u");
    const codes: number[] = [];
    for (let code = 0; code < codePoints; code++) {
      if (table[code] !== category || category === unassigned) continue;
      // An engine of an older Unicode has no category for newer characters.
      const character = String.fromCodePoint(code);
      if (!engine.test(character) && !/\p{Cn}/u.test(character)) codes.push(code);
    }
    return codes;
  });
  expect(differing.filter((code) => code !== 0x295)).toEqual([]);
  expect([0x1c89, 0x088f, 0x41].map((code) => categories[table[code]!])).toEqual(["Lu", "Cn", "Lu"]);
});

test("more cuts than any tokenizer has are refused", () => {
  const json = JSON.parse(read("llama3-style")) as { pre_tokenizer: { pretokenizers: object[] } };
  const [split, last] = json.pre_tokenizer.pretokenizers;
  json.pre_tokenizer.pretokenizers = [...Array<object>(5000).fill(split!), last!];
  expect(() => parseTokenizer(JSON.stringify(json))).toThrow("its pre_tokenizer has 5001 steps; allowed: at most 64");
});

// Counted by Hugging Face's library among all code points but the surrogates.
test.each([
  [String.raw`\w`, 144671],
  [String.raw`[\w]`, 144665],
  [String.raw`\W`, 967393],
  [String.raw`\s`, 25],
  [String.raw`\d`, 760],
  [String.raw`\p{L}`, 141028],
  [String.raw`\p{N}`, 1911],
  [String.raw`\p{P}`, 855],
  [String.raw`\p{S}`, 8514],
  [String.raw`\p{M}`, 2501],
  [String.raw`\p{Han}`, 99030],
  [String.raw`[\w&&[^\d]]`, 143905],
  [String.raw`[^(\s|[.,])]`, 1112034],
  [String.raw`(?i:[a-z])`, 54],
  [String.raw`(?i:[^a-z])`, 1112010],
  [String.raw`(?i:\p{Ll})`, 2258],
  [String.raw`(?i:[\p{Ll}\d])`, 4436],
  [String.raw`(?i:[\u0400-\u04ff])`, 264],
  [String.raw`(?i:[k-m&&[^l]])`, 5],
])("the class %s holds %d characters", (pattern, count) => {
  const tree = parsePattern(pattern);
  if (tree.kind !== "set") throw new Error(`${pattern} is no class`);
  let found = 0;
  for (let code = 0; code < codePoints; code++) {
    const isSurrogate = code >= 0xd800 && code < 0xe000;
    if (!isSurrogate && tree.set.has(code)) found++;
  }
  expect(found).toBe(count);
});

test.each(["NFC", "NFD", "NFKC", "NFKD"] as const)(
  "%s is that of Hugging Face's library, for newer characters too",
  (form) => {
    const { texts: given, forms } = JSON.parse(read("normal-forms")) as {
      texts: string[];
      forms: Record<string, string[]>;
    };
    expect(given.map((text) => normalise(text, form))).toEqual(forms[form]);
    expect(given.some((text) => normalise(text, form) !== text.normalize(form))).toBe(true);
  },
);
