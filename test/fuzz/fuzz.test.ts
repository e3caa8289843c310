// 2,000 changed files, the same ones every time: whatever reads one works, or refuses it in the words of this library.
// An error of the engine itself ("Cannot read properties of undefined") is a fault, as is a file that takes for ever.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isInherited } from "../../src/basics/objects.ts";
import { parseTokenizer } from "../../src/data/tokenizer-json-read.ts";
import { readSafetensors } from "../../src/files/safetensors.ts";
import { csvTables } from "../../src/interop/csv.ts";
import { exportHuggingFace } from "../../src/interop/hf/export.ts";
import { readHuggingFaceModel } from "../../src/interop/hf/weights.ts";
import { prometheusText } from "../../src/interop/prometheus.ts";
import { describeInstruments } from "../../src/report/instruments-text.ts";
import { createRoutes } from "../../src/report/server/routes.ts";
import { latestCheckpoint, loadCheckpoint } from "../../src/runs/checkpoint.ts";
import { readRunData } from "../../src/runs/run-data.ts";
import { openRunFolder, readEvents, readGains, readMetrics } from "../../src/runs/run-folder.ts";
import { parseSweep, sweepPoints } from "../../src/runs/sweep/definition.ts";
import { inspectFile } from "../../src/study/inspect.ts";
import { lintFile } from "../../src/study/lint-file.ts";
import { parseTrainingConfig } from "../../src/training/config.ts";
import { type Draw, drawsOf, mutateBytes, mutateJson, mutateLines } from "./mutate.ts";

const fixture = path.join(import.meta.dirname, "../fixtures/runs-0.1");
const place = fs.mkdtempSync(path.join(os.tmpdir(), "fuzz-"));
const exported = path.join(place, "sound-hf");
afterAll(() => fs.rmSync(place, { recursive: true, force: true }));
beforeAll(() => void exportHuggingFace(path.join(fixture, "residual"), exported));

/** What the engine says by itself; messages of this library have other words. */
const engine =
  /Cannot (read|set|convert|destructure|mix|access|assign|add|define)|is not (a function|iterable|a constructor|defined|extensible)|Invalid (array|string|typed array|count|time|regular)|Maximum call stack|out of (range|bounds)\b.*(digits|precision)|toFixed\(\)|toPrecision\(\)|Reduce of empty|allocation failed|allocate memory|circular structure|argument must be (of type|an instance)|\[object Object\]|undefined is|null is not|BigInt|WebAssembly/;

/** The longest message that a person would read. */
const LONGEST_MESSAGE = 20_000;

/** Undefined for an error in this library's words, otherwise what is wrong with it. */
function foreign(error: unknown): string | undefined {
  if (!(error instanceof Error)) return `no error: ${String(error)}`;
  const own =
    error.constructor === Error || error.constructor === RangeError || String(error.constructor).startsWith("class");
  if (!own || engine.test(error.message)) return error.stack ?? error.message;
  return error.message.length > LONGEST_MESSAGE ? `a message of ${error.message.length} characters` : undefined;
}

test("an error of the engine is told from one of this library", () => {
  const thrown = (action: () => unknown): unknown => {
    try {
      return action();
    } catch (error) {
      return error;
    }
  };
  const nothing = JSON.parse("null") as { a: { b: string } };
  expect(foreign(thrown(() => nothing.a.b))).toBeDefined();
  expect(foreign(thrown(() => JSON.parse("{") as unknown))).toBeDefined();
  expect(foreign(thrown(() => "x".repeat(-1)))).toBeDefined();
  expect(foreign(new Error("cannot read x: Cannot read properties of null"))).toBeDefined();
  expect(foreign(thrown(() => parseTrainingConfig(null)))).toBeUndefined();
});

/** Seconds that one file may take; far more than any needs, because the machine may be busy. */
const MOST_SECONDS = 5;

/** Run all readers on a file; what is wrong with the first that is not as it should be. */
async function faultOf(readers: readonly (() => unknown)[]): Promise<string | undefined> {
  for (const read of readers) {
    const started = performance.now();
    let fault: string | undefined;
    try {
      await read();
    } catch (error) {
      fault = foreign(error);
    }
    const seconds = (performance.now() - started) / 1000;
    if (fault !== undefined) return fault;
    if (seconds > MOST_SECONDS) return `it took ${seconds.toFixed(1)} s`;
  }
  return undefined;
}

