// Question: how does a test get the page of examples/browser: built, served and opened?

import fs from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("../../", import.meta.url));
export const executablePath: string = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Why the page cannot be tested here, or false. */
export const missing: string | false = fs.existsSync(executablePath)
  ? !fs.existsSync(path.join(root, "dist/browser.js")) && "the library is not built (npm run build)"
  : `there is no Chromium at ${executablePath} (CHROMIUM names another)`;

/** Build the example as somebody does who has copied it and installed the package; the folder is to be removed. */
export async function buildExample(): Promise<{ readonly folder: string; readonly dist: string }> {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-page-")));
  fs.cpSync(path.join(root, "examples/browser"), folder, { recursive: true });
  fs.mkdirSync(path.join(folder, "node_modules"));
  fs.symlinkSync(root, path.join(folder, "node_modules/birkhoff"));
  await build({ root: folder, logLevel: "warn" });
  return { folder, dist: path.join(folder, "dist") };
}

const types: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/** Serve a folder as any static host does; isolated: with the two headers that let workers share memory. */
export async function serveFolder(folder: string, isolated: boolean): Promise<Server & { readonly url: string }> {
  const headers = isolated
    ? { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" }
    : {};
  const server = createServer(({ url = "/" }, answer) => {
    const { pathname } = new URL(url, "http://host");
    const file = path.join(folder, pathname.endsWith("/") ? `${pathname}index.html` : pathname);
    const found = fs.existsSync(file);
    // A host that has never heard of .wasm is host enough.
    answer.writeHead(found ? 200 : 404, { "Content-Type": types[path.extname(file)] ?? "text/plain", ...headers });
    answer.end(found ? fs.readFileSync(file) : "there is no such file");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(server, { url: `http://127.0.0.1:${port}/` });
}
