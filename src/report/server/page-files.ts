// Question: where is the built page?
//
// All its files are read once, those that are kept as .gz unpacked. Requests are answered from a table, so no path in a
// request reaches the disk.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

export interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
}

/** The files by the path of their address, such as "/index.html". */
export type PageFiles = ReadonlyMap<string, PageFile>;

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The page is beside the compiled library, or in dist when the sources run. */
const FOLDERS = ["../../web/", "../../../dist/web/"];

/** @throws Error when the page has not been built */
export function readPageFiles(): PageFiles {
  const folder = FOLDERS.map((relative) => fileURLToPath(new URL(relative, import.meta.url))).find((candidate) =>
    fs.existsSync(path.join(candidate, "index.html")),
  );
  if (folder === undefined) throw new Error("The page has not been built. In the repository: npm run build");
  const files = fs.readdirSync(folder, { recursive: true, encoding: "utf8" });
  return new Map(
    files
      .filter((file) => fs.statSync(path.join(folder, file)).isFile())
      .map((file) => {
        const name = file.replace(/\.gz$/, "");
        const kept = fs.readFileSync(path.join(folder, file));
        const type = TYPES[path.extname(name)] ?? "application/octet-stream";
        const bytes = new Uint8Array(name === file ? kept : gunzipSync(kept));
        return [`/${name.replaceAll(path.sep, "/")}`, { bytes, type }];
      }),
  );
}
