// Question: what does a hub say of a model, and what are some bytes of its files?
//
// This thread answers the questions of hub.ts. @huggingface/hub knows the hub's addresses, its errors and the layout of
// its cache; here are the patience, and the check that a server which was asked for a range answers with that range.

import { Console } from "node:console";
import fs from "node:fs";
import path from "node:path";
import { Writable } from "node:stream";
import { type MessagePort, workerData } from "node:worker_threads";
import type { HubPlace } from "./hub-place.ts";
import { attempt } from "./errors.ts";

/** A model, and where it is asked for. */
export interface HubModel extends HubPlace {
  readonly endpoint: string;
  readonly token: string | undefined;
}

/** Bytes [from, to) of a file. */
export interface HubRange {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** What this thread can be asked, and what it answers. */
export interface HubQuestions {
  /** The commit of the revision, its files with their sizes, and the folder of the cache for them. */
  open(model: HubModel & { readonly offline: boolean }): Promise<{
    readonly folder: string;
    readonly commit: string;
    readonly files: readonly (readonly [string, number])[];
  }>;
  /** Brings whole files into the cache. */
  fetch(model: HubModel, names: readonly string[]): Promise<undefined>;
  read(model: HubModel, ranges: readonly (HubRange & { readonly size: number })[]): Promise<readonly Uint8Array[]>;
}

/** How the threads talk: `signal` is 1 when an answer lies in the port. */
export interface HubData {
  readonly port: MessagePort;
  readonly signal: Int32Array;
}

export type HubAnswer = { readonly value: unknown } | { readonly error: string };

/** How many ranges are on their way at a time, and how long one is. */
const AT_A_TIME = 16;
const LONGEST = 1 << 23;
const TRIES = 5;
const FIRST_PAUSE_MS = 500;
const TIMEOUT_MS = 300_000;

const { port, signal } = workerData as HubData;
// The package says there what it fetches, and a command's output is not the place for it.
globalThis.console = new Console(new Writable({ write: (_part, _encoding, done) => done() }));

const hub = () => import("@huggingface/hub");
const designation = (repo: string) => ({ type: "model", name: repo }) as const;

const questions: HubQuestions = {
  async open({ repo, revision, endpoint, token, offline }) {
    const { getHFHubCachePath, getRepoFolderName, listFiles, modelInfo } = await hub();
    const store = path.join(getHFHubCachePath(), getRepoFolderName(designation(repo)));
    if (offline) return openStored(store, revision);
    const access = { hubUrl: endpoint, fetch: ranged, ...(token === undefined ? {} : { accessToken: token }) };
    const { sha } = await modelInfo({ name: repo, revision, additionalFields: ["sha"], ...access });
    const files: (readonly [string, number])[] = [];
    for await (const file of listFiles({ repo: designation(repo), revision: sha, ...access }))
      if (file.type === "file") files.push([file.path, file.lfs?.size ?? file.size]);
    return { folder: path.join(store, "snapshots", sha), commit: sha, files };
  },

  async fetch({ repo, revision, endpoint, token }, names) {
    const { downloadFileToCacheDir } = await hub();
    for (const name of names) {
      await downloadFileToCacheDir({
        repo: designation(repo),
        path: name,
        revision,
        hubUrl: endpoint,
        fetch: ranged,
        ...(token === undefined ? {} : { accessToken: token }),
      });
    }
    return undefined;
  },

  async read({ repo, revision, endpoint, token }, ranges) {
    const { downloadFile } = await hub();
    const whole = ranges.map(({ from, to }) => new Uint8Array(to - from));
    const parts = ranges.flatMap(({ name, from, to, size }, index) =>
      Array.from({ length: Math.ceil((to - from) / LONGEST) }, (_, i) => {
        const begin = from + i * LONGEST;
        return { name, size, begin, end: Math.min(to, begin + LONGEST), index, at: begin - from };
      }),
    );
    const readOne = async ({ name, size, begin, end, index, at }: (typeof parts)[number]): Promise<void> => {
      const bytes = await patiently(async () => {
        const file = await downloadFile({
          repo: designation(repo),
          path: name,
          revision,
          hubUrl: endpoint,
          fetch: ranged,
          // Small ranges come exactly, not in the pieces of the hub's own store.
          xet: false,
          downloadInfo: { etag: "", size, url: `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${name}` },
          ...(token === undefined ? {} : { accessToken: token }),
        });
        if (!file) throw new Error(`there is no file ${name}`);
        const got = new Uint8Array(await file.slice(begin, end).arrayBuffer());
        if (got.length !== end - begin)
          throw new Error(`${end - begin} bytes of ${name} were asked for, and ${got.length} came`);
        return got;
      });
      whole[index]!.set(bytes, at);
    };
    let next = 0;
    const line = async (): Promise<void> => {
      for (let mine = next++; mine < parts.length; mine = next++) await readOne(parts[mine]!);
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, line));
    return whole;
  },
};

