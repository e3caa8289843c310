import * as fc from "fast-check";
import { expect, test } from "vitest";
import { readCorpus } from "../../src/data/corpus.ts";
import type { Document } from "../../src/data/split.ts";
import { splitDocuments } from "../../src/data/split.ts";

const share = 0.075;
const bytesOf = (documents: readonly Document[]): number =>
  documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
const one = (text: string) => splitDocuments([{ name: "a", text }], 0, share);

test("of the addresses whole ones are kept back, about the share of the bytes, spread over the years", async () => {
  const { documents, bytes } = await readCorpus({ kind: "sotu" });
  for (let seed = 0; seed < 20; seed++) {
    const { train, validation, rule } = splitDocuments(documents, seed, share);
    expect(rule).toBe("whole documents");
    expect([...train, ...validation].sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual(documents);
    expect(bytesOf(validation) / bytes).toBeGreaterThan(0.05);
    expect(bytesOf(validation) / bytes).toBeLessThan(0.1);
    const years = validation.map(({ name }) => Number(name.slice(0, 4)));
    for (const [start, end] of [
      [1790, 1850],
      [1850, 1910],
      [1910, 1965],
      [1965, 2022],
    ] as const) {
      expect(years.some((year) => year >= start && year < end)).toBe(true);
    }
  }
});

test("another seed keeps back other documents, the same seed the same", () => {
  const documents = Array.from({ length: 100 }, (_, index) => ({ name: `${index}`, text: "some text\n" }));
  const names = (seed: number) => splitDocuments(documents, seed, share).validation.map(({ name }) => name);
  expect(names(1)).toEqual(names(1));
  expect(names(1)).not.toEqual(names(2));
});

test("one text is cut after a paragraph, else after a line, else before a word", () => {
  const paragraphs = `${"a line of text\n".repeat(3)}\n`.repeat(50);
  expect(one(paragraphs).train[0]!.text).toMatch(/\n\n$/);
  const lines = "a line of text\n".repeat(100);
  expect(one(lines).train[0]!.text).toMatch(/text\n$/);
  expect(one("word ".repeat(200)).validation[0]!.text).toMatch(/^word /);
});

test("a few documents, or one that outweighs all others, give their ends", () => {
  const text = "a line of text\n".repeat(100);
  const few = Array.from({ length: 5 }, (_, index) => ({ name: `${index}`, text }));
  const giant = Array.from({ length: 60 }, (_, index) => ({
    name: `${index}`,
    text: index === 7 ? text.repeat(100) : text,
  }));
  for (const documents of [few, giant]) {
    const { train, validation, rule } = splitDocuments(documents, 0, share);
    expect(rule).toBe("ends of documents");
    expect(train.map((part, index) => part.text + validation[index]!.text)).toEqual(documents.map((it) => it.text));
    expect(bytesOf(validation) / bytesOf(documents)).toBeCloseTo(share, 1);
  }
});

test("nothing of a text is lost and no character is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (text) => {
      const { train, validation } = one(text);
      const parts = [...train, ...validation].map((part) => part.text);
      expect(parts.join("")).toBe(text);
      expect(parts.every((part) => part.isWellFormed())).toBe(true);
    }),
  );
});

test("an impossible share is refused", () => {
  expect(() => splitDocuments([{ name: "a", text: "a" }], 0, 0)).toThrow(
    "the validation share is 0; it must be above 0",
  );
});
