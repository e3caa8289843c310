import { Tokenizer as HuggingFace } from "@huggingface/tokenizers";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { categorySet, whiteSpace } from "../../src/data/character-set.ts";
import { formatTokenizer } from "../../src/data/tokenizer-json.ts";
import { parseTokenizer } from "../../src/data/tokenizer-json-read.ts";
import { endOfText, trainTokenizer } from "../../src/data/tokenizer.ts";

const sample = `It's the people's house; they'll say we've done it. In 1790 and in 2021, I'd say:
  naïve café, Ærø, \u4e2d\u6587, \u0440\u0443\u0441\u0441\u043a\u0438\u0439, \u{1f600}\u{1f680}!!  the the the people people of the Union\n\n\tindented\r\n`;
const tokenizer = trainTokenizer([sample.repeat(3), "The state of the Union. ".repeat(5)], { vocabularySize: 360 });
const huggingFace = (json: string) => new HuggingFace(JSON.parse(json), {});
const theirs = huggingFace(formatTokenizer(tokenizer));

/**
 * Whether JavaScript, and so this peer, puts a character into the same class as the Rust library. It does not for
 * U+0085, U+FEFF and what is newer than Unicode 16 (test/data/tokenizers-of-others.test.ts has the Rust library's ids).
 */
function isAlike(character: string): boolean {
  const code = character.codePointAt(0)!;
  return (
    /\p{L}/u.test(character) === categorySet("L").has(code) &&
    /\p{N}/u.test(character) === categorySet("N").has(code) &&
    /\s/u.test(character) === whiteSpace().has(code)
  );
}

/** Any text that both class alike, mixed with what the word pattern treats specially. */
const anyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom(" ", "  ", "\n", "'s", "'ll", "'", "the", " people", "42", "\u00a0", endOfText, "<|endof"),
    ),
  )
  .map((parts) => Array.from(parts.join("")).filter(isAlike).join(""));

describe("encode and decode", () => {
  test("decode undoes encode", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  test("encode is Hugging Face's, and so is decode", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ids = [...tokenizer.encode(text)];
        expect(ids).toEqual(theirs.encode(text).ids);
        if (ids.length > 0) expect(theirs.decode(ids, { clean_up_tokenization_spaces: false })).toBe(text);
      }),
    );
  });

  test("any tokens decode as Hugging Face decodes them, and a stream of them to the same text", () => {
    const anyTokens = fc.array(fc.integer({ min: 0, max: tokenizer.vocabularySize - 1 }), { minLength: 1 });
    fc.assert(
      fc.property(anyTokens, (ids) => {
        const text = tokenizer.decode(ids);
        expect(text).toBe(theirs.decode(ids, { clean_up_tokenization_spaces: false }));
        const stream = tokenizer.createStreamDecoder();
        expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(text);
      }),
    );
  });

  test("a stream never gives part of a character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const stream = tokenizer.createStreamDecoder();
        for (const id of tokenizer.encode(text)) {
          const piece = stream.push(id);
          expect(piece.isWellFormed()).toBe(true);
          expect(piece.includes("\ufffd") && !text.includes("\ufffd")).toBe(false);
        }
        expect(stream.end()).toBe("");
      }),
    );
  });

  test("the bytes of the tokens are the bytes of the text; the end of a document has none", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const ids = [...tokenizer.encode(text)];
        expect(ids.flatMap((id) => [...tokenizer.bytesOf(id)])).toEqual([...new TextEncoder().encode(text)]);
        expect(ids.reduce((sum, id) => sum + tokenizer.byteLengths[id]!, 0)).toBe(Buffer.byteLength(text));
      }),
    );
    expect(tokenizer.bytesOf(tokenizer.endOfText!)).toHaveLength(0);
    expect(tokenizer.byteLengths[tokenizer.endOfText!]).toBe(0);
  });

  test("a lone surrogate becomes the replacement character", () => {
    expect(tokenizer.decode(tokenizer.encode("a\ud800b"))).toBe("a\ufffdb");
  });

  test("one endless word is encoded like Hugging Face's", () => {
    const word = "thepeopleoftheunion".repeat(500);
    expect([...tokenizer.encode(word)]).toEqual(theirs.encode(word).ids);
  });

  test("a token that does not exist is named", () => {
    expect(() => tokenizer.decode([360])).toThrow("token 360 does not exist; this tokenizer has tokens 0 to 359");
  });
});

describe("training", () => {
  test("bytes come first, the end of text last, and the vocabulary has the size asked for", () => {
    expect(tokenizer.vocabularySize).toBe(360);
    expect(tokenizer.endOfText).toBe(359);
    expect([...tokenizer.bytesOf(65)]).toEqual([65]);
    expect([...tokenizer.encode(" the")]).toHaveLength(1);
  });

  test("the order of the texts does not matter", () => {
    const texts = [sample, "other text, other words", "the third text"];
    const forwards = trainTokenizer(texts, { vocabularySize: 320 });
    expect(formatTokenizer(trainTokenizer(texts.toReversed(), { vocabularySize: 320 }))).toBe(
      formatTokenizer(forwards),
    );
  });

  test("a text too short for the vocabulary gives a smaller one that works", () => {
    const small = trainTokenizer(["abab"], { vocabularySize: 1000 });
    expect(small.vocabularySize).toBe(258);
    expect(small.decode(small.encode("abab c"))).toBe("abab c");
  });

  test("a vocabulary without room for the bytes is refused", () => {
    expect(() => trainTokenizer([sample], { vocabularySize: 200 })).toThrow(
      "a vocabulary of 200 tokens is not possible: give a whole number from 257",
    );
  });
});

