import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Document } from "../../src/data/split.ts";
import { openPrepared, prepareData, type PrepareOptions } from "../../src/data/prepare.ts";
import type { TokenSource } from "../../src/data/tokens.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-prepare-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const documents: Document[] = Array.from({ length: 40 }, (_, index) => ({
  name: `${index}`,
  text: `Document ${index}: ${"the state of the Union, caf\u00e9 \u{1f600}. ".repeat(1 + (index % 3))}`,
}));
let made = 0;
const optionsOf = (changes: Partial<PrepareOptions> = {}): PrepareOptions => ({
  source: { kind: "documents", name: "test", documents },
  vocabularySize: 300,
  cacheFolder: path.join(folder, `cache-${made++}`),
  ...changes,
});
const idsOf = (source: TokenSource): Int32Array => {
  const ids = new Int32Array(source.length);
  source.read(0, source.length, ids);
  return ids;
};

test("the tokens are the documents, each followed by the end of text, whole and with exact byte counts", async () => {
  const { tokenizer, train, validation, summary, close } = await prepareData(optionsOf());
  const texts = (source: TokenSource): string[] => tokenizer.decode(idsOf(source)).split("<|endoftext|>").slice(0, -1);
  expect([...texts(train), ...texts(validation)].sort()).toEqual(documents.map(({ text }) => text).sort());
  const bytes = texts(validation).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  expect(summary).toMatchObject({
    corpus: "test",
    documents: 40,
    splitRule: "whole documents",
    vocabularySize: tokenizer.vocabularySize,
    validationDocuments: texts(validation).length,
    validationBytes: bytes,
    validationBytesPerToken: bytes / validation.length,
    reused: false,
  });
  expect(summary.trainBytes + summary.validationBytes).toBe(
    documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
  );
  close();
});

test("what is there is used again; another text, seed or size is made anew", async () => {
  const options = optionsOf();
  const first = await prepareData(options);
  const reusedWith = async (changes: Partial<PrepareOptions>): Promise<boolean> => {
    const { summary, close } = await prepareData({ ...options, ...changes });
    close();
    return summary.reused;
  };
  const again = await prepareData(options);
  expect(again.summary).toEqual({ ...first.summary, reused: true });
  expect(idsOf(again.train)).toEqual(idsOf(first.train));
  expect(again.tokenizer.encode(documents[0]!.text)).toEqual(first.tokenizer.encode(documents[0]!.text));
  first.close();
  again.close();

  expect(await reusedWith({ seed: 1 })).toBe(false);
  expect(await reusedWith({ vocabularySize: 290 })).toBe(false);
  expect(await reusedWith({ validationShare: 0.2 })).toBe(false);
  expect(await reusedWith({ source: { kind: "documents", name: "test", documents: documents.slice(1) } })).toBe(false);
  expect(await reusedWith({})).toBe(true);
});

test.each<[string, (folder: string) => void, RegExp]>([
  [
    "training tokens cut short",
    (at) => fs.truncateSync(path.join(at, "train.safetensors"), 1200),
    /damaged \(it was cut off: tokens, .* but the file ends at byte 1200/,
  ],
  ["validation tokens gone", (at) => fs.rmSync(path.join(at, "validation.safetensors")), /there is no such file/],
  [
    "another tokenizer",
    (at) => rewrite(path.join(at, "tokenizer.json"), (json) => `${json} `),
    /was made from another tokenizer/,
  ],
  ["half a tokenizer", (at) => rewrite(path.join(at, "tokenizer.json"), (json) => json.slice(0, 99)), /it is not JSON/],
])("%s: made anew, and said so", async (_, harm, message) => {
  const options = optionsOf();
  const sound = await prepareData(options);
  sound.close();
  harm(sound.summary.folder);
  expect(() => openPrepared(sound.summary.folder)).toThrow(message);
  const said: string[] = [];
  const mended = await prepareData(options, (progress) => said.push(progress.message));
  expect(said.some((line) => line.startsWith("making the tokens anew, for ") && message.test(line))).toBe(true);
  expect(mended.summary).toEqual(sound.summary);
  mended.close();
});

function rewrite(file: string, change: (text: string) => string): void {
  fs.writeFileSync(file, change(fs.readFileSync(file, "utf8")));
}

test("a prepared folder opens without its text, and only for the text it was made from", async () => {
  const { summary, train, close } = await prepareData(optionsOf());
  const opened = openPrepared(summary.folder, train.origin);
  expect(idsOf(opened.train)).toEqual(idsOf(train));
  opened.close();
  close();
  expect(() => openPrepared(summary.folder, { text: "other" })).toThrow(/was made from another text: delete it/);
});

test("progress goes through the stages in order and each from 0 to 1", async () => {
  const stages: string[] = [];
  const { close } = await prepareData(optionsOf(), ({ stage, share }) => {
    if (stages.at(-1) !== stage) stages.push(stage);
    expect(share).toBeGreaterThanOrEqual(0);
    expect(share).toBeLessThanOrEqual(1);
  });
  expect(stages).toEqual(["corpus", "tokenizer", "tokens"]);
  close();
});

test("a folder that cannot be written is an error before the work", async () => {
  const file = path.join(folder, "file");
  fs.writeFileSync(file, "");
  const stages: string[] = [];
  const doing = prepareData(optionsOf({ cacheFolder: path.join(file, "cache") }), ({ stage }) => stages.push(stage));
  await expect(doing).rejects.toThrow(
    /cannot write to the folder .*: part of the path is a file, not a folder\. Make it writable/,
  );
  expect(stages).toEqual([]);
});

test("a text file on its own: its end is for validation", async () => {
  const file = path.join(folder, "my.txt");
  fs.writeFileSync(file, "one line of my text\n".repeat(200));
  const { summary, validation, tokenizer, close } = await prepareData(optionsOf({ source: file }));
  expect(summary).toMatchObject({
    corpus: "my.txt",
    splitRule: "ends of documents",
    trainBytes: 3700,
    validationBytes: 300,
  });
  expect(tokenizer.decode(idsOf(validation))).toBe(`${"one line of my text\n".repeat(15)}<|endoftext|>`);
  close();
});
