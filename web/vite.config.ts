// Question: how is the live page built?
//
// It is built into dist/web, from where `birkhoff serve` serves it. Its scripts and styles are kept as .gz, a third of
// the size, which the package has to carry (src/report/server/page-files.ts).

import fs from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin, UserConfig } from "vite";

const compressed: Plugin = {
  name: "compressed",
  writeBundle({ dir }, bundle) {
    for (const name of Object.keys(bundle)) {
      if (!/\.(js|css)$/.test(name)) continue;
      const file = path.join(dir!, name);
      fs.writeFileSync(`${file}.gz`, gzipSync(fs.readFileSync(file), { level: 9 }));
      fs.rmSync(file);
    }
  },
};

const config: UserConfig = {
  plugins: [svelte({ configFile: false }), compressed],
  build: { outDir: "../dist/web", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
};

export default config;
