// Question: how does a Node program become a peer (see `peer.ts`)?
//
// This is the counterpart of `peers/serve.py`. It says hello, or why it cannot start. Then it answers each line
// `{"op", "count"}` with `{"ms", "peak_rss_bytes", ...}` until its standard input ends.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Hello, Reply, Request } from "./peer.ts";

/** Thrown by `start` when this machine lacks something the peer needs. */
export class Skip extends Error {}

export type Work = {
  readonly hello: Omit<Hello, "base_rss_bytes">;
  /** Does the work once. The result of the last time goes into the reply. */
  readonly run: () => Promise<Partial<Reply>>;
  /** Ends what would keep the process alive. */
  readonly close?: () => Promise<void>;
};

/** The peak ("VmHWM") or present ("VmRSS") memory of this process; the peak for both if there is no /proc. */
function memoryBytes(key: "VmHWM" | "VmRSS"): number {
  // On Linux resourceUsage does not work, because a child's maximum starts at its parent's size.
  try {
    const found = new RegExp(`^${key}:\\s*(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"));
    if (found) return 1024 * Number(found[1]);
  } catch {
    // There is no /proc here.
  }
  return 1024 * process.resourceUsage().maxRSS;
}

export async function serve(op: string, start: () => Promise<Work>): Promise<void> {
  const say = (message: object): void => void process.stdout.write(JSON.stringify(message) + "\n");
  const base_rss_bytes = memoryBytes("VmRSS");
  let work: Work;
  try {
    work = await start();
  } catch (error) {
    if (!(error instanceof Skip)) throw error;
    return say({ skipped: error.message });
  }
  const { versions, ...hello } = work.hello;
  say({ ready: true, ...hello, versions: { node: process.versions.node, ...versions }, base_rss_bytes });

  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request;
    if (request.op !== op) {
      say({ error: `this peer does "${op}", not "${request.op}"` });
      continue;
    }
    const ms: number[] = [];
    let result: Partial<Reply> = {};
    for (let k = 0; k < request.count; k++) {
      const start = performance.now();
      result = await work.run();
      ms.push(performance.now() - start);
    }
    say({ ms, ...result, peak_rss_bytes: memoryBytes("VmHWM") });
  }
  await work.close?.();
}
