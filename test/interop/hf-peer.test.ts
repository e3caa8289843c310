// PyTorch reads what was exported, by itself, and gives the same logits.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createWasmRuntime, type WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { exportHuggingFace } from "../../src/interop/hf/export.ts";
import { logitsOf, makeRun, models, someTokens, trainedWeights } from "./hf.ts";

const peer = fileURLToPath(new URL("../../bench/peers/hf.py", import.meta.url));
const python = process.env["BIRKHOFF_PYTHON"] ?? "python3";
const hasTorch = spawnSync(python, ["-c", "import torch"]).status === 0;
if (!hasTorch) {
  process.stderr.write(
    `hf-peer.test.ts is skipped: ${python} has no torch; set BIRKHOFF_PYTHON to a Python that has it\n`,
  );
}

const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-hf-"));
let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(() => {
  runtime.close();
  fs.rmSync(place, { recursive: true });
});

/** The logits of each folder, for the same tokens. */
function peerLogits(folders: readonly string[], tokens: number[][]): number[][] {
  const options = { input: JSON.stringify(tokens), encoding: "utf8", maxBuffer: 1 << 28 } as const;
  const { stdout, stderr, status } = spawnSync(python, [peer, ...folders], options);
  expect(status, stderr).toBe(0);
  const rows = stdout.trim().split("\n");
  const perFolder = rows.length / folders.length;
  return folders.map((_, i) =>
    rows.slice(i * perFolder, (i + 1) * perFolder).flatMap((row) => JSON.parse(row) as number[]),
  );
}

const largest = (values: readonly number[]): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

test.skipIf(!hasTorch)("PyTorch gives the same logits for every kind of model", { timeout: 120_000 }, () => {
  const made = Object.entries(models).map(([name, { model }], i) => {
    const run = path.join(place, String(i));
    const weights = trainedWeights(model);
    makeRun(run, model, weights);
    const { folder } = exportHuggingFace(run, `${run}-hf`);
    return { name, folder, ours: logitsOf(runtime, model, weights) };
  });
  const tokens = someTokens(Object.values(models)[0]!.model);
  const logits = peerLogits(
    made.map(({ folder }) => folder),
    tokens,
  );
  for (const [i, { name, ours }] of made.entries()) {
    const theirs = logits[i]!;
    expect(theirs.length, name).toBe(ours.length);
    expect(largest(theirs), name).toBeGreaterThan(0.5);
    expect(largest(theirs.map((value, at) => value - ours[at]!)), name).toBeLessThan(1e-4);
  }
});
