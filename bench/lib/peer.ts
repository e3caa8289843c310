// Question: how does a benchmark control a program in another process, so that several can take turns?
//
// A peer is a script that prints one line of JSON when it is ready (or says why it cannot be), then
// answers every line of JSON with one line; see `peers/serve.py` and, for Node, `serve.ts`. It ends
// when its standard input does, so that it cannot outlive the benchmark.
//
// A missing peer is not an error: its figures are skipped, with the reason.

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Contestant } from "./interleave.ts";

/** A peer's first line. */
export type Hello = {
  readonly peer: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly threads: number;
  /** Memory with the libraries loaded, before the work begins. */
  readonly base_rss_bytes: number;
  /** Only for training steps and generation. */
  readonly parameters?: number;
  /** From loaded libraries to the end of the first step, including compilation (torch.compile may find a cache on disk). */
  readonly cold_seconds?: number;
  /** The time before that: from the start of the process to loaded libraries. */
  readonly start_seconds?: number;
  readonly loss?: number;
};

export type Request = { readonly op: string; readonly count: number };

export type Reply = {
  readonly ms: readonly number[];
  readonly peak_rss_bytes: number;
  readonly loss?: number;
  /** The last entry of a matrix product or of a gradient, by which engines can be compared. */
  readonly corner?: number;
  /** The last training step, and the part of it that was spent outside WebAssembly, if there is one. */
  readonly step_ms?: number;
  readonly javascript_ms?: number;
  /** The time until each token of the last text was known; the first includes reading the prompt. */
  readonly token_ms?: readonly number[];
  /** Of several clients: the time of each until its first token, and how many tokens all have got. */
  readonly first_ms?: readonly number[];
  readonly written?: number;
};

export type Peer = {
  readonly hello: Hello;
  readonly run: (request: Request) => Promise<Reply>;
  readonly close: () => Promise<void>;
};

export type SkippedPeer = { readonly skipped: string };

export type Limits = {
  /** Time limit until a peer is ready. It is long, because torch.compile runs a C++ compiler in it. */
  readonly readySeconds?: number;
  readonly replySeconds?: number;
};

type Environment = Readonly<Record<string, string>>;

/** All the variables from which numerical libraries take their number of threads. */
export function threadEnvironment(threads: number): Environment {
  const names = ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"];
  return Object.fromEntries(names.map((name) => [name, String(threads)]));
}

const CLOSING_MS = 2000;
const living = new Set<ChildProcessWithoutNullStreams>();
process.on("exit", () => living.forEach((child) => child.kill("SIGKILL")));

/** Starts a `.py` or `.ts` peer. Python is `BIRKHOFF_PYTHON`, else `python3` on the path. */
export async function startPeer(
  script: string | URL,
  args: readonly string[],
  env: Environment = {},
  { readySeconds = 300, replySeconds = 120 }: Limits = {},
): Promise<Peer | SkippedPeer> {
  const path = typeof script === "string" ? script : fileURLToPath(script);
  const name = [basename(path), ...args.slice(0, 1).filter((arg) => !arg.startsWith("-"))].join(" ");
  const command = path.endsWith(".py") ? process.env["BIRKHOFF_PYTHON"] || "python3" : process.execPath;

  const child = spawn(command, [path, ...args], { env: { ...process.env, ...env }, stdio: "pipe" });
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  try {
    await once(child, "spawn");
  } catch {
    return {
      skipped: `${command} cannot be run; install Python 3, or set BIRKHOFF_PYTHON to a Python that has the peer's libraries`,
    };
  }
  living.add(child);
  child.once("exit", () => living.delete(child));

  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint = (complaint + text).slice(-4000)));
  child.stdin.on("error", () => {}); // A dead peer is noticed when its answer is read.
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  /** The next line of JSON. A timeout kills the peer, which ends its lines. */
  async function answer(seconds: number): Promise<unknown> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, seconds * 1000);
    try {
      for (let line = await lines.next(); !line.done; line = await lines.next()) {
        if (line.value.startsWith("{")) return JSON.parse(line.value);
      }
    } finally {
      clearTimeout(timer);
    }
    await closed;
    const said = complaint.trim().split("\n");
    // Python's error is in the last line; Node prints a stack after it.
    const reason = said.findLast((line) => /^\w*Error\b/.test(line)) ?? said.at(-1);
    throw new Error(
      late
        ? `${name} gave no answer within ${seconds} s`
        : `${name} ended (${child.signalCode ?? `exit code ${child.exitCode}`}): ${reason}`,
    );
  }

  async function run(request: Request): Promise<Reply> {
    child.stdin.write(JSON.stringify(request) + "\n");
    const reply = (await answer(replySeconds)) as Reply | { readonly error: string };
    if ("error" in reply) throw new Error(`${name} refused ${JSON.stringify(request)}: ${reply.error}`);
    return reply;
  }

  async function close(): Promise<void> {
    const timer = setTimeout(() => child.kill("SIGKILL"), CLOSING_MS);
    child.stdin.end();
    await closed;
    clearTimeout(timer);
  }

  try {
    const hello = (await answer(readySeconds)) as Hello | SkippedPeer;
    if (!("skipped" in hello)) return { hello, run, close };
    await close();
    return hello;
  } catch (error) {
    await close();
    return { skipped: (error as Error).message };
  }
}

/** A peer's turn in an interleaved measurement. */
export function contestant(peer: Peer, label: string, request: Request): Contestant {
  return { label, measure: async () => (await peer.run(request)).ms };
}
