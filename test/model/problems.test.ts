// A configuration that does not fit says which field, what it is and what is allowed, and nothing of the checker's.

import { describe, expect, test } from "vitest";
import { presets } from "../../src/model/config.ts";
import { parseTrainingConfig } from "../../src/training/config.ts";

/** A sound configuration with fields changed by their paths. */
function message(preset: "nano" | "moe-nano", changes: Readonly<Record<string, unknown>>): string {
  const config: Record<string, unknown> = structuredClone({
    name: "x",
    data: { source: "-", vocabulary: 300 },
    model: { ...presets[preset], vocabulary: 300, connection: { kind: "mhc" } },
    batch: 2,
    steps: 1,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1,
    checkpointEvery: 1,
  });
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(".");
    const parent = keys.slice(0, -1).reduce((at, key) => at[key] as Record<string, unknown>, config);
    parent[keys.at(-1)!] = value;
  }
  try {
    parseTrainingConfig(config);
  } catch (error) {
    return (error as Error).message;
  }
  return "sound";
}

describe.each([
  ["nano", { "model.layers": 0 }, "model.layers: 0 is given; it must be at least 1"],
  ["nano", { "model.width": 10.5 }, "model.width: 10.5 is given; it must be a whole number"],
  ["nano", { "model.width": "wide" }, 'model.width: "wide" is given; it must be a number'],
  ["nano", { "model.heads": 5 }, "model.heads: 5 heads do not divide the width 128"],
  ["nano", { "model.heads": 128, "model.kvHeads": 128 }, "heads can be 1, 2, 4, 8, 16, 32, 64"],
  [
    "nano",
    { "model.kvHeads": 3 },
    "model.kvHeads: 3 key-value heads cannot be shared by 4 heads; kvHeads can be 1, 2, 4",
  ],
  ["nano", { "model.depth": 3 }, "model: there is no field depth here"],
  ["nano", { "model.connection.streams": 99 }, "model.connection.streams: 99 is given; it must be at most 32"],
  [
    "nano",
    { "model.connection.kind": "loose" },
    'model.connection.kind: "loose" is given; it must be one of residual, hc',
  ],
  [
    "nano",
    { "model.connection.residualMap": "loose" },
    'residualMap: "loose" is given; it must be "unconstrained", "identity"',
  ],
  [
    "nano",
    { "optimizer.schedule.kind": "x" },
    'optimizer.schedule.kind: "x" is given; it must be one of step, cosine, constant',
  ],
  ["nano", { optimizer: 3 }, "optimizer: 3 is given; it must be a group of fields"],
  ["nano", { batch: undefined }, "batch: nothing is given; it must be a number"],
  ["nano", { recompute: "often" }, 'recompute: "often" is given; it must be "none", "auto", or it must be a number'],
  ["moe-nano", { "model.feedForward.active": 20 }, "active: 20 is given; it must be at most the number of experts, 16"],
  ["moe-nano", { "model.feedForward.denseLayers": 9 }, "denseLayers is 9, and the model has 4 layers"],
  ["moe-nano", { "model.kvHeads": 2 }, "model.kvHeads: 2 is given; with latent attention"],
  ["moe-nano", { "model.attention.rotarySize": 15 }, "model.attention.rotarySize: 15 is given; it must be even"],
] as const)("%s with %j", (preset, changes, expected) => {
  test("is refused in words", () => {
    const said = message(preset, changes);
    expect(said).toContain(expected);
    expect(said).not.toMatch(/expected|received|Invalid|NaN|undefined/);
  });
});

test("sound configurations have no problem", () => {
  expect(message("nano", {})).toBe("sound");
  expect(message("moe-nano", { "model.feedForward.denseLayers": 4 })).toBe("sound");
});
