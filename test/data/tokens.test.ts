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
    "tokens 9999 to 10001 were asked for; there are tokens 0 to 10000",
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

test.each<[string, (file: string) => void, RegExp]>([
  [
    "cut short",
    (file) => fs.truncateSync(file, 1100),
    /is damaged \(it has 1100 bytes and should have 2024\): delete it/,
  ],
  ["cut within its header", (file) => fs.truncateSync(file, 10), /is damaged \(it is too short\)/],
  ["with a bit turned over", (file) => flip(file, 1500), /is damaged \(its checksum is wrong\)/],
  ["with a broken header", (file) => flip(file, 8), /is damaged \(its header is not readable\)/],
  ["of another kind", (file) => fs.writeFileSync(file, ` ${"{}".padEnd(2000)}`), /is damaged/],
  ["that is not there", (file) => fs.rmSync(file), /cannot read the tokens .*: there is no such file/],
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
