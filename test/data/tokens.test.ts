import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { openTokenFile, writeTokenFile } from "../../src/data/token-file.ts";
import { memoryTokens } from "../../src/data/tokens.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-tokens-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const origin = { tokenizer: "a".repeat(64), text: "b".repeat(64) };
let made = 0;
function write(vocabularySize: number, ids: readonly number[]): string {
  const file = path.join(folder, `${made++}.safetensors`);
  const half = ids.length >> 1;
  writeTokenFile(file, vocabularySize, origin, [
    { ids: Uint32Array.from(ids.slice(0, half)), bytes: 30 },
    { ids: Uint32Array.from(ids.slice(half)), bytes: 12 },
  ]);
  return file;
}

test.each([
  [2048, 2],
  [65_536, 2],
  [65_537, 4],
])("a vocabulary of %i takes %i bytes a token; any window is read", (vocabularySize, width) => {
  const ids = Array.from({ length: 10_000 }, (_, index) => (index * 7919) % vocabularySize);
  ids[5000] = vocabularySize - 1;
  const file = write(vocabularySize, ids);
  expect(fs.statSync(file).size).toBe(1024 + width * ids.length);
  const tokens = openTokenFile(file, { verify: true });
  expect({ ...tokens }).toMatchObject({ length: ids.length, vocabularySize, bytes: 42, origin });
  for (const [offset, count] of [
    [0, 1],
    [4999, 3],
    [9990, 10],
    [0, 10_000],
    [17, 0],
  ] as const) {
    const into = new Int32Array(count + 2).fill(-7);
    tokens.read(offset, count, into, 1);
    expect([...into]).toEqual([-7, ...ids.slice(offset, offset + count), -7]);
    memoryTokens(ids, vocabularySize, 42).read(offset, count, into, 1);
    expect([...into]).toEqual([-7, ...ids.slice(offset, offset + count), -7]);
  }
  expect(() => tokens.read(9999, 2, new Int32Array(2))).toThrow(
    "tokens 9999 to 10001 lie outside the text; it has tokens 0 to 10000",
  );
  tokens.close();
});

test("the file is safetensors: a length, JSON, the numbers", () => {
  const raw = fs.readFileSync(write(300, [1, 2, 299]));
  const headerLength = Number(raw.readBigUInt64LE());
  const header: Record<string, unknown> = JSON.parse(raw.toString("utf8", 8, 8 + headerLength));
  expect(header["tokens"]).toEqual({ dtype: "U16", shape: [3], data_offsets: [0, 6] });
  expect([
    ...new Uint16Array(raw.buffer.slice(raw.byteOffset + 8 + headerLength, raw.byteOffset + raw.length)),
  ]).toEqual([1, 2, 299]);
});

/** A token file, byte for byte as versions 0.1 wrote it, or with another length of its head. */
function writeByHand(headLength: number, offsets: readonly [number, number] = [0, 6]): string {
  const file = path.join(folder, `${made++}.safetensors`);
  const sha256 = "5d9a5d1f5b0a6b5e2f9a44bd7eb4d4b4e9a7f1d6f0f6c2cb4a30c7a0f3b8a6f1";
  const metadata = { format: "birkhoff tokens 1", vocabulary_size: "300", bytes: "9", ...origin, sha256 };
  const head = Buffer.alloc(headLength, " ");
  head.writeBigUInt64LE(BigInt(headLength - 8));
  head.write(
    JSON.stringify({ __metadata__: metadata, tokens: { dtype: "U16", shape: [3], data_offsets: offsets } }),
    8,
  );
  fs.writeFileSync(file, Buffer.concat([head, Buffer.from(Uint16Array.of(1, 2, 299).buffer)]));
  return file;
}

test.each([1024, 512, 2048])("tokens behind a head of %i bytes are read where they lie", (headLength) => {
  const tokens = openTokenFile(writeByHand(headLength));
  const ids = new Int32Array(2);
  tokens.read(1, 2, ids);
  expect([...ids]).toEqual([2, 299]);
  expect({ ...tokens }).toMatchObject({ length: 3, vocabularySize: 300, bytes: 9, origin });
  tokens.close();
});

test("a head that places the tokens elsewhere is refused", () => {
  expect(() => openTokenFile(writeByHand(1024, [2, 8]))).toThrow(/is damaged \(tokens begins at byte 1026/);
});

test.each<[string, (file: string) => void, RegExp]>([
  [
    "cut short",
    (file) => fs.truncateSync(file, 1100),
    /is damaged \(it was cut off: tokens, U16 \[500\], takes bytes 1024 to 2023, but the file ends at byte 1100\): delete it/,
  ],
  [
    "cut within its header",
    (file) => fs.truncateSync(file, 10),
    /is damaged \(bytes 0 to 7 say that its header has 1016 bytes, but it has 10 bytes in all\): delete it/,
  ],
  ["with a bit turned over", (file) => flip(file, 1500), /is damaged \(its checksum is wrong\)/],
  ["with a broken header", (file) => flip(file, 8), /is damaged \(its header is not JSON.*\): delete it/],
  ["of another kind", (file) => fs.writeFileSync(file, ` ${"{}".padEnd(2000)}`), /is damaged/],
  ["that is not there", (file) => fs.rmSync(file), /cannot read the tensors .*: there is no such file/],
])("a file %s is refused", (_, harm, message) => {
  const file = write(
    300,
    Array.from({ length: 500 }, () => 7),
  );
  harm(file);
  expect(() => openTokenFile(file, { verify: true })).toThrow(message);
});

function flip(file: string, at: number): void {
  const bytes = fs.readFileSync(file);
  bytes[at]! ^= 1;
  fs.writeFileSync(file, bytes);
}

test("writing that fails leaves the old file and nothing half done", () => {
  const file = write(300, [1, 2, 3]);
  const before = fs.readFileSync(file);
  function* failing() {
    yield { ids: Uint32Array.of(4, 5), bytes: 2 };
    throw new Error("no more");
  }
  expect(() => writeTokenFile(file, 300, origin, failing())).toThrow(/cannot write .*: no more/);
  expect(fs.readFileSync(file)).toEqual(before);
  expect(fs.readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});
