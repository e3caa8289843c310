import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (entry: string): string => fileURLToPath(new URL("src", import.meta.url)) + `/${entry}.ts`;

// WebGPU is tested on the processor, by the SwiftShader that comes with Debian's Chromium.
const chromium = "/usr/lib/chromium";
if (process.env.VK_ICD_FILENAMES === undefined && existsSync(`${chromium}/vk_swiftshader_icd.json`)) {
  process.env.VK_ICD_FILENAMES = `${chromium}/vk_swiftshader_icd.json`;
  process.env.LD_LIBRARY_PATH = [process.env.LD_LIBRARY_PATH, chromium].filter(Boolean).join(":");
}

export default defineConfig({
  // Examples import the library by its name; tests run them on the sources.
  resolve: {
    alias: [
      { find: /^birkhoff$/, replacement: source("index") },
      { find: /^birkhoff\/(.+)$/, replacement: source("$1") },
    ],
  },
  test: {
    // A page in a browser answers late where all cores are busy.
    expect: { poll: { timeout: 15_000 } },
    include: ["test/**/*.test.ts"],
    // Each runtime starts threads of its own; two files at a time fill two cores.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
