// Question: do files of data of every kind become the same tokens, once, whatever happens meanwhile, and is each
// broken one refused by its name and place?

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import zlib from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBatches } from "../../src/data/batches.ts";
import { openPrepared, prepareData, type PrepareOptions } from "../../src/data/prepare.ts";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { packageZstd } from "../../src/data/stored/lines.ts";
import { textsOfParquet } from "../../src/data/stored/parquet.ts";
import { readAhead } from "../../src/data/stored/read-ahead.ts";
import { makeShards } from "../../src/data/stored/shards.ts";
import { formatTokenizer } from "../../src/data/tokenizer-json.ts";
import { writeTokenizer } from "../../src/data/tokenizer-file.ts";
import { type Tokenizer, trainTokenizer } from "../../src/data/tokenizer.ts";
import type { TokenSource } from "../../src/data/tokens.ts";
import { knownFiles } from "../../src/files/known-files.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-stored-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);
const cacheFolder = at("cache");

const words = ["stream", "matrix", "doubly", "stochastic", "café", "birkhoff", "\u{1f600}", "residual"];
const documents = Array.from({ length: 300 }, (_, index) =>
  Array.from({ length: 20 + (index % 17) }, (__, word) => words[(index * 7 + word * word) % words.length]).join(" "),
);
const lines = `${documents.map((text, id) => JSON.stringify({ id, text })).join("\n")}\n`;
let tokenizer: Tokenizer;
let ids: Uint32Array;

const prepare = async (
  source: PrepareOptions["source"],
  options: Partial<PrepareOptions> = {},
): Promise<PreparedData> => prepareData({ source, vocabularySize: 300, cacheFolder, tokenizer, ...options });
const idsOf = (source: TokenSource): number[] => {
  const read = new Int32Array(source.length);
  source.read(0, source.length, read);
  return [...read];
};
const sorted = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b);

/** The message of what goes wrong. */
async function failure(source: PrepareOptions["source"], options: Partial<PrepareOptions> = {}): Promise<string> {
  try {
    (await prepare(source, options)).close();
  } catch (error) {
    return (error as Error).message.replaceAll(`${folder}/`, "");
  }
  throw new Error(`${String(source)} was prepared`);
}

const zstd = zlib as { zstdCompressSync?: (bytes: string) => Buffer };
const bytesOfZstd = (): Buffer => zstd.zstdCompressSync!(lines);

beforeAll(() => {
  tokenizer = trainTokenizer(documents, { vocabularySize: 300 });
  ids = Uint32Array.from(documents.flatMap((text) => [...tokenizer.encode(text), tokenizer.endOfText!]));
  fs.writeFileSync(at("a.jsonl"), lines);
  fs.writeFileSync(at("a.jsonl.gz"), zlib.gzipSync(lines));
  if (zstd.zstdCompressSync) fs.writeFileSync(at("a.jsonl.zst"), bytesOfZstd());
  const columnData = [
    { name: "id", data: documents.map((_, id) => id), type: "INT32" as const },
    { name: "text", data: documents, type: "STRING" as const },
  ];
  fs.writeFileSync(at("a.parquet"), Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 77 })));
  const raw = Uint16Array.from(ids);
  fs.writeFileSync(at("raw.bin"), raw);
  fs.writeFileSync(at("wide.bin"), ids);
  const header = new Int32Array(256);
  header.set([20240520, 1, ids.length]);
  fs.writeFileSync(at("llmc.bin"), Buffer.concat([Buffer.from(header.buffer), Buffer.from(raw.buffer)]));
  header.set([20240801, 7, ids.length]);
  fs.writeFileSync(at("llmc32.bin"), Buffer.concat([Buffer.from(header.buffer), Buffer.from(ids.buffer)]));
});

