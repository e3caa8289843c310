// Models on a hub are read as folders are, and of large ones hardly a byte. The hub is a server on this machine.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseHubPlace } from "../../src/files/hub-place.ts";
import { convertFile } from "../../src/interop/convert.ts";
import { exportHuggingFace } from "../../src/interop/hf/export.ts";
import { importHuggingFace } from "../../src/interop/hf/import.ts";
import { latestCheckpoint, loadCheckpoint } from "../../src/runs/checkpoint.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { inspectFile } from "../../src/study/inspect.ts";
import { lintFile } from "../../src/study/lint-file.ts";
import { run } from "../e2e/cli.ts";
import { COMMIT, type HubServer, type HubServerOptions, startHub } from "../files/hub-server.ts";
import { writeSparseCheckpoint } from "../files/sparse-checkpoint.ts";
import { makeRun, models, trainedWeights } from "./hf.ts";

const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-hub-"));
const at = (...names: string[]): string => path.join(place, ...names);
const root = at("hub");
// Also for the thread that asks, which starts with these.
process.env.HF_HOME = at("cache");
delete process.env.HF_HUB_CACHE;
delete process.env.HUGGINGFACE_HUB_CACHE;
delete process.env.HF_TOKEN;

const hubs: HubServer[] = [];
/** Reads from a new hub from now on. */
async function useHub(options: Omit<HubServerOptions, "root"> = {}): Promise<HubServer> {
  const hub = await startHub({ root, ...options });
  hubs.push(hub);
  process.env.HF_ENDPOINT = hub.endpoint;
  return hub;
}
let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(async () => {
  for (const hub of hubs) await hub.close();
  runtime.close();
  fs.rmSync(place, { recursive: true });
});

/** An exported model of the table, as owner/name on the hub. */
function publish(name: string, model: string): string {
  const folder = path.join(root, "tiny", name);
  const { model: config } = models[model]!;
  makeRun(at(`${name}-run`), config, trainedWeights(config));
  exportHuggingFace(at(`${name}-run`), folder);
  return folder;
}

describe("40 shards of 20 GB", () => {
  const folder = path.join(root, "large", "sparse");
  const model = "hf:large/sparse";
  const made = writeSparseCheckpoint(folder, { shards: 40, bytesOfShard: 500e6, channels: 1024 });

  test("the static maps are those of the biases, for a thousandth of the bytes", async () => {
    const hub = await useHub();
    const inspected = inspectFile(model);
    expect(made.bytes).toBeGreaterThan(20e9);
    expect(hub.sent().bytes).toBeLessThan(1e-3 * made.bytes);
    expect(inspected).toEqual({ ...inspectFile(folder, { static: true }), file: model });
    expect(inspected.names).toHaveLength(80);
    expect(inspected.tokens).toBe(0);
    expect(inspected.scales[79]).toEqual([0.5, 0.25, 0.125]);
    const { read, write, mixing } = inspected.instruments;
    const bias = made.biasOf(3, "ffn");
    const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));
    expect(read![7]![2]).toBeCloseTo(sigmoid(bias[2]!) + 1e-6, 6);
    expect(write![7]![1]).toBeCloseTo(2 * sigmoid(bias[5]!), 6);
    const map = mixing![7]!;
    for (let i = 0; i < 4; i++) expect(map.slice(4 * i, 4 * i + 4).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4);
    // The released matrix is applied transposed: entry (0, 1) comes from row 1, column 0 of the logits.
    expect(map[1]! > map[4]!).toBe(bias[8 + 4]! > bias[8 + 1]!);
  });

  test("the command says nothing else, and ends", async () => {
    await useHub();
    const page = at("maps.html");
    const { code, stdout, stderr } = await run(place, ["inspect", model, "--json", "--out", page]);
    expect([code, stderr]).toEqual([0, ""]);
    expect((JSON.parse(stdout) as { names: string[] }).names).toHaveLength(80);
    const text = fs.readFileSync(page, "utf8");
    expect(text).toContain("what activations add (α φ x⃗′) is not in them and unknown here");
    expect(text.match(/<svg/g)).toHaveLength(Math.ceil(80 / 6) + 1);
  });

  test("all connections are linted for less than a hundredth", async () => {
    const hub = await useHub();
    const report = lintFile(model, { tokens: 1 });
    expect(hub.sent().bytes).toBeLessThan(0.01 * made.bytes);
    expect(Object.keys(report.conventions)).toHaveLength(80);
    expect(report.checks.find(({ name }) => name === "shapes")?.verdict).toBe("good");
  });
});

