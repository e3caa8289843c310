// PyTorch reads what was exported, by itself, and gives the same logits.

import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { exportHuggingFace } from "../../src/interop/hf/export.ts";
import { logitsOf, makeRun, models, someTokens, trainedWeights } from "./hf.ts";
import { findPeer } from "./peer.ts";

const script = fileURLToPath(new URL("../../bench/peers/hf.py", import.meta.url));
const peer = findPeer("hf-peer.test.ts", "import torch", "torch");
const { place } = peer;

/** The logits of each folder, for the same tokens. */
function peerLogits(folders: readonly string[], tokens: number[][]): number[][] {
  const rows = peer.ask(script, folders, JSON.stringify(tokens)).trim().split("\n");
  const perFolder = rows.length / folders.length;
  return folders.map((_, i) =>
    rows.slice(i * perFolder, (i + 1) * perFolder).flatMap((row) => JSON.parse(row) as number[]),
  );
}

const largest = (values: readonly number[]): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

test.skipIf(!peer.found)("PyTorch gives the same logits for every kind of model", { timeout: 120_000 }, () => {
  const made = Object.entries(models).map(([name, { model }], i) => {
    const run = path.join(place, String(i));
    const weights = trainedWeights(model);
    makeRun(run, model, weights);
    const { folder } = exportHuggingFace(run, `${run}-hf`);
    return { name, folder, ours: logitsOf(peer.runtime(), model, weights) };
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
