// A run that was kept as files in memory is the run: commands read them from a folder, and a trainer goes on from them
// with the same bits. What is damaged is told.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createBatches } from "../../src/data/batches.ts";
import { prepareData } from "../../src/data/prepare.ts";
import { prepareTexts, type PreparedTexts } from "../../src/data/prepare-texts.ts";
import { formatTokenizer } from "../../src/data/tokenizer-json.ts";
import type { TokenSource } from "../../src/data/tokens.ts";
import { latestCheckpoint, loadCheckpoint } from "../../src/runs/checkpoint.ts";
import { decodeRun, encodeRun, type KeptRun, type RunFiles } from "../../src/runs/run-files.ts";
import { readRunData } from "../../src/runs/run-data.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { GainRecord, MetricRecord } from "../../src/training/records.ts";
import { gainRecord, metricRecord } from "../../src/training/step-records.ts";
import { createTrainer, type Trainer } from "../../src/training/trainer.ts";
import { tinyTraining } from "../training/tiny.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-run-files-"));
const documents = [{ name: "text", text: "the small text of a test, which goes on and on. ".repeat(40) }];
let runtime: WasmRuntime;
let data: PreparedTexts;
let run: KeptRun;
let files: RunFiles;
/** Steps 4 and 5, without a break. */
let after: number[];

function trainer(): Trainer {
  data ??= prepareTexts(documents, { vocabularySize: 270 });
  const { tokenizer, train, validation } = data;
  const base = tinyTraining("mhc");
  const config = { ...base, model: { ...base.model, vocabulary: tokenizer.vocabularySize } };
  const { byteLengths } = tokenizer;
  const sizes = { batchSize: config.batch, contextLength: config.model.context, seed: config.seed };
  return createTrainer(runtime, config, createBatches({ train, validation, byteLengths, ...sizes }));
}

beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 1 });
  const whole = trainer();
  const metrics: MetricRecord[] = [];
  const gains: GainRecord[] = [];
  for (let step = 1; step <= 3; step++) {
    const result = await whole.trainStep({ instruments: true });
    metrics.push(metricRecord(result, { secondsBefore: metrics.at(-1)?.seconds ?? 0 }));
    gains.push(gainRecord(step, result.instruments!));
  }
  const versions = { kernels: runtime.kernels };
  run = { config: whole.config, tokenizer: data.tokenizer, metrics, gains, state: await whole.save(), versions };
  files = await encodeRun(run);
  after = [(await whole.trainStep()).loss, (await whole.trainStep()).loss];
  for (const [name, bytes] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), bytes);
  }
});
afterAll(() => {
  runtime.close();
  fs.rmSync(folder, { recursive: true });
});

test("its files in a folder are a run", () => {
  const { config, metrics, gains, problems, checkpoints } = readRunData(folder);
  expect(problems).toEqual([]);
  expect(config).toEqual(run.config);
  expect(metrics).toEqual(run.metrics);
  expect(gains).toEqual(run.gains);
  expect(gains[0]!.mixing).toBeDefined();
  expect(checkpoints).toEqual([3]);
  const place = latestCheckpoint(folder, (message) => expect.fail(message))!;
  const { step, model, optimizer, state } = loadCheckpoint(place.folder);
  expect({ step, model, optimizer }).toEqual(run.state);
  expect(state).toEqual({ seed: run.config.seed });
});

test("a trainer goes on from them with the same bits", async () => {
  const read = await decodeRun(files);
  expect({ ...read, tokenizer: 0 }).toEqual({
    ...run,
    tokenizer: 0,
    state: { ...run.state, state: { seed: run.config.seed } },
  });
  expect(read.tokenizer.encode(documents[0]!.text)).toEqual(data.tokenizer.encode(documents[0]!.text));
  const again = trainer();
  again.restore(read.state!);
  expect([(await again.trainStep()).loss, (await again.trainStep()).loss]).toEqual(after);
});

test("without a checkpoint it has none", async () => {
  const { state: _, ...begun } = run;
  const without = await encodeRun(begun);
  expect(Object.keys(without)).toEqual([
    "config.json",
    "tokenizer.json",
    "metrics.jsonl",
    "gains.jsonl",
    "mixing.jsonl",
  ]);
  expect((await decodeRun(without)).state).toBeUndefined();
});

const checkpoint = "checkpoints/step-3";
/** The files with one of them otherwise. */
const changed = (name: string, change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): RunFiles => ({
  ...files,
  [name]: change(files[name]!),
});
const flipped = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  bytes.with(bytes.length - 5, bytes.at(-5)! ^ 1);

test.each([
  [
    "a value of a tensor",
    () => changed(`${checkpoint}/model.safetensors`, flipped),
    /model\.safetensors: its checksum is wrong/,
  ],
  [
    "the end of a file",
    () => changed(`${checkpoint}/optimizer.safetensors`, (bytes) => bytes.slice(0, -4)),
    /it has \d+ bytes and should have \d+/,
  ],
  [
    "the step",
    () =>
      changed(`${checkpoint}/state.json`, (bytes) =>
        new TextEncoder().encode(new TextDecoder().decode(bytes).replace('"step": 3', '"step": 4')),
      ),
    /state\.json: its checksum is wrong/,
  ],
  [
    "a record",
    () => changed("metrics.jsonl", (bytes) => bytes.with(0, 0x5b)),
    /^decodeRun: line 1 of metrics\.jsonl is damaged/,
  ],
])("that %s was changed is told", async (_, make, message) => {
  await expect(decodeRun(make())).rejects.toThrow(message);
});

test.each(["config.json", "tokenizer.json"])("that %s is missing is told", async (name) => {
  const { [name]: _, ...rest } = files;
  await expect(decodeRun(rest)).rejects.toThrow(`decodeRun: ${name} is missing`);
});

test("a file of a checkpoint that is missing is told", async () => {
  const { [`${checkpoint}/optimizer.safetensors`]: _, ...rest } = files;
  await expect(decodeRun(rest)).rejects.toThrow(
    "decodeCheckpoint: optimizer.safetensors is undefined; it must be the bytes of that file. Give all three files.",
  );
});

test.each([
  ["one document", documents],
  [
    "many",
    Array.from({ length: 60 }, (_, at) => ({
      name: `${at}`,
      text: `${at}: caf\u00e9 \u{1f600} and more. `.repeat((at % 5) + 1),
    })),
  ],
])("texts in memory have the tokens that they have on disk: %s", async (_, texts) => {
  const stored = await prepareData({
    source: { kind: "documents", name: "texts", documents: texts },
    vocabularySize: 280,
    cacheFolder: path.join(folder, "cache"),
  });
  const kept = prepareTexts(texts, { vocabularySize: 280 });
  const idsOf = (source: TokenSource): Int32Array => {
    const ids = new Int32Array(source.length);
    source.read(0, source.length, ids);
    return ids;
  };
  for (const part of ["train", "validation"] as const) {
    expect(idsOf(kept[part])).toEqual(idsOf(stored[part]));
    expect(kept[part].bytes).toBe(stored[part].bytes);
  }
  expect(formatTokenizer(kept.tokenizer)).toBe(formatTokenizer(stored.tokenizer));
  stored.close();
});
