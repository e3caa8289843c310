// Question: which Python answers a test that asks a peer, and with what does the test compare the answers?
//
// A peer is a library in Python that computes the same. Where it is missing, the test is skipped and says so.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";

export interface Peer {
  readonly found: boolean;
  /** A folder for what the test makes; it is removed at the end. */
  readonly place: string;
  readonly runtime: () => WasmRuntime;
  /** What a script prints; the test fails if the script does. */
  ask(script: string, args: readonly string[], input?: string): string;
}

/**
 * Looks for a peer, and opens a runtime to compare it with.
 *
 * @param probe Python that fails where the library is missing
 * @param what the library's name in the message
 */
export function findPeer(test: string, probe: string, what: string): Peer {
  const python = process.env["BIRKHOFF_PYTHON"] ?? "python3";
  const found = spawnSync(python, ["-c", probe]).status === 0;
  if (!found)
    process.stderr.write(`${test} is skipped: ${python} has no ${what}; set BIRKHOFF_PYTHON to a Python that has it\n`);
  const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-peer-"));
  let runtime: WasmRuntime;
  beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
  afterAll(() => {
    runtime.close();
    fs.rmSync(place, { recursive: true });
  });
  return {
    found,
    place,
    runtime: () => runtime,
    ask(script, args, input) {
      const options = { encoding: "utf8", maxBuffer: 1 << 28, ...(input === undefined ? {} : { input }) } as const;
      const { stdout, stderr, status } = spawnSync(python, [script, ...args], options);
      expect(status, stderr).toBe(0);
      return stdout;
    },
  };
}
