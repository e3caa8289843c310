// `birkhoff inspect` shows the run folder of a network of one's own, and refuses what would need the network; commands
// that need a language model say that it is none.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { inspectCommand } from "../../src/cli/inspect.ts";
import { sampleCommand } from "../../src/cli/sample.ts";
import { trainCommand } from "../../src/cli/train.ts";
import { initialise, openRuntime } from "../../src/index.ts";
import { trainNet } from "../../src/runs.ts";
import { squareNet, valuesAt } from "../runs/net.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-inspect-net-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const out = path.join(folder, "square");

beforeAll(async () => {
  const runtime = await openRuntime({ threads: 1 });
  const net = squareNet();
  initialise(runtime, net.parameters);
  const batch = (step: number) => [[net.x, valuesAt(step)]] as const;
  await trainNet(runtime, net, { steps: 6, batch, connection: "mhc", out, evaluate: () => ({ validationLoss: 0.25 }) });
  runtime.close();
});

async function printed(...args: string[]): Promise<string> {
  const lines: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => Boolean(lines.push(String(text))));
  try {
    await inspectCommand.parseAsync([out, ...args], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return lines.join("");
}

test("its size, steps, losses, gains and tensors", async () => {
  const text = await printed("--tensors");
  expect(text).toMatch(
    /^square: a network of one's own, joined by mhc\nparameters \d+; step 6 of 6; checkpoint step 6\nloss 0\.\d+/,
  );
  expect(text).toContain("validation loss 0.25000 at step 6");
  expect(text).toContain("recorded at step 6");
  expect(text).toMatch(/1 mixing\[0\] +2 mixing\[1\]\n.*\ngain fwd +1\.0/);
  expect(text).toContain("block0.weight [8, 8]");
  const json = JSON.parse(await printed("--json"));
  expect(json).toMatchObject({ config: { kind: "net", steps: 6 }, last: { step: 6 }, gains: { step: 6 } });
  expect(json.tensors.length).toBeGreaterThan(2);
});

test("what needs the network is refused", async () => {
  await expect(inspectCommand.parseAsync([out, "--plan"], { from: "user" })).rejects.toThrow(/--plan/);
  const isNet = /config\.json is of a network of one's own, which only the program that trained it can build/;
  await expect(sampleCommand.parseAsync([out], { from: "user" })).rejects.toThrow(isNet);
  await expect(trainCommand.parseAsync(["--resume", out], { from: "user" })).rejects.toThrow(isNet);
});