describe("a model with streams", () => {
  const folder = publish("streams", "mHC as DeepSeek V4");

  test("is converted from a busy hub to the same files as from its folder", async () => {
    await useHub({ isBusy: true });
    const options = { from: "deepseek-v4", to: "paper" } as const;
    const remote = convertFile("hf:tiny/streams@v1", at("from-hub"), options);
    expect(remote).toEqual(convertFile(folder, at("from-folder"), options));
    for (const name of fs.readdirSync(at("from-folder")))
      expect(fs.readFileSync(at("from-hub", name))).toEqual(fs.readFileSync(at("from-folder", name)));
  });

  test("is imported with its tokenizer, whose files are then in the cache", async () => {
    const hub = await useHub();
    await importHuggingFace(runtime, "hf:tiny/streams", at("remote"));
    await importHuggingFace(runtime, folder, at("local"));
    const weights = (run: string) => loadCheckpoint(latestCheckpoint(run)!.folder).model;
    expect(weights(at("remote"))).toEqual(weights(at("local")));
    expect(fs.readFileSync(at("remote", "tokenizer.json"))).toEqual(fs.readFileSync(at("local", "tokenizer.json")));
    const snapshot = at("cache", "hub", "models--tiny--streams", "snapshots", COMMIT);
    expect(fs.readdirSync(snapshot).toSorted()).toEqual(["config.json", "tokenizer.json", "tokenizer_config.json"]);

    // What the cache holds whole is not asked for, and without a hub nothing else can be.
    fs.copyFileSync(path.join(folder, "model.safetensors"), path.join(snapshot, "model.safetensors"));
    const { bytes } = hub.sent();
    process.env.HF_HUB_OFFLINE = "1";
    const offline = inspectFile(`hf:tiny/streams@${COMMIT}`, { static: false });
    delete process.env.HF_HUB_OFFLINE;
    expect(hub.sent().bytes).toBe(bytes);
    expect(offline.instruments).toEqual(inspectFile(folder).instruments);
  });

  test("is refused with what the hub answers", async () => {
    await useHub();
    expect(() => inspectFile("hf:tiny/streams@nowhere")).toThrow(
      /cannot read hf:tiny\/streams@nowhere: the hub answers 404 .*Check the name and the revision/,
    );
    expect(() => inspectFile("hf:tiny/absent")).toThrow(/the hub answers 401 .*set HF_TOKEN/);
    await useHub({ token: "hf_right" });
    expect(() => inspectFile("hf:tiny/streams")).toThrow(/the hub answers 401/);
    process.env.HF_TOKEN = "hf_right";
    expect(inspectFile("hf:tiny/streams").names.length).toBeGreaterThan(0);
    delete process.env.HF_TOKEN;
    fs.rmSync(at("cache"), { recursive: true });
    await useHub({ ignoresRanges: true });
    expect(() => inspectFile("hf:tiny/streams")).toThrow(/sends whole files where a range of bytes is asked for/);
  });
});

test("a hub that goes away is asked five times", async () => {
  const hub = await useHub();
  inspectFile("hf:tiny/streams");
  await hub.close();
  expect(() => inspectFile("hf:tiny/streams")).toThrow(/fetch failed: .*, 5 times/);
}, 20_000);

test.each(["hf:", "hf:a/b/c", "hf:a b", "hf:a/b@", "hf:a/b@c@d", "hf:../b"])("%s is no model's name", (text) => {
  expect(() => parseHubPlace(text)).toThrow(/the form is hf:owner\/name/);
});

test("a revision may be a branch with a slash", () => {
  expect(parseHubPlace("hf:owner/name@refs/pr/1")).toEqual({ repo: "owner/name", revision: "refs/pr/1" });
  expect(parseHubPlace("hf:gpt2")).toEqual({ repo: "gpt2", revision: "main" });
});
