// Pieces of text: put together they are the text, and none shows what a stop string hides.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Generator } from "../../src/model/generate.ts";
import { type TextCodec, type WritingOptions, writeTexts } from "../../src/model/write-texts.ts";
import { collect } from "../collect.ts";

const END = 1000;

/** A token a UTF-16 unit; characters of two units are certain only with their second. */
const codec: TextCodec = {
  endOfText: END,
  encode: (text) => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)),
  createStreamDecoder() {
    let first = "";
    return {
      push(id) {
        const unit = first + String.fromCharCode(id);
        first = unit.length === 1 && id >= 0xd800 && id < 0xdc00 ? unit : "";
        return first === "" ? unit : "";
      },
      end: () => first,
    };
  },
};

/** Writes what it was told, whatever the prompt. */
function generatorOf(continuations: readonly string[]): Generator {
  const generateBatch: Generator["generateBatch"] = async function* (prompts, { maxTokens = 200, ended }) {
    for (let i = 0; i < maxTokens; i++)
      for (const [prompt] of prompts.entries())
        if (!ended?.has(prompt) && i < continuations[prompt]!.length)
          yield { prompt, token: continuations[prompt]!.charCodeAt(i), logProbability: -i };
  };
  return {
    generateBatch,
    async *generate(prompt, options) {
      for await (const { token } of generateBatch([prompt], options)) yield token;
    },
    prepare() {},
    release() {},
  };
}

async function write(
  continuations: readonly string[],
  options: Partial<WritingOptions> = {},
): Promise<{ text: string; end: string }[]> {
  const texts = continuations.map(() => ({ text: "", end: "" }));
  const prompts = continuations.map(() => "p");
  for await (const piece of writeTexts(generatorOf(continuations), codec, prompts, { random: () => 0, ...options })) {
    texts[piece.prompt]!.text += piece.piece;
    if ("end" in piece) texts[piece.prompt]!.end += piece.end;
  }
  return texts;
}

describe("writeTexts", () => {
  test("pieces make the text up to the first stop string that is complete, for any text and stop strings", async () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c", "😀") });
    await fc.assert(
      fc.asyncProperty(fc.array(letters, { minLength: 1, maxLength: 3 }), fc.array(letters), async (texts, strings) => {
        const stop = strings.filter((string) => string !== "");
        const expected = texts.map((text) => {
          for (let end = 1; end <= text.length; end++) {
            const lengths = stop.filter((string) => text.slice(0, end).endsWith(string)).map(({ length }) => length);
            if (lengths.length > 0) return { text: text.slice(0, end - Math.max(...lengths)), end: "stop string" };
          }
          return { text, end: "end of text" };
        });
        expect(await write(texts, { stop })).toEqual(expected);
      }),
    );
  });

  test("each text says why it ended", async () => {
    expect(await write(["long text", "short", "a. b"], { maxTokens: 6, stop: [". "] })).toEqual([
      { text: "long t", end: "length" },
      { text: "short", end: "end of text" },
      { text: "a", end: "stop string" },
    ]);
  });

  test("what may begin a stop string is held back, and only that", async () => {
    const pieces = await collect(
      writeTexts(generatorOf(["aab!"]), codec, ["p"], { random: () => 0, stop: ["aac", "ab?"] }),
    );
    expect(pieces.map(({ piece }) => piece)).toEqual(["", "", "a", "ab!", ""]);
  });

  test("what a model expects before a text stands before each prompt", async () => {
    const seen: number[][] = [];
    const generator = generatorOf(["x", "y"]);
    const watched: Generator = {
      ...generator,
      generateBatch(prompts, options) {
        seen.push(...prompts.map((prompt) => [...prompt]));
        return generator.generateBatch(prompts, options);
      },
    };
    const pieces = writeTexts(watched, { ...codec, before: [END - 1] }, ["p", "q"], { random: () => 0, maxTokens: 1 });
    await collect(pieces);
    expect(seen).toEqual([
      [END - 1, 112],
      [END - 1, 113],
    ]);
  });

  test("empty strings are refused", async () => {
    const all = (prompt: string, stop: string[]) =>
      collect(writeTexts(generatorOf(["x"]), codec, [prompt], { random: () => 0, stop }));
    await expect(all("", [])).rejects.toThrow("the prompt is empty");
    await expect(all("p", ["a", ""])).rejects.toThrow("a stop string is empty");
  });
});
