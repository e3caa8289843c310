import { execFileSync } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";
import { corpusOf, parseSource, readCorpus } from "../../src/data/corpus.ts";
import { makeFolders } from "./folders.ts";

const { root: folder, put } = makeFolders("corpus");
const read = (file: string) => readCorpus({ kind: "path", path: file });

test("the State of the Union: one document a speech, by year", async () => {
  const { documents, bytes, name } = await readCorpus({ kind: "sotu" });
  expect(name).toBe("sotu");
  expect(documents).toHaveLength(233);
  expect(bytes).toBe(10_761_413);
  expect(documents[0]!.name).toBe("1790_george_washington_n.txt");
  expect(documents[0]!.text).toMatch(/^Fellow-Citizens of the Senate/);
  expect(documents.at(-1)!.name).toBe("2021_joseph_r_biden_d.txt");
});

test("a folder: its text files and those below, by path; the rest is passed over", async () => {
  const root = put({
    "b.txt": "b",
    "a/z.md": "z",
    "a/Y.TXT": "Y",
    "image.png": "no",
    ".hidden/x.txt": "no",
    "node_modules/p/x.txt": "no",
    "empty.txt": "",
  });
  const { documents } = await read(root);
  expect(documents).toEqual([
    { name: "a/Y.TXT", text: "Y" },
    { name: "a/z.md", text: "z" },
    { name: "b.txt", text: "b" },
  ]);
  const png = await readCorpus({ kind: "path", path: root, extensions: [".png"] });
  expect(png.documents.map(({ name }) => name)).toEqual(["image.png"]);
});

test("a byte order mark is dropped and nothing else is changed", async () => {
  const text = "\r\n  e\u0301 \u00e9\ttail \ufeff";
  const { documents, bytes } = await read(path.join(put({ "a.txt": `\ufeff${text}` }), "a.txt"));
  expect(documents).toEqual([{ name: "a.txt", text }]);
  expect(bytes).toBe(Buffer.byteLength(text));
});

test("the hash tells texts and the bounds between documents apart", () => {
  const hash = (...texts: string[]): string =>
    corpusOf(
      "x",
      texts.map((text) => ({ name: "n", text })),
    ).hash;
  expect(new Set([hash("ab", "c"), hash("a", "bc"), hash("abc"), hash("abd")]).size).toBe(4);
});

test("standard input is read to its end", () => {
  const program = `
    import { readCorpus } from ${JSON.stringify(new URL("../../src/data/corpus.ts", import.meta.url).href)};
    try { console.log(JSON.stringify((await readCorpus({ kind: "stdin" })).documents)); } catch (error) { console.log(error.message); }`;
  const run = (input: string | Uint8Array): string =>
    execFileSync(process.execPath, ["--input-type=module", "--no-warnings", "-e", program], {
      input,
      encoding: "utf8",
    }).trim();
  expect(JSON.parse(run("one\ntwo \u{1f600}"))).toEqual([{ name: "stdin", text: "one\ntwo \u{1f600}" }]);
  expect(run("")).toMatch(/^stdin holds no text/);
  expect(run(Uint8Array.of(0x61, 0xff))).toMatch(/^standard input is not UTF-8 text: the byte 0xff at offset 1/);
});

test("what is written on the command line names a source", () => {
  expect(parseSource("sotu")).toEqual({ kind: "sotu" });
  expect(parseSource("-")).toEqual({ kind: "stdin" });
  expect(parseSource("./sotu")).toEqual({ kind: "path", path: "./sotu" });
  expect(parseSource("toString")).toEqual({ kind: "path", path: "toString" });
});

test.each<[string, number[], RegExp]>([
  [
    "a stray byte",
    [0x61, 0xc3, 0xa9, 0xe9, 0x62],
    /the byte 0xe9 at offset 3 begins no character\. Convert it \("iconv/,
  ],
  ["a character cut off at the end", [0x61, 0xf0, 0x9f, 0x98], /the byte 0xf0 at offset 1 /],
  ["a surrogate", [0x61, 0x62, 0xed, 0xa0, 0x80], /the byte 0xed at offset 2 /],
  ["an overlong form", [0xc0, 0x80], /the byte 0xc0 at offset 0 /],
  ["UTF-16", [0xff, 0xfe, 0x61, 0x00], /is UTF-16 text; convert it to UTF-8 \("iconv -f UTF-16/],
  ["compressed", [0x1f, 0x8b, 0x08, 0x00], /is compressed by gzip, which only \.jsonl\.gz may be; unpack it \("gunzip/],
])("not UTF-8: %s", async (_, bytes, message) => {
  const file = path.join(put({ "bad.txt": Uint8Array.from(bytes) }), "bad.txt");
  await expect(read(file)).rejects.toThrow(message);
  await expect(read(file)).rejects.toThrow(file);
  await expect(read(path.dirname(file))).rejects.toThrow(message);
});

test("nothing to read is an error that says so", async () => {
  await expect(read(path.join(put({ "a.txt": "" }), "a.txt"))).rejects.toThrow(/a\.txt holds no text: give a file/);
  await expect(read(path.join(put({ "a.txt": " \n" }), "a.txt"))).rejects.toThrow(/a\.txt holds no text/);
  await expect(read(put({ "a.txt": "", "b.txt": "" }))).rejects.toThrow(/holds no text/);
  await expect(read(put({ "a.png": "x" }))).rejects.toThrow(/has no text files \(\.txt, /);
  await expect(read(path.join(folder, "absent.txt"))).rejects.toThrow(
    /cannot read .*absent\.txt: there is no such file or folder/,
  );
});