/** What the cache holds of a model, without a look at the hub. */
function openStored(store: string, revision: string): Awaited<ReturnType<HubQuestions["open"]>> {
  let commit = revision;
  attempt(() => (commit = fs.readFileSync(path.join(store, "refs", revision), "utf8").trim()));
  const folder = path.join(store, "snapshots", commit);
  if (!fs.existsSync(folder))
    throw new Error(`HF_HUB_OFFLINE is set, and the cache has no ${revision} of it (${folder}): fetch it first`);
  const files = fs.readdirSync(folder).map((name) => [name, fs.statSync(path.join(folder, name)).size] as const);
  return { folder, commit, files };
}

/** Fetches with patience; a server that sends a whole file for a range of it is stopped. */
const ranged: typeof fetch = async (url, options) => {
  const answer = await patiently(
    () => fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) }),
    ({ status }) => status === 429 || status >= 500,
  );
  if (new Headers(options?.headers).has("Range") && answer.status === 200) {
    await answer.body?.cancel();
    throw new Error(`${new URL(answer.url).origin} sends whole files where a range of bytes is asked for`);
  }
  return answer;
};

/** Tries again after errors of the network, and after results that may become better. */
async function patiently<T>(action: () => Promise<T>, isPassing: (result: T) => boolean = () => false): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      const result = await action();
      if (attempts === TRIES || !isPassing(result)) return result;
    } catch (error) {
      if (!isOfNetwork(error)) throw error;
      // An error with other words: whoever is patient around this does not begin anew.
      if (attempts === TRIES)
        throw new Error(
          `${wordsOf(error)}, ${TRIES} times. Check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 reads what the cache has`,
          { cause: error },
        );
    }
    await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MS * 2 ** (attempts - 1)));
  }
}

const isOfNetwork = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === "TimeoutError" || error.message === "fetch failed" || error.message === "terminated");

/** The status that the hub answered, where that is the error. */
function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && "statusCode" in error ? error.statusCode : undefined;
  return typeof status === "number" ? status : undefined;
}

/** An error in words; those of the network hide theirs in their cause. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const status = statusOf(error);
  if (status === 401 || status === 403 || status === 404)
    return `the hub answers ${status} (${error.message}). Check the name and the revision; for a gated or private model set HF_TOKEN`;
  const cause = isOfNetwork(error) && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
}

const answerTo = (question: { readonly kind: keyof HubQuestions; readonly given: readonly unknown[] }) =>
  (questions[question.kind] as (...given: readonly unknown[]) => Promise<unknown>)(...question.given);

port.on("message", (question: Parameters<typeof answerTo>[0]) => {
  const answer = (message: HubAnswer): void => {
    port.postMessage(message);
    Atomics.store(signal, 0, 1);
    Atomics.notify(signal, 0);
  };
  answerTo(question).then(
    (value) => answer({ value }),
    (error: unknown) => answer({ error: wordsOf(error) }),
  );
});
