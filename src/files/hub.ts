// Question: how is a model on a hub read as if it were a folder?
//
// Its small files are brought into the cache of Hugging Face's tools, and are files of a folder there. Of its weights
// only the bytes that are asked for are read, by ranges, unless the cache has the file whole. Files here are read
// while the caller waits; a thread (hub-worker.ts) speaks with the hub meanwhile, and many ranges that are known in
// advance are fetched side by side.
//
// Source: https://huggingface.co/docs/huggingface_hub (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE)

import fs from "node:fs";
import path from "node:path";
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import { parseHubPlace } from "./hub-place.ts";
import type { HubAnswer, HubData, HubModel, HubQuestions, HubRange } from "./hub-worker.ts";
import { expectPackages } from "./packages.ts";
import type { ByteSource } from "./safetensors-format.ts";

/** A model on a hub. */
export interface HubFolder {
  /** The folder of the cache where its small files are, once they were fetched. */
  readonly path: string;
  /** The files on the hub. */
  readonly names: readonly string[];
  /** Bring small files, as far as the hub has them, into the folder. */
  fetch(names: readonly string[]): void;
  /** The bytes of a file, read by ranges. */
  source(name: string): ByteSource;
  /** Read ranges side by side; each is then at hand until the next call of this function. */
  prefetch(ranges: readonly HubRange[]): void;
}

const ENDPOINT = "https://huggingface.co";
/** Longer than all tries of one range together. */
const PATIENCE_MS = 1_800_000;

const opened = new Map<string, HubFolder>();

/**
 * Asks a hub for a model's files. A second call for the same place gives the same folder.
 *
 * @param place hf:owner/name[@revision]
 * @throws Error that says what the hub answers
 */
export function openHub(place: string): HubFolder {
  const { HF_ENDPOINT: endpoint = ENDPOINT, HF_TOKEN: token, HF_HUB_OFFLINE: offline = "" } = process.env;
  const model: HubModel = {
    ...parseHubPlace(place),
    endpoint: endpoint.replace(/\/+$/, ""),
    token: token === "" ? undefined : token,
  };
  const key = JSON.stringify([model, offline]);
  const known = opened.get(key);
  if (known) return known;
  const folder = folderOf(place, model, !["", "0", "false", "no", "off"].includes(offline.toLowerCase()));
  opened.set(key, folder);
  return folder;
}

function folderOf(place: string, model: HubModel, offline: boolean): HubFolder {
  const found = ask(place, "open", { ...model, offline });
  const sizes = new Map(found.files);
  const commit: HubModel = { ...model, revision: found.commit };
  const sized = (range: HubRange) => ({ ...range, size: sizes.get(range.name)! });
  let held: readonly (HubRange & { readonly bytes: Uint8Array })[] = [];
  return {
    path: found.folder,
    names: [...sizes.keys()],
    fetch(names) {
      const lacking = names.filter((name) => sizes.has(name) && !fs.existsSync(path.join(found.folder, name)));
      if (lacking.length > 0) ask(place, "fetch", commit, lacking);
    },
    source(name) {
      return {
        size: sizes.get(name)!,
        fill(position, into) {
          const end = position + into.length;
          const block = held.find((each) => each.name === name && each.from <= position && end <= each.to);
          if (block) into.set(block.bytes.subarray(position - block.from, end - block.from));
          else if (into.length > 0)
            into.set(ask(place, "read", commit, [sized({ name, from: position, to: end })])[0]!);
        },
        close() {},
      };
    },
    prefetch(ranges) {
      held = [];
      const wanted = ranges
        .filter(({ name }) => sizes.has(name) && !fs.existsSync(path.join(found.folder, name)))
        .map(({ name, from, to }) => ({ name, from, to: Math.min(to, sizes.get(name)!) }));
      if (wanted.length === 0) return;
      const bytes = ask(place, "read", commit, wanted.map(sized));
      held = wanted.map((range, i) => ({ ...range, bytes: bytes[i]! }));
    },
  };
}

let asking: ((kind: string, given: readonly unknown[]) => HubAnswer) | undefined;

/** Asks the thread, and waits for its answer. */
function ask<K extends keyof HubQuestions>(
  place: string,
  kind: K,
  ...given: Parameters<HubQuestions[K]>
): Awaited<ReturnType<HubQuestions[K]>> {
  expectPackages("hub");
  asking ??= startThread();
  const answer = asking(kind, given);
  if ("error" in answer) throw new Error(`cannot read ${place}: ${answer.error}`);
  return answer.value as Awaited<ReturnType<HubQuestions[K]>>;
}

function startThread(): NonNullable<typeof asking> {
  const signal = new Int32Array(new SharedArrayBuffer(4));
  const { port1, port2 } = new MessageChannel();
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const workerData: HubData = { port: port2, signal };
  const url = new URL(`./hub-worker.${extension}`, import.meta.url);
  new Worker(url, { workerData, transferList: [port2] }).unref();
  return (kind, given) => {
    Atomics.store(signal, 0, 0);
    port1.postMessage({ kind, given });
    const waited = Atomics.wait(signal, 0, 0, PATIENCE_MS);
    const message = receiveMessageOnPort(port1)?.message as HubAnswer | undefined;
    if (message) return message;
    // Its answer may still come, and would be taken for that to the next question: the next one goes to a new thread.
    asking = undefined;
    return { error: waited === "timed-out" ? "no answer came in half an hour" : "the thread that asks ended" };
  };
}
