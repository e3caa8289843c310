// The benchmark of WebGPU works to its end, as it runs on a bare machine: at tiny sizes on a processor that plays the part
// of a GPU. It says nothing of speed there, and without the flag it measures nothing of the kind.

import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { webgpu } from "../../bench/webgpu.ts";
import { hasWebgpu } from "../runtime/webgpu/here.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bare = mkdtempSync(path.join(os.tmpdir(), "birkhoff-bare-"));
afterAll(() => rmSync(bare, { recursive: true }));

/** A checkout with what bench/webgpu.sh asks for, and nothing else of npm. */
function makeBare(): void {
  for (const part of ["bench", "src", "package.json"])
    cpSync(path.join(root, part), path.join(bare, part), { recursive: true });
  mkdirSync(path.join(bare, "node_modules"));
  symlinkSync(path.join(root, "node_modules", "zod"), path.join(bare, "node_modules", "zod"));
}

/** The file that DAWN_NODE is to name, of the package that is installed here. */
function dawnFile(): string {
  const folder = path.dirname(createRequire(import.meta.url).resolve("webgpu"));
  return path.join(folder, "dist", `${process.platform}-${process.arch}`, "dawn.node");
}

async function measure(args: readonly string[], env: Record<string, string>): Promise<Record<string, unknown>[]> {
  const { stdout } = await promisify(execFile)("bash", [path.join(bare, "bench/webgpu.sh"), ...args], {
    env: { ...process.env, NODE: process.execPath, ...env },
  });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const dawn = dawnFile();
describe.skipIf(!existsSync(dawn) || !(await hasWebgpu()))("bench/webgpu.sh", { timeout: 240_000 }, () => {
  makeBare();

  test("measures every figure at tiny sizes, from dawn.node alone", async () => {
    const figures = await measure(["--rounds", "1"], { DAWN_NODE: dawn, BIRKHOFF_WEBGPU_TINY: "1" });
    expect(figures.map(({ name }) => name)).toEqual(webgpu.names);
    for (const { name, value, bar } of figures) {
      expect(value, String(name)).toBeGreaterThan(0);
      expect(bar, "tiny sizes have no bar").toBeUndefined();
    }
  });

  test("skips what needs a GPU where the processor plays its part, and says so", async () => {
    const figures = await measure(["webgpu.gemm", "webgpu.stream.read_share"], {
      DAWN_NODE: dawn,
      BIRKHOFF_WEBGPU_TINY: "",
    });
    expect(figures.map(({ name }) => name)).toEqual(
      webgpu.names.filter((name) => name.startsWith("webgpu.gemm") || name.startsWith("webgpu.stream.read_share")),
    );
    for (const { skipped, value } of figures) {
      if (value === undefined) expect(skipped).toMatch(/^there is no GPU/);
      else expect(value, "a GPU").toBeGreaterThan(0);
    }
  });

  test("says what is missing", async () => {
    await expect(measure([], { DAWN_NODE: "/nowhere/dawn.node" })).rejects.toThrow(
      /DAWN_NODE is \/nowhere\/dawn\.node, where there is no file; give dawn\.node of the package webgpu\./,
    );
    rmSync(path.join(bare, "node_modules", "zod"));
    await expect(measure([], {})).rejects.toThrow(/node_modules\/zod is missing; bring it along/);
  });
});