interface Kind {
  readonly name: string;
  readonly files: number;
  /** Make a file and return what reads it. */
  make(draw: Draw, folder: string): readonly (() => unknown)[];
}

const read = (...names: string[]): string => fs.readFileSync(path.join(fixture, ...names), "utf8");

const sweep = JSON.stringify({
  name: "a sweep",
  base: { steps: 200, vocabulary: 512, "model.width": 64, data: "text.txt" },
  axes: { connection: ["residual", "mhc:streams=2"], learningRate: [1e-3, 3e-3], seed: [1, 2], preset: ["nano"] },
  where: [{ connection: "residual" }, { seed: [1, 2] }],
  exclude: [{ learningRate: 3e-3, seed: 2 }],
  keepCheckpoints: false,
});

const page = new Map([["/index.html", { bytes: new Uint8Array(1), type: "text/html" }]]);
/** Ask the server; a fault of its own is an error here. */
async function ask(root: string, addresses: readonly string[]): Promise<void> {
  const app = createRoutes({ root, host: "127.0.0.1", page, metricsText: prometheusText });
  for (const address of addresses) {
    const response = await app.request(address, { headers: { host: "127.0.0.1:7333" } });
    const text = await response.text();
    if (response.status >= 500) throw new TypeError(`${address}: ${text}`);
  }
}

const routes = [
  "/api/runs",
  "/api/curves?run=run",
  "/api/gains?run=run",
  "/api/mixing?run=run&step=10",
  "/api/texts?run=run",
  "/metrics",
];

/** A safetensors file with a changed header, or with changed bytes. */
function changedTensors(draw: Draw, file: string): Uint8Array {
  const bytes = fs.readFileSync(file);
  if (draw(3) === 0) return mutateBytes(draw, bytes.subarray(0, 6000));
  const length = Number(bytes.readBigUInt64LE());
  const header = Buffer.from(mutateJson(draw, bytes.subarray(8, 8 + length).toString()));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header, bytes.subarray(8 + length)]);
}

