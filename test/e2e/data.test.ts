// `birkhoff train` and `compare` on data that is not held in memory: every kind of file from the built command, a
// resumed run, one whose cache is gone, and what is refused.

import fs from "node:fs";
import path from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readTokenizer } from "../../src/data/tokenizer-file.ts";
import { losses, makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const quick = [...tiny, "--steps", "6", "--evaluate-every", "3", "--checkpoint-every", "3"];
const train = async (out: string, ...args: string[]): Promise<unknown[]> => {
  const { code, stderr } = await run(place.folder, ["train", "--out", out, "--json", ...args]);
  expect(code, stderr).toBe(0);
  return losses(place.at(out));
};

beforeAll(() => {
  const documents = fs.readFileSync(place.at("text.txt"), "utf8").split(/\n\n+/);
  const lines = `${documents.map((text) => JSON.stringify({ text })).join("\n")}\n`;
  fs.writeFileSync(place.at("a.jsonl"), lines);
  const columnData = [{ name: "text", data: documents, type: "STRING" as const }];
  fs.writeFileSync(place.at("a.parquet"), Buffer.from(parquetWriteBuffer({ columnData })));
});

test("JSON lines, parquet and token ids of the same documents train the same model", async () => {
  const plain = await train("runs/plain", "--data", "a.jsonl", ...quick);
  expect(plain.length).toBe(6);
  expect(await train("runs/parquet", "--data", "a.parquet", ...quick)).toEqual(plain);
  fs.mkdirSync(place.at("ids"));
  fs.copyFileSync(place.at("runs/plain/tokenizer.json"), place.at("ids/tokenizer.json"));
  const tokenizer = readTokenizer(place.at("ids/tokenizer.json"));
  const ids = fs
    .readFileSync(place.at("a.jsonl"), "utf8")
    .trim()
    .split("\n")
    .flatMap((line) => [...tokenizer.encode((JSON.parse(line) as { text: string }).text), tokenizer.endOfText!]);
  fs.writeFileSync(place.at("ids/tokens.bin"), Uint16Array.from(ids));
  expect(await train("runs/ids", "--data", "ids", ...quick)).toEqual(plain);
  const other = await train("runs/other", "--data", "a.jsonl", "--tokenizer", "ids/tokenizer.json", ...quick);
  expect(other).toEqual(plain);
});

test("a run that is resumed has the bits of one that was not, also where its cache is gone", async () => {
  const args = ["--data", "a.jsonl", "text.txt", "--weights", "3,1", ...quick];
  const whole = await train("runs/whole", ...args);
  for (const name of ["resumed", "anew"]) {
    fs.cpSync(place.at("runs/whole"), place.at(`runs/${name}`), { recursive: true });
    fs.rmSync(place.at(`runs/${name}/checkpoints/step-6`), { recursive: true });
  }
  const resume = async (name: string, ...more: string[]): Promise<unknown> => {
    const { code, stderr } = await run(place.folder, [
      "train",
      "--resume",
      `runs/${name}`,
      "--json",
      "--threads",
      "1",
      ...more,
    ]);
    expect(code, stderr).toBe(0);
    return losses(place.at("runs", name));
  };
  expect(await resume("resumed")).toEqual(whole);
  const { config } = JSON.parse(fs.readFileSync(place.at("runs/anew/config.json"), "utf8")) as {
    config: { data: { source: string[]; weights: number[]; shuffled: boolean; prepared: { folder: string } } };
  };
  expect(config.data).toMatchObject({ source: ["a.jsonl", "text.txt"], weights: [3, 1], shuffled: true });
  fs.rmSync(config.data.prepared.folder, { recursive: true });
  expect(await resume("anew", "--cache", path.dirname(config.data.prepared.folder))).toEqual(whole);
});

test("compare trains on ids, and its runs are resumed", async () => {
  const { code, stderr } = await run(
    place.folder,
    ["compare", "--data", "ids", "--connections", "residual,hc", "--out", "runs/both"].concat(quick),
  );
  expect(code, stderr).toBe(0);
  const more = await run(place.folder, ["compare", "--resume", "runs/both", "--steps", "8", "--threads", "1"]);
  expect(more.code, more.stderr).toBe(0);
  expect(losses(place.at("runs/both/hc")).length).toBe(8);
});

test.each([
  [["--data", "bad.jsonl"], "bad.jsonl, line 2: it is no JSON"],
  [["--data", "a.jsonl", "--weights", "x"], "It must be numbers above 0 and below 1e9, separated by commas"],
  [["--data", "a.jsonl", "--tokenizer", "bad.jsonl"], "bad.jsonl cannot be used"],
])("%j is refused with the place and what to do", async (args, message) => {
  fs.writeFileSync(place.at("bad.jsonl"), '{"text":"a"}\n{"text":\n');
  const { code, stderr } = await run(place.folder, ["train", "--out", "runs/refused", ...args, ...quick]);
  expect(code).toBe(1);
  expect(stderr).toContain(message);
  expect(fs.existsSync(place.at("runs/refused"))).toBe(false);
});

test("a model that cannot be held is refused in bytes, before a run is made", async () => {
  const { code, stderr } = await run(
    place.folder,
    "train --data a.jsonl --preset gpt2-small --runtime wasm --threads 1 --memory 3GiB --out runs/large".split(" "),
  );
  expect(code).toBe(1);
  expect(stderr).toMatch(/large: training would need [\d.]+ GiB of memory; the limit is 3\.00 GiB/);
  expect(fs.existsSync(place.at("runs/large"))).toBe(false);
});
