import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (entry: string): string => fileURLToPath(new URL("src", import.meta.url)) + `/${entry}.ts`;

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