const kinds: readonly Kind[] = [
  {
    name: "configurations of runs",
    files: 450,
    make(draw, folder) {
      fs.writeFileSync(
        path.join(folder, "config.json"),
        mutateJson(draw, read(draw(2) ? "manifold" : "mixed", "config.json")),
      );
      return [
        () => parseTrainingConfig(openRunFolder(folder).config, "config.json"),
        () => readRunData(folder),
        () => prometheusText([readRunData(folder)]),
        () => latestCheckpoint(folder, () => undefined),
      ];
    },
  },
  {
    name: "sweeps",
    files: 450,
    make(draw) {
      const text = mutateJson(draw, sweep);
      let given: unknown;
      try {
        given = JSON.parse(text);
      } catch {
        return [];
      }
      return [() => sweepPoints(parseSweep(given))];
    },
  },
  {
    name: "records, and what is made of them",
    files: 300,
    make(draw, folder) {
      const run = path.join(folder, "run");
      fs.mkdirSync(run);
      fs.writeFileSync(path.join(run, "config.json"), read("manifold", "config.json"));
      const records = ["metrics.jsonl", "gains.jsonl", "events.jsonl"];
      const changed = draw(records.length);
      records.forEach((name, at) => {
        const text = read("manifold", name);
        fs.writeFileSync(path.join(run, name), at === changed ? mutateLines(draw, text) : text);
      });
      if (draw(3) === 0)
        fs.writeFileSync(path.join(run, "mixing.jsonl"), mutateLines(draw, read("manifold", "gains.jsonl")));
      if (draw(3) === 0) fs.writeFileSync(path.join(run, "tags.json"), mutateJson(draw, '{"tags": ["a", "b"]}'));
      const readStrictly = [() => readMetrics(run), () => readGains(run), () => readEvents(run)];
      return [
        ...readStrictly,
        () => csvTables(readRunData(run)),
        () => prometheusText([readRunData(run)]),
        () => readRunData(run).gains.map((gains) => describeInstruments(gains, [])),
        () => ask(folder, routes),
      ];
    },
  },
  {
    name: "checkpoints",
    files: 250,
    make(draw, folder) {
      const checkpoint = path.join(folder, "checkpoints", "step-20");
      fs.mkdirSync(checkpoint, { recursive: true });
      const from = fs.readdirSync(path.join(fixture, "manifold", "checkpoints"))[0]!;
      const source = path.join(fixture, "manifold", "checkpoints", from);
      fs.writeFileSync(
        path.join(checkpoint, "state.json"),
        mutateJson(draw, fs.readFileSync(path.join(source, "state.json"), "utf8")),
      );
      const file = path.join(checkpoint, "model.safetensors");
      fs.writeFileSync(file, changedTensors(draw, path.join(source, "model.safetensors")));
      return [
        () => loadCheckpoint(checkpoint),
        () => latestCheckpoint(folder, () => undefined),
        () => readSafetensors(file),
        () => lintFile(file, { tokens: 2 }),
        () => inspectFile(file, { tokens: 2 }),
      ];
    },
  },
  {
    name: "tokenizers",
    files: 250,
    make(draw) {
      const text = mutateJson(draw, read("manifold", "tokenizer.json"));
      return [() => parseTokenizer(text, "tokenizer.json").encode("The people, 12 of them.")];
    },
  },
  {
    name: "models of Hugging Face",
    files: 200,
    make(draw, folder) {
      for (const name of fs.readdirSync(exported)) fs.copyFileSync(path.join(exported, name), path.join(folder, name));
      const config = path.join(folder, "config.json");
      const index = JSON.stringify({
        metadata: { total_size: 1 },
        weight_map: { "lm_head.weight": "model.safetensors", a: "b.safetensors" },
      });
      if (draw(4) === 0) fs.writeFileSync(path.join(folder, "model.safetensors.index.json"), mutateJson(draw, index));
      else fs.writeFileSync(config, mutateJson(draw, fs.readFileSync(config, "utf8")));
      return [() => readHuggingFaceModel(folder)];
    },
  },
  {
    name: "requests to the page",
    files: 100,
    make(draw, folder) {
      const run = path.join(folder, "run");
      fs.mkdirSync(run);
      for (const name of ["config.json", "metrics.jsonl", "gains.jsonl"])
        fs.writeFileSync(path.join(run, name), read("manifold", name));
      const numbers = ["-1", "1e300", "NaN", "Infinity", "", "9".repeat(400), "0x10", "__proto__", "null", "1.5"];
      const one = (): string => numbers[draw(numbers.length)]!;
      const name = ["run", "__proto__", "constructor", "..", "toString", "%00", "a".repeat(5000)][draw(7)]!;
      return [
        () =>
          ask(folder, [
            `/api/curves?run=${name}&points=${one()}&from=${one()}&to=${one()}`,
            `/api/gains?run=${name}&${one()}=${one()}`,
            `/api/mixing?run=${name}&step=${one()}`,
            `/api/texts?run=${name}`,
            `/assets/${one()}`,
            `/${name}`,
          ]),
      ];
    },
  },
];

describe("sound files", () => {
  test("are read, so that the changes are what is refused", () => {
    expect(parseTrainingConfig(openRunFolder(path.join(fixture, "mixed")).config).name).not.toBe("");
    expect(sweepPoints(parseSweep(JSON.parse(sweep))).length).toBeGreaterThan(1);
    expect(readRunData(path.join(fixture, "manifold")).problems).toEqual([]);
    expect(parseTokenizer(read("manifold", "tokenizer.json")).encode("The people").length).toBeGreaterThan(0);
    expect(readHuggingFaceModel(exported).tensors.length).toBeGreaterThan(0);
  });
});

describe("changed files", () => {
  let number = 0;
  for (const { name, files, make } of kinds)
    test(`${files} ${name}`, { timeout: 120_000 }, async () => {
      const faults: string[] = [];
      for (let at = 0; at < files; at++) {
        const folder = path.join(place, `case-${number}`);
        fs.mkdirSync(folder);
        const readers = make(drawsOf(number++), folder);
        const fault = await faultOf(readers);
        if (fault !== undefined) faults.push(`${name}, file ${at}: ${fault}`);
        fs.rmSync(folder, { recursive: true, force: true });
      }
      expect(faults).toEqual([]);
    });

  test("leave what all objects inherit as it was, and little memory behind", () => {
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(isInherited("__proto__")).toBe(true);
    expect(process.memoryUsage().rss).toBeLessThan(2 * 2 ** 30);
  });

  test("are 2,000", () => {
    expect(kinds.reduce((sum, { files }) => sum + files, 0)).toBe(2000);
  });
});