describe("every kind of file", () => {
  test.each(["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "raw.bin", "wide.bin", "llmc.bin", "llmc32.bin"])(
    "%s holds the tokens of the documents, some of them for validation",
    async (name) => {
      if (!fs.existsSync(at(name))) return expect(zstd.zstdCompressSync).toBe(undefined);
      const { train, validation, summary, close } = await prepare(at(name));
      expect(sorted([...idsOf(train), ...idsOf(validation)])).toEqual(sorted([...ids]));
      // One block, so training is what comes before it and after it.
      const [seam = train.length] = train.seams ?? [];
      expect([...idsOf(train).slice(0, seam), ...idsOf(validation), ...idsOf(train).slice(seam)]).toEqual([...ids]);
      expect(validation.length).toBe(Math.floor(0.075 * ids.length));
      expect(summary).toMatchObject({ splitRule: "blocks of tokens", reused: false });
      expect(summary.trainBytes + summary.validationBytes).toBe(Buffer.byteLength(documents.join("")));
      close();
      const again = await prepare(at(name));
      expect(again.summary.reused).toBe(true);
      expect([again.train.checksum, again.train.origin]).toEqual([train.checksum, train.origin]);
      again.close();
    },
  );

  test("zstd by the package is what Node's own is", async () => {
    if (!zstd.zstdCompressSync) return;
    const chunks: Buffer[] = [];
    const stream = packageZstd();
    stream.end(bytesOfZstd());
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe(lines);
  });

  test("parquet whose heads of pages are damaged ends at once, and says what cannot be", async () => {
    const texts = Array.from({ length: 300 }, (_, row) => `the quick brown fox ${row} jumps`);
    const columns = [{ name: "text", data: texts, type: "STRING" as const }];
    const sound = Buffer.from(parquetWriteBuffer({ columnData: columns, rowGroupSize: 77 }));
    const messages: string[] = [];
    for (let byte = 4; byte < 60; byte++)
      for (const bit of [0, 3, 7]) {
        const hurt = Buffer.from(sound);
        hurt[byte]! ^= 1 << bit;
        fs.writeFileSync(at("bits.parquet"), hurt);
        try {
          for await (const text of textsOfParquet(at("bits.parquet"), "text")) expect(text).toBeTypeOf("string");
        } catch (error) {
          messages.push((error as Error).message);
        }
      }
    for (const message of messages)
      expect(message).toMatch(/bits\.parquet cannot be read as parquet: .*fetch it again/);
    for (const found of [
      /has a page at \d+ whose head contradicts itself/,
      /has a page of \d+ bytes at/,
      /has a page of \d+ bytes unpacked/,
    ])
      expect(
        messages.some((message) => found.test(message)),
        String(found),
      ).toBe(true);
  });

  test("parquet with gzip, and another column", async () => {
    const columnData = [{ name: "body", data: documents, type: "STRING" as const }];
    fs.writeFileSync(
      at("gzip.parquet"),
      Buffer.from(
        parquetWriteBuffer({ columnData, codec: "GZIP", compressors: { GZIP: (bytes) => zlib.gzipSync(bytes) } }),
      ),
    );
    const { train, validation, close } = await prepare(at("gzip.parquet"), { column: "body" });
    expect(train.length + validation.length).toBe(ids.length);
    close();
  });

  test("a text comes in pieces, and its tokens are those of the whole", async () => {
    const text = Array.from({ length: 60_000 }, (_, index) => documents[index % 300]!.slice(0, 40)).join("\n");
    fs.writeFileSync(at("long.txt"), text);
    const { train, validation, close } = await prepare(at("long.txt"), { shuffled: true, validationShare: 0.01 });
    const whole = [...tokenizer.encode(text), tokenizer.endOfText!];
    expect(Buffer.byteLength(text)).toBeGreaterThan(2 ** 21);
    expect(train.length + validation.length).toBe(whole.length);
    const start = train.seams![0]!;
    expect(idsOf(train).slice(0, start)).toEqual(whole.slice(0, start));
    expect(idsOf(validation)).toEqual(whole.slice(start, start + validation.length));
    close();
  });

  test("a folder: validation by the names of its files, tests left out, several files one after another", async () => {
    const many = at("many");
    fs.mkdirSync(path.join(many, "deep"), { recursive: true });
    const write = (name: string, from: number, to: number): void =>
      fs.writeFileSync(path.join(many, name), lines.split("\n").slice(from, to).join("\n"));
    write("train-00000.jsonl", 0, 100);
    write("deep/train-00001.jsonl", 100, 200);
    write("validation-00000.jsonl", 200, 250);
    write("test-00000.jsonl", 250, 300);
    const { train, validation, summary, close } = await prepare(many);
    const encoded = (texts: readonly string[]): number[] =>
      texts.flatMap((text) => [...tokenizer.encode(text), tokenizer.endOfText!]);
    expect(idsOf(train)).toEqual(encoded([...documents.slice(100, 200), ...documents.slice(0, 100)]));
    expect(idsOf(validation)).toEqual(encoded(documents.slice(200, 250)));
    expect(summary).toMatchObject({ splitRule: "files of their own", documents: 250 });
    expect(summary.notes.join()).toContain("left out: 1 file for tests by their names (test-00000.jsonl)");
    close();
  });

  test("several sources with weights are parts of a mixture", async () => {
    const { train, mixture, close } = await prepare([at("a.jsonl"), at("long.txt")], { weights: [3, 1] });
    expect(mixture!.map(({ weight }) => weight)).toEqual([3, 1]);
    expect(mixture!.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(train.length);
    close();
  });

  test("a file that is kept for validation only later is not trained on any more", async () => {
    fs.mkdirSync(at("roles"));
    const half = lines.split("\n").slice(0, 150).join("\n");
    fs.writeFileSync(at("roles/a.jsonl"), half);
    fs.writeFileSync(at("roles/b.jsonl"), lines.slice(half.length + 1));
    const all = await prepare(at("roles"));
    expect(all.train.length + all.validation.length).toBe(ids.length);
    all.close();
    fs.renameSync(at("roles/b.jsonl"), at("roles/val.jsonl"));
    const { train, validation, summary, close } = await prepare(at("roles"));
    expect([...idsOf(train), ...idsOf(validation)]).toEqual([...ids]);
    expect(summary.validationBytes).toBe(Buffer.byteLength(documents.slice(150).join("")));
    close();
  });

  test("a list of one text is that text", async () => {
    const one = await prepare([at("long.txt")]);
    expect(one.mixture).toBe(undefined);
    one.close();
  });

  test("a tokenizer lies beside ids, and is trained on documents", async () => {
    const own = at("own");
    fs.mkdirSync(own);
    fs.copyFileSync(at("raw.bin"), path.join(own, "train.bin"));
    writeTokenizer(path.join(own, "tokenizer.json"), tokenizer);
    const beside = await prepareData({ source: own, vocabularySize: 999, cacheFolder });
    expect(formatTokenizer(beside.tokenizer)).toBe(formatTokenizer(tokenizer));
    beside.close();
    const trained = await prepareData({ source: at("a.jsonl"), vocabularySize: 280, cacheFolder });
    expect(trained.tokenizer.vocabularySize).toBe(280);
    expect(trained.tokenizer.decode(idsOf(trained.train).slice(0, 5))).toContain(documents[0]!.slice(0, 3));
    trained.close();
  });
});

describe("what is broken is told by its file and place", () => {
  const cases: readonly (readonly [name: string, content: () => string | Uint8Array | Uint16Array, message: RegExp])[] =
    [
      [
        "bad.jsonl",
        () => '{"text":"a"}\n\n{"text": nope}\n',
        /^bad\.jsonl, line 3: it is no JSON \(.*\)\. Each line must be/,
      ],
      [
        "list.jsonl",
        () => "[1]\n",
        /^list\.jsonl, line 1: it is .*, not an object\. Each line must be an object with "text"/,
      ],
      [
        "body.jsonl",
        () => '{"body":"a"}\n',
        /^body\.jsonl, line 1: it has no "text"\. It has texts in "body"; choose with --column/,
      ],
      ["five.jsonl", () => '{"text":5}\n', /^five\.jsonl, line 1: "text" is 5, not a text\. Name the field/],
      [
        "latin.jsonl",
        () => Buffer.from('{"text":"é"}\n', "latin1"),
        /^latin\.jsonl, line 1: it is not UTF-8\. Convert/,
      ],
      ["none.jsonl", () => "", /^none\.jsonl holds no text: give files with documents/],
      ["blank.jsonl", () => '{"text":""}\n', /^blank\.jsonl holds no text: give files with documents/],
      [
        "cut.jsonl.gz",
        () => fs.readFileSync(at("a.jsonl.gz")).subarray(0, 400),
        /^cut\.jsonl\.gz cannot be unpacked: unexpected end of file\. .*fetch it again/,
      ],
      [
        "no.jsonl.gz",
        () => "hello",
        /^no\.jsonl\.gz cannot be unpacked: incorrect header check\. It was cut off, or is no gzip file; fetch/,
      ],
      [
        "no.jsonl.zst",
        () => "hello, this is no frame",
        /^no\.jsonl\.zst cannot be unpacked: .*or is no zstd file; fetch it again/,
      ],
      [
        "cut.parquet",
        () => fs.readFileSync(at("a.parquet")).subarray(0, 3000),
        /^cut\.parquet cannot be read as parquet: .*It was cut off or damaged.*fetch it again, or leave it out/,
      ],
      [
        "hurt.parquet",
        () => Buffer.from(fs.readFileSync(at("a.parquet"))).fill(7, 100, 2000),
        /^hurt\.parquet cannot be read as parquet: .*fetch it again/,
      ],
      ["none.parquet", () => "", /^none\.parquet is empty: it has 0 bytes\. Fetch it again, or leave it out/],
      ["none.bin", () => "", /^none\.bin is empty: it must hold token ids\. Write it again/],
      [
        "odd.bin",
        () => new Uint8Array(2001),
        /^odd\.bin ends within a token: it has 2001 bytes, and its ids take 2 each\..*write it again/,
      ],
      [
        "beyond.bin",
        () => Uint16Array.from({ length: 500 }, (_, index) => (index === 321 ? 40_000 : 5)),
        /^beyond\.bin, token 321 \(byte 642\): the id is 40000, and the tokenizer has ids 0 to 299\. Give the tokenizer/,
      ],
      [
        "far.bin",
        () => Buffer.concat([fs.readFileSync(at("llmc32.bin")).subarray(0, -4), Buffer.from([255, 255, 255, 255])]),
        /^far\.bin, token \d+ \(byte \d+\): the id is 4294967295, and/,
      ],
      [
        "cut.bin",
        () => fs.readFileSync(at("llmc.bin")).subarray(0, 5000),
        /^cut\.bin was cut off, or its header is wrong: it says [\d,]+ tokens, .*and the file has 4\.9 KiB\. Write it again/,
      ],
      [
        "old.bin",
        () => new Uint8Array(Int32Array.from({ length: 300 }, (_, index) => [20240520, 2][index] ?? 0).buffer),
        /^old\.bin has the header of llm\.c with version 2; version 1 is read\. Write it/,
      ],
    ];
  test.each(cases)("%s", async (name, content, message) => {
    const bytes = content();
    fs.writeFileSync(
      at(name),
      typeof bytes === "string" ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    );
    expect(await failure(at(name))).toMatch(message);
  });

  test("folders without files of data, and with files of several kinds", async () => {
    fs.mkdirSync(at("empty"));
    expect(await failure(at("empty"))).toMatch(
      /^the folder empty has no text files .*: give one that has, or name a file/,
    );
    expect(await failure([at("empty"), at("a.jsonl")])).toMatch(
      /^the folder empty has no files of data \(\.bin, \.parquet, .*give one that has/,
    );
    fs.mkdirSync(at("mixed"));
    fs.copyFileSync(at("a.jsonl"), at("mixed/a.jsonl"));
    fs.writeFileSync(at("mixed/README.md"), "text");
    expect(await failure(at("mixed"))).toMatch(
      /^the folder mixed has files of several kinds \(1 \.md, 1 \.jsonl\): .*Choose with --extensions/,
    );
    fs.mkdirSync(at("packed"));
    fs.copyFileSync(at("a.jsonl.gz"), at("packed/a.jsonl.gz"));
    fs.writeFileSync(at("packed/README.md"), "text");
    expect(await failure(at("packed"))).toContain("such as --extensions .jsonl.gz, or name the files");
    for (const [name, ending] of [
      ["mixed", ".jsonl"],
      ["mixed", "jsonl"],
      ["mixed", "JSONL"],
      ["packed", ".jsonl.gz"],
      ["packed", "gz"],
    ] as const) {
      const chosen = await prepare(at(name), { extensions: [ending] });
      expect(chosen.train.length + chosen.validation.length, ending).toBe(ids.length);
      chosen.close();
    }
    const texts = await prepare(at("mixed"), { extensions: [".md"], validationShare: 0.5 });
    expect(texts.summary).toMatchObject({ documents: 1, trainBytes: 2 });
    texts.close();
    expect(await failure([at("a.jsonl"), at("raw.bin")])).toMatch(
      /^raw\.bin holds token ids and a\.jsonl documents: they are not read together\. Give files of one kind/,
    );
  });

  test("options that fit nothing", async () => {
    expect(await failure(at("a.jsonl"), { weights: [1] })).toContain("weights (--weights) are for several sources");
    expect(await failure([at("a.jsonl"), at("a.parquet")], { weights: [1] })).toContain(
      "there must be one above 0 for each of 2 sources",
    );
    expect(await failure([at("a.jsonl"), "sotu"])).toContain("sotu cannot be read shuffled or as one of several");
    expect(await failure([at("long.txt"), at("long.txt")], { column: "body" })).toContain(
      "long.txt holds text. Leave it out.",
    );
    expect(await failure(at("a.jsonl"), { skipUnreadable: true })).toContain("is for a folder of texts");
    expect(await failure(at("long.txt"), { column: "body" })).toContain("is for parquet files and JSON lines");
    expect(await failure(at("a.parquet"), { column: "body" })).toMatch(
      /^a\.parquet has no column "body"; it has "id", "text"\. Choose one with --column/,
    );
    expect(await failure(at("a.parquet"), { column: "id" })).toMatch(
      /^a\.parquet, row 1: "id" is no text but number\. Choose a column/,
    );
    await expect(prepareData({ source: at("raw.bin"), vocabularySize: 300, cacheFolder })).rejects.toThrow(
      "holds token ids, and there is no tokenizer.json beside it",
    );
  });

  test("a file of ids that has changed is refused, and so is one that is gone", async () => {
    fs.writeFileSync(at("mine.bin"), Uint16Array.from(ids));
    const { summary, train, close } = await prepare(at("mine.bin"));
    close();
    openPrepared(summary.folder, { text: train.origin.text }).close();
    fs.writeFileSync(at("mine.bin"), Uint16Array.from(ids.subarray(1)));
    expect(() => openPrepared(summary.folder)).toThrow(
      "mine.bin has changed since its tokens were prepared: put the old",
    );
    fs.rmSync(at("mine.bin"));
    expect(() => openPrepared(summary.folder)).toThrow("mine.bin: there is no such file or folder. Put the file back");
  });

  test("a damaged shard is made again", async () => {
    const { summary, train, close } = await prepare(at("a.jsonl"));
    const whole = idsOf(train);
    close();
    const [shard] = fs
      .readdirSync(cacheFolder, { recursive: true, encoding: "utf8" })
      .filter((name) => /^a-tokens-.*00000\.bin$/.test(name));
    for (const name of fs
      .readdirSync(cacheFolder, { recursive: true, encoding: "utf8" })
      .filter((each) => /tokens-.*00000\.bin$/.test(each)))
      fs.appendFileSync(path.join(cacheFolder, name), "x");
    expect(shard).toBeDefined();
    expect(() => openPrepared(summary.folder)).toThrow("has changed since its tokens were prepared");
    const again = await prepare(at("a.jsonl"));
    expect(again.summary.reused).toBe(false);
    expect([again.train.checksum, idsOf(again.train)]).toEqual([train.checksum, whole]);
    again.close();
  });
});

test("tokenizing that is ended goes on after its last whole shard, and gives the same shards", async () => {
  const files = (second: string) =>
    [at("a.jsonl"), second].map((file) => ({
      path: file,
      form: "jsonl" as const,
      size: fs.statSync(file).size,
      source: 0,
    }));
  // Documents of a mebibyte are a batch each.
  const long = Array.from({ length: 4 }, (_, index) => JSON.stringify({ text: documents[index]!.repeat(9000) }));
  fs.writeFileSync(at("whole.jsonl"), long.join("\n"));
  fs.writeFileSync(at("ends.jsonl"), [...long.slice(0, 3), "{"].join("\n"));
  const make = async (second: string, into: string) => {
    fs.mkdirSync(at(into), { recursive: true });
    const known = knownFiles(cacheFolder);
    return makeShards({
      files: files(second),
      column: "text",
      tokenizer,
      folder: at(into),
      known,
      shardTokens: 100_000,
    });
  };
  const once = await make(at("whole.jsonl"), "once");
  await expect(make(at("ends.jsonl"), "twice")).rejects.toThrow("ends.jsonl, line 4: it is no JSON");
  const left = fs.readdirSync(at("twice")).toSorted();
  expect(left).toEqual(["place.json", "tokens-00000.bin", "tokens-00001.bin", "tokens-00002.bin"]);
  const before = fs.statSync(at("twice/tokens-00000.bin")).mtimeMs;
  const twice = await make(at("whole.jsonl"), "twice");
  expect(fs.statSync(at("twice/tokens-00000.bin")).mtimeMs).toBe(before);
  const facts = ({ shards, bytes, documents: count }: typeof once): unknown => [
    bytes,
    count,
    shards.map(({ sha256, length }) => [sha256, length]),
  ];
  expect(facts(twice)).toEqual(facts(once));
  expect(once.shards.length).toBe(4);
  expect(once.documents).toBe(304);
  // What was written is known by its hash, and not read for it.
  const read: number[] = [];
  const known = knownFiles(cacheFolder);
  for (const { path: file, sha256 } of once.shards)
    expect(known.hashOf(file, (bytes) => read.push(bytes))).toBe(sha256);
  expect(read).toEqual([]);
});

describe("reading ahead", () => {
  test("gives the batches that reading now gives, in any order, and has them ready", async () => {
    const { train, validation, summary, mixture, tokenizer: used, close } = await prepare(at("a.jsonl"));
    const options = { batchSize: 3, contextLength: 16, seed: 8, shuffle: { rows: 6, mixture: mixture! } };
    const batches = createBatches({ ...options, train, validation, byteLengths: used.byteLengths });
    const ahead = readAhead(batches, summary.folder, options, 2);
    try {
      // Its thread starts.
      const started = Date.now();
      for (let step = 0; ahead.counts.ahead === 0 && Date.now() - started < 20_000; step++) {
        ahead.trainingBatch(step, 0);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const before = { ...ahead.counts };
      const order = [...Array.from({ length: 40 }, (_, step) => step), 3, 4, 5, 90, 91, 91, 0];
      for (const step of order) {
        for (const microbatch of [0, 1])
          expect(ahead.trainingBatch(step, microbatch)).toEqual(batches.trainingBatch(step, microbatch));
        // A step takes its time.
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
      expect([...ahead.validationBatches()]).toEqual([...batches.validationBatches()]);
      expect(ahead.counts.ahead - before.ahead).toBeGreaterThan(order.length);
      expect(ahead.counts.ahead + ahead.counts.late - before.ahead - before.late).toBe(2 * order.length);
    } finally {
      ahead.close();
      close();
    }
  });

  test("a caller that the thread cannot help reads for itself", async () => {
    const { train, validation, mixture, close } = await prepare(at("a.jsonl"));
    const options = { batchSize: 1, contextLength: 16, seed: 8, shuffle: { rows: 1, mixture: mixture! } };
    const batches = createBatches({ ...options, train, validation, byteLengths: tokenizer.byteLengths });
    const ahead = readAhead(batches, at("nowhere"), options, 1);
    for (let step = 0; step < 5; step++) {
      expect(ahead.trainingBatch(step)).toEqual(batches.trainingBatch(step));
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    expect(ahead.counts).toEqual({ ahead: 0, late: 5 });
    ahead.close();
    close();
  });
});

test("memory stays flat: of 256 MiB of ids and 34 MB of documents a process holds neither", () => {
  const script = at("flat.mjs");
  const big = at("big.bin");
  const descriptor = fs.openSync(big, "w");
  const piece = Uint16Array.from({ length: 2 ** 24 }, (_, index) => (index * 7) % 300);
  for (let part = 0; part < 8; part++) fs.writeSync(descriptor, piece);
  fs.closeSync(descriptor);
  const line = `${JSON.stringify({ text: "the the the ".repeat(4000) })}\n`;
  fs.writeFileSync(at("big.jsonl.gz"), zlib.gzipSync(line.repeat(700), { level: 1 }));
  writeTokenizer(at("tokenizer.json"), tokenizer);
  const source = new URL("../../src/data", import.meta.url).href;
  fs.writeFileSync(
    script,
    `import { prepareData } from "${source}/prepare.ts";
     import { createBatches } from "${source}/batches.ts";
     import { readTokenizer } from "${source}/tokenizer-file.ts";
     const tokenizer = readTokenizer(${JSON.stringify(at("tokenizer.json"))});
     const read = [];
     for (const file of ${JSON.stringify([big, at("big.jsonl.gz")])}) {
       const data = await prepareData({ source: file, vocabularySize: 300, cacheFolder: ${JSON.stringify(at("flat"))}, tokenizer });
       const { train, validation, mixture } = data;
       const batches = createBatches({ train, validation, byteLengths: tokenizer.byteLengths, batchSize: 8, contextLength: 512, seed: 1, shuffle: { rows: 8, mixture } });
       for (let step = 0; step < 500; step++) batches.trainingBatch(step);
       read.push(train.bytes + validation.bytes);
       data.close();
     }
     console.log(JSON.stringify({ read, peak: process.resourceUsage().maxRSS / 1024 }));`,
  );
  const { stdout, stderr } = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", script], {
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  const { read, peak } = JSON.parse(stdout) as { read: number[]; peak: number };
  expect(fs.statSync(big).size).toBeGreaterThan(260e6);
  expect(read[1]).toBe(700 * 48_000);
  // MiB; without data a process has about 110, and with one copy of the ids 366.
  expect(peak).toBeLessThan(330);
}, 120_000);
