// The example at the top of every page of docs/api runs as it stands, in a folder with a text and two runs.

import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const before = process.cwd();
const place = mkdtempSync(path.join(os.tmpdir(), "birkhoff-api-"));

beforeAll(() => {
  const stored = path.join(root, "test/fixtures/runs-0.1");
  mkdirSync(path.join(place, "runs"));
  cpSync(path.join(stored, "manifold"), path.join(place, "runs/my-nano"), { recursive: true });
  cpSync(path.join(stored, "residual"), path.join(place, "runs/my-residual"), { recursive: true });
  cpSync(path.join(stored, "text.txt"), path.join(place, "my.txt"));
  cpSync(path.join(root, "test/fixtures/evaluation/benchmarks"), path.join(place, "benchmarks"), { recursive: true });
  process.chdir(place);
});
afterAll(() => {
  process.chdir(before);
  rmSync(place, { recursive: true });
});

test.for(globSync("examples/api/*.ts", { cwd: root }))("%s", async (file) => {
  const said = vi.spyOn(console, "log").mockReturnValue();
  await import(path.join(root, file));
  for (const [value] of said.mock.calls) expect(value).toBeDefined();
  said.mockRestore();
});
