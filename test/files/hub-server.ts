// A hub on this machine: the routes of Hugging Face's that reading needs, with ranges, over folders owner/name/files.
//
// It is a thread of its own, because whoever reads from a hub waits for the answer.

import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** How a hub behaves. */
export interface HubServerOptions {
  /** The folder that holds owner/name/files. */
  readonly root: string;
  /** Asked for of everyone. */
  readonly token?: string;
  /** Whether it sends whole files, whatever range is asked for. */
  readonly ignoresRanges?: boolean;
  /** Whether every second request of a file fails at first. */
  readonly isBusy?: boolean;
}

export interface HubServer {
  readonly endpoint: string;
  /** Bytes of files that were sent, and requests that were answered, until now. */
  sent(): { readonly bytes: number; readonly requests: number };
  close(): Promise<void>;
}

/** The commit of every revision. */
export const COMMIT: string = "c0ffee".padEnd(40, "0");

export async function startHub(options: HubServerOptions): Promise<HubServer> {
  const counts = new BigInt64Array(new SharedArrayBuffer(16));
  const worker = new Worker(new URL(import.meta.url), { workerData: { ...options, counts } });
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    sent: () => ({ bytes: Number(Atomics.load(counts, 0)), requests: Number(Atomics.load(counts, 1)) }),
    close: async () => void (await worker.terminate()),
  };
}

function serve({
  root,
  token,
  ignoresRanges,
  isBusy,
  counts,
}: HubServerOptions & { readonly counts: BigInt64Array }): void {
  const seen = new Set<string>();
  const server = http.createServer((request, response) => {
    Atomics.add(counts, 1, 1n);
    const { pathname } = new URL(request.url!, "http://here");
    const parts = pathname.split("/").slice(1).map(decodeURIComponent);
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { "Content-Type": "application/json" });
      response.end(JSON.stringify(value));
    };
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`)
      return json(401, { error: "Invalid credentials" });
    const isApi = parts[0] === "api";
    const [owner, name, kind, revision, ...rest] = isApi ? parts.slice(2) : parts;
    const folder = path.join(root, owner!, name ?? "");
    if (!fs.existsSync(folder)) return json(401, { error: "Repository not found" });
    if (![COMMIT, "main", "v1"].includes(revision!)) return json(404, { error: `Invalid rev id: ${revision}` });
    const entry = (file: string) => {
      const { size } = fs.statSync(path.join(folder, file));
      const oid = createHash("sha1").update(`${file}${size}`).digest("hex");
      return { type: "file", path: file, size, oid, lastCommit: { id: COMMIT, title: "", date: "2026-11-30" } };
    };
    if (isApi && kind === "revision") return json(200, { _id: "1", id: `${owner}/${name}`, sha: COMMIT });
    if (isApi && kind === "tree") return json(200, fs.readdirSync(folder).map(entry));
    if (isApi && kind === "paths-info") {
      let body = "";
      request.on("data", (part: Buffer) => (body += part.toString()));
      request.on("end", () => json(200, (JSON.parse(body) as { paths: string[] }).paths.map(entry)));
      return;
    }
    const file = path.join(folder, ...rest);
    if (!fs.existsSync(file)) {
      response.setHeader("X-Error-Code", "EntryNotFound");
      return json(404, { error: "Entry not found" });
    }
    const asked = `${file} ${request.headers.range}`;
    if (isBusy && !seen.has(asked)) {
      seen.add(asked);
      if (seen.size % 2 === 0) return json(503, { error: "busy" });
    }
    const { size } = fs.statSync(file);
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec((!ignoresRanges && request.headers.range) || "") ?? [];
    const [begin, end] = from === undefined ? [0, size] : [Number(from), Math.min(size, Number(to) + 1)];
    response.writeHead(from === undefined ? 200 : 206, {
      ETag: `"${createHash("sha1").update(file).digest("hex")}"`,
      "Content-Length": end - begin,
      ...(from === undefined ? {} : { "Content-Range": `bytes ${begin}-${end - 1}/${size}` }),
    });
    Atomics.add(counts, 0, BigInt(end - begin));
    fs.createReadStream(file, { start: begin, end: Math.max(begin, end - 1) }).pipe(response);
  });
  server.listen(0, "127.0.0.1", () => parentPort!.postMessage((server.address() as AddressInfo).port));
}

if (!isMainThread && parentPort !== null && isOurs(workerData)) serve(workerData);

function isOurs(data: unknown): data is Parameters<typeof serve>[0] {
  return typeof data === "object" && data !== null && "counts" in data;
}