describe("tokenizer.json", () => {
  const json = formatTokenizer(tokenizer);
  interface Json {
    model: Record<string, unknown> & { vocab: Record<string, number>; merges: (string | string[])[] };
    added_tokens: Record<string, unknown>[];
    normalizer: object | null;
    pre_tokenizer: object;
    decoder: object | undefined;
  }
  const changed = (change: (json: Json) => void): string => {
    const copy: Json = JSON.parse(json);
    change(copy);
    return JSON.stringify(copy);
  };

  test("what is read back encodes alike and is written alike", () => {
    const back = parseTokenizer(json);
    expect(formatTokenizer(back)).toBe(json);
    fc.assert(
      fc.property(anyText, (text) => {
        expect(back.encode(text)).toEqual(tokenizer.encode(text));
      }),
    );
  });

  const llama =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const splitBy = (regex: string) => ({
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  });

  test.each<[string, (json: Json) => void]>([
    ["Llama 3's pattern", (it) => (it.pre_tokenizer = splitBy(llama))],
    ["a pattern that leaves gaps", (it) => (it.pre_tokenizer = splitBy("\\p{L}+"))],
    ["no word pattern", (it) => Object.assign(it.pre_tokenizer, { use_regex: false })],
    ["a prefix space", (it) => Object.assign(it.pre_tokenizer, { add_prefix_space: true })],
    ["words that are tokens", (it) => (it.model["ignore_merges"] = true)],
    ["merges as pairs", (it) => (it.model.merges = it.model.merges.map((merge) => String(merge).split(" ")))],
    [
      "added tokens that overlap",
      (it) =>
        it.added_tokens.push(
          { id: 400, content: "<|end", special: false, normalized: false },
          { id: 402, content: "the people", special: false, normalized: false },
        ),
    ],
  ])("%s is read as Hugging Face reads it, and written again", (_, change) => {
    const text = changed(change);
    const ours = parseTokenizer(text);
    const reference = huggingFace(text);
    fc.assert(
      fc.property(anyText, (it) => {
        const ids = [...ours.encode(it)];
        expect(ids).toEqual(reference.encode(it).ids);
        if (ids.length > 0)
          expect(ours.decode(ids)).toBe(reference.decode(ids, { clean_up_tokenization_spaces: false }));
      }),
    );
    const again = parseTokenizer(formatTokenizer(ours));
    expect(again.encode(sample)).toEqual(ours.encode(sample));
  });

  test.each<[string, (json: Json) => void]>([
    ['its model is "Unigram", not BPE', (it) => (it.model["type"] = "Unigram")],
    ['it has the normalizer "Lowercase"', (it) => (it.normalizer = { type: "Lowercase" })],
    ['its pre_tokenizer is {"type":"Metaspace"}', (it) => (it.pre_tokenizer = { type: "Metaspace" })],
    ["its decoder is missing, not ByteLevel", (it) => (it.decoder = undefined)],
    ['"model.byte_fallback" is set', (it) => (it.model["byte_fallback"] = true)],
    ['"model.end_of_word_suffix" is "</w>"', (it) => (it.model["end_of_word_suffix"] = "</w>")],
    ['its token "\u4e2d" is not written in the byte-level alphabet', (it) => (it.model.vocab["\u4e2d"] = 500)],
    ['merge 0 ("x yz") is of or makes a token', (it) => (it.model.merges[0] = "x yz")],
    ["merge 0 (5) is of or makes a token", (it) => Object.assign(it.model.merges, { 0: 5 })],
    ["two tokens have the number 65", (it) => (it.model.vocab["B"] = 65)],
    ["the tokenizer has no token for byte 0", (it) => delete it.model.vocab["\u0100"]],
    ['its pattern "(?<=a)b|(c" is not understood', (it) => (it.pre_tokenizer = splitBy("(?<=a)b|(c"))],
    ['its pattern "a*" is not understood: it matches the empty word', (it) => (it.pre_tokenizer = splitBy("a*"))],
  ])("what cannot be read is named: %s", (why, change) => {
    const broken = changed(change);
    expect(() => parseTokenizer(broken, "my.json")).toThrow(why);
    expect(() => parseTokenizer(broken, "my.json")).toThrow(/^my\.json cannot be used: .* Only byte-level BPE/s);
  });

  test("text that is not JSON is named", () => {
    expect(() => parseTokenizer("{", "my.json")).toThrow("my.json cannot be used: it is not JSON");
  });
});
