// The benchmark of CUDA works to its end at tiny sizes on the machine that plays a GPU; without the flag it measures
// nothing there.

import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { cuda } from "../../bench/cuda.ts";
import { fakeMachine } from "../runtime/cuda/machine/build.ts";

const script = fileURLToPath(new URL("../../bench/cuda.sh", import.meta.url));

async function measure(args: readonly string[], env: Record<string, string>): Promise<Record<string, unknown>[]> {
  const { stdout, stderr } = await promisify(execFile)("bash", [script, "--rounds", "1", ...args], {
    env: { ...process.env, NODE: process.execPath, BIRKHOFF_PYTHON: path.join("nowhere", "python3"), ...env },
  });
  // The table at the end has every figure, too.
  for (const line of stdout.trim().split("\n")) expect(stderr).toContain((JSON.parse(line) as { name: string }).name);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe.skipIf(!(await fakeMachine()))("bench/cuda.sh", { timeout: 240_000 }, () => {
  test("measures all figures at tiny sizes, and skips those whose peer is missing", async () => {
    const figures = await measure([], { BIRKHOFF_CUDA_TINY: "1" });
    expect(new Set(figures.map(({ name }) => name))).toEqual(new Set(cuda.names));
    for (const figure of figures) {
      expect(figure).not.toHaveProperty("bar");
      // At tiny sizes noise may exceed a kernel's own time, which is said in place of a figure.
      if (String(figure.name).endsWith("_share") && String(figure.skipped).startsWith("rounding alone")) continue;
      if (String(figure.name).endsWith("vs_torch_compile")) expect(figure.skipped).toContain("PyTorch");
      else expect(figure).toEqual(expect.objectContaining({ value: expect.any(Number) as number }));
    }
  });
  test("says that the machine of the tests is no GPU", async () => {
    for (const { skipped } of await measure(["cuda.stream", "cuda.cold"], {}))
      expect(skipped).toMatch(/^there is no GPU for CUDA: .*BIRKHOFF_CUDA_TINY=1/);
  });
});
