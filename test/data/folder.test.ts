// A folder of texts: links are followed once, nothing is waited for, and nothing is left out in silence.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { readCorpus } from "../../src/data/corpus.ts";
import { longestWord, textBudget } from "../../src/data/read-text.ts";
import { makeFolders } from "./folders.ts";

const { put } = makeFolders("folder");
const read = (folder: string, options: { extensions?: string[]; skipUnreadable?: boolean } = {}, memory?: number) =>
  readCorpus({ kind: "path", path: folder, ...options }, memory);
const namesOf = async (folder: string): Promise<string[]> => (await read(folder)).documents.map(({ name }) => name);

test("a linked folder is read, also when there is nothing else", async () => {
  const [folder, more] = [put({ "a.txt": "first" }), put({ "b.txt": "linked" })];
  fs.symlinkSync(path.relative(folder, more), path.join(folder, "more"));
  expect(await namesOf(folder)).toEqual(["a.txt", "more/b.txt"]);
  expect((await read(folder)).notes).toEqual([`followed links to folders: more (${fs.realpathSync(more)})`]);
  fs.rmSync(path.join(folder, "a.txt"));
  expect(await namesOf(folder)).toEqual(["more/b.txt"]);
});

test("links in circles, twice to one folder, and to nothing are left out and told", async () => {
  const [folder, more] = [put({ "a.txt": "a", "deep/c.txt": "c" }), put({ "b.txt": "b" })];
  fs.symlinkSync(".", path.join(folder, "self"));
  fs.symlinkSync("..", path.join(folder, "deep", "up"));
  fs.symlinkSync("deep", path.join(folder, "again"));
  fs.symlinkSync(more, path.join(folder, "one"));
  fs.symlinkSync(more, path.join(folder, "two"));
  fs.symlinkSync(folder, path.join(more, "back"));
  fs.symlinkSync("nowhere", path.join(folder, "lost.txt"));
  fs.symlinkSync("loop.txt", path.join(folder, "loop.txt"));
  const { documents, notes } = await read(folder);
  expect(documents.map(({ name }) => name)).toEqual(["a.txt", "deep/c.txt", "one/b.txt"]);
  expect(notes.at(-1)).toMatch(/2 broken link \(loop\.txt, lost\.txt\)/);
  expect(notes.at(-1)).toMatch(/2 link to a folder that holds it \(.*self.*\)/);
  expect(notes.at(-1)).toMatch(/folder that is read already \(.*again.*two.*\)/);
});

test("what was left out is said by extension, with the option that reads it", async () => {
  const folder = put({ "a.txt": "a", "x.py": "1", "y.py": "2", "z.json": "{}", ".git/x": "", "e.txt": "" });
  const { documents, notes } = await read(folder);
  expect(documents).toHaveLength(1);
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(/^left out: 3 files \(\.py 2, \.json 1\), 1 hidden \(\.git\), 1 empty \(e\.txt\); /);
  const [, asked] = /--extensions (\S+) reads/.exec(notes[0]!)!;
  const all = await read(folder, { extensions: asked!.split(",") });
  expect(all.documents.map(({ name }) => name)).toEqual(["a.txt", "x.py", "y.py", "z.json"]);
  expect((await read(folder, { extensions: ["*"] })).documents).toHaveLength(4);
  await expect(read(put({ "x.py": "1" }))).rejects.toThrow(/no text files[^]*1 file \(\.py 1\)/);
  await expect(read(folder, { extensions: ["a/b"] })).rejects.toThrow(/they must be endings of files/);
  await expect(read(path.join(folder, "a.txt"), { extensions: [".py"] })).rejects.toThrow(/is no folder: --extensions/);
});

test("files that are no text stop the reading, or are counted where the user wants that", async () => {
  const folder = put({ "a.txt": "a", "bad.txt": Uint8Array.of(0x61, 0xff), "zero.txt": new Uint8Array(8192) });
  await expect(read(folder)).rejects.toThrow(/bad\.txt is not UTF-8 text.*--skip-unreadable/);
  const { documents, notes } = await read(folder, { skipUnreadable: true });
  expect(documents.map(({ name }) => name)).toEqual(["a.txt"]);
  expect(notes[0]).toMatch(/1 not UTF-8 \(bad\.txt\), 1 no text \(zero\.txt\)/);
});

test.skipIf(process.platform === "win32")("pipes and devices are never waited for", async () => {
  const folder = put({ "a.txt": "a" });
  execFileSync("mkfifo", [path.join(folder, "p.txt")]);
  fs.symlinkSync("/dev/zero", path.join(folder, "z.txt"));
  expect((await read(folder)).notes[0]).toBe("left out: 1 named pipe (p.txt), 1 device (z.txt)");
  await expect(read(path.join(folder, "p.txt"))).rejects.toThrow(/p\.txt is a named pipe, and reading it could wait/);
  await expect(read("/dev/zero")).rejects.toThrow(/is a device, and reading it could wait for ever/);
});

test.skipIf(process.platform !== "linux")("a descriptor that is open already is read, as from <(...)", () => {
  const program = `
    import { readCorpus } from ${JSON.stringify(new URL("../../src/data/corpus.ts", import.meta.url).href)};
    console.log(JSON.stringify((await readCorpus({ kind: "path", path: process.argv[1] })).documents));`;
  const command = `"$0" --input-type=module --no-warnings -e "$1" <(printf 'from a pipe')`;
  const output = execFileSync("bash", ["-c", command, process.execPath, program], { encoding: "utf8" });
  expect(JSON.parse(output)).toEqual([{ name: "pipe", text: "from a pipe" }]);
});

test("texts are compared with the memory before they are read", async () => {
  const folder = put({});
  for (const name of ["a.txt", "b.txt"]) {
    fs.writeFileSync(path.join(folder, name), "");
    fs.truncateSync(path.join(folder, name), 400 * 2 ** 20);
  }
  const start = performance.now();
  await expect(read(folder, {}, 2 ** 30)).rejects.toThrow(
    /2 files\): 800\.0 MiB of text would need about 3\.91 GiB of memory; the limit is 1\.00 GiB, what --memory allows\. Give at most/,
  );
  expect(performance.now() - start).toBeLessThan(1000);
  await expect(read(path.join(folder, "a.txt"), {}, 2 ** 33)).rejects.toThrow(/begins with 4096 zero bytes/);
});

test("the advice of the budget, followed, suffices", () => {
  for (const [bytes, largest] of [
    [1e9, 1e9],
    [9e8, 3e8],
    [7e8, 1e6],
  ] as const) {
    const budget = textBudget(1e9);
    let message = "";
    try {
      budget.expect("texts", bytes, largest);
    } catch (error) {
      message = (error as Error).message;
    }
    const [, amount, unit] = /Give at most ([\d.]+) (\w+) of text/.exec(message)!;
    const size = Number(amount) * { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }[unit as "KiB" | "MiB" | "GiB"];
    expect(() => budget.expect("texts", size, (size * largest) / bytes)).not.toThrow();
  }
});

test("the longest word is a run of letters, digits or signs", () => {
  const longest = (text: string): number => longestWord(Buffer.from(text));
  expect(longest("one three 12345 ")).toBe(5);
  expect(longest("\0".repeat(9))).toBe(9);
  expect(longest("")).toBe(0);
  expect(longest("漢字。漢")).toBe(6);
});
