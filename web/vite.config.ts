// Question: how is the live page built?
//
// It is built into dist/web, from where `birkhoff serve` serves it.

import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { UserConfig } from "vite";

const config: UserConfig = {
  plugins: [svelte({ configFile: false })],
  build: { outDir: "../dist/web", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
};

export default config;
