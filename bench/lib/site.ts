// Question: how is the playground's site built and served for a test or a measurement?
//
// It is built into a folder of its own, so that nothing of dist is needed or touched, and served as a plain static host
// would: files as they are, without headers of isolation, under a sub-folder.

import { execFile } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const source = fileURLToPath(new URL("../../web/site", import.meta.url));
const vite = fileURLToPath(new URL("../../node_modules/vite/bin/vite.js", import.meta.url));

/** Build the site into a folder. */
export async function buildSite(outDir: string): Promise<void> {
  const args = [vite, "build", source, "--logLevel", "error", "--outDir", outDir, "--emptyOutDir"];
  await promisify(execFile)(process.execPath, args, { env: { ...process.env, NODE_ENV: "production" } });
}

const types: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
};

/** A static host; `sent` counts what it has answered, as a host that compresses by gzip would. */
export interface SiteServer {
  readonly url: string;
  readonly sent: { bytes: number; files: string[] };
  close(): Promise<void>;
}

/** Serve a folder under a sub-folder of a host of its own. */
export async function serveSite(folder: string, under = "/some/where/"): Promise<SiteServer> {
  const sent: SiteServer["sent"] = { bytes: 0, files: [] };
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const name = pathname.startsWith(under) ? pathname.slice(under.length) || "index.html" : "";
    const file = path.join(folder, path.normalize(`/${name.endsWith("/") ? `${name}index.html` : name}`));
    if (name === "" || !fs.statSync(file, { throwIfNoEntry: false })?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    const content = fs.readFileSync(file);
    sent.bytes += gzipSync(content).length;
    sent.files.push(name);
    response.writeHead(200, { "content-type": types[path.extname(file)] ?? "application/octet-stream" }).end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${under}`,
    sent,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
