// Question: where is a session kept, so that a reload goes on?
//
// In the browser's own file system for this site (OPFS), as checkpoints of the library, with their checksums, and a file
// with what was told of every step. They are written under names that are new, then session.json, which names them, then
// the old ones go: whenever the tab is closed, session.json names whole files. It is small, for the page itself reads it.

import {
  type CheckpointFiles,
  decodeCheckpoint,
  encodeCheckpoint,
  type TrainingConfig,
} from "../../../../src/browser.ts";
import { formatJson, parseJson } from "../../../../src/files/json.ts";
import { reason } from "../../../../src/files/errors.ts";
import { type Choice, sizes } from "./choice.ts";
import { kinds } from "./kinds.ts";
import type { News, KeptSession, Switch } from "./session.ts";

/** A session with all that the page shows of it. */
export interface Stored {
  readonly choice: Choice;
  /** The text, if it is one's own. */
  readonly own: string;
  /** Of a run that was opened: what it is, and its tokenizer.json. */
  readonly opened?: { readonly config: TrainingConfig; readonly tokenizer: string };
  readonly news: readonly News[];
  readonly switches: readonly Switch[];
  readonly rateFactor: number;
  readonly kept: KeptSession;
}

/** What is said of a session without its tensors. */
export interface Described extends Omit<Stored, "kept" | "news" | "switches"> {
  readonly free: readonly boolean[];
  readonly step: number;
  /** The name of the file of the news; sessions that an older page kept have the news themselves, and no switches. */
  readonly news: string | readonly News[];
  readonly switches?: readonly Switch[];
  /** For each model the names of its files, by what they are. */
  readonly files: readonly { readonly [Name in keyof CheckpointFiles]: string }[];
}

const NAME = "session.json";

const folder = async (): Promise<FileSystemDirectoryHandle> =>
  (await navigator.storage.getDirectory()).getDirectoryHandle("birkhoff-playground", { create: true });

async function writeFile(
  at: FileSystemDirectoryHandle,
  name: string,
  content: string | Uint8Array<ArrayBuffer>,
): Promise<void> {
  const writable = await (await at.getFileHandle(name, { create: true })).createWritable();
  await writable.write(content);
  await writable.close();
}

const readFile = async (at: FileSystemDirectoryHandle, name: string): Promise<File> =>
  (await at.getFileHandle(name)).getFile();

/** Keep a session in place of the one that was kept. */
export async function store({ kept, news, ...rest }: Stored): Promise<void> {
  const at = await folder();
  const { free, states } = kept;
  const fresh = crypto.randomUUID();
  const files: Described["files"] = states.map((_, index) => ({
    "model.safetensors": `${fresh}-${index}-model.safetensors`,
    "optimizer.safetensors": `${fresh}-${index}-optimizer.safetensors`,
    "state.json": `${fresh}-${index}-state.json`,
  }));
  for (const [index, state] of states.entries()) {
    const checkpoint = await encodeCheckpoint(state);
    for (const name of namesOf(checkpoint)) await writeFile(at, files[index]![name], checkpoint[name]);
  }
  const told = `${fresh}-news.json`;
  await writeFile(at, told, formatJson(news));
  const described: Described = { ...rest, free, step: states[0]?.step ?? 0, files, news: told };
  await writeFile(at, NAME, formatJson(described));
  const named = new Set([NAME, told, ...files.flatMap((each) => Object.values(each))]);
  for await (const name of at.keys()) if (!named.has(name)) await at.removeEntry(name);
}

const namesOf = (files: object): (keyof CheckpointFiles)[] => Object.keys(files) as (keyof CheckpointFiles)[];

/** What is said of the session that is kept; undefined where there is none, or none that can be read. */
export async function described(): Promise<Described | undefined> {
  try {
    const found = parseJson(await (await readFile(await folder(), NAME)).text()) as Described;
    const { choice, files, free, switches = [] } = found;
    return files.length > 0 &&
      free.length === files.length &&
      Array.isArray(switches) &&
      Object.hasOwn(sizes, choice.size) &&
      choice.models.every(({ kind }) => Object.hasOwn(kinds, kind))
      ? found
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The session that is kept.
 *
 * @throws Error where there is none, and where it is damaged
 */
export async function stored(): Promise<Stored> {
  const found = await described();
  if (!found) throw new Error("There is no session to go on with. Choose models, and press Train.");
  try {
    return await readStored(found);
  } catch (error) {
    throw new Error(
      `The session that is kept here cannot be read (${reason(error)}). Press Train, and another takes its place.`,
      { cause: error },
    );
  }
}

async function readStored(found: Described): Promise<Stored> {
  const { free, files, step: _, news: told, switches = [], ...rest } = found;
  const at = await folder();
  const bytes = async (name: string): Promise<Uint8Array<ArrayBuffer>> =>
    new Uint8Array(await (await readFile(at, name)).arrayBuffer());
  const states = await Promise.all(
    files.map(async (each) =>
      decodeCheckpoint({
        "model.safetensors": await bytes(each["model.safetensors"]),
        "optimizer.safetensors": await bytes(each["optimizer.safetensors"]),
        "state.json": await bytes(each["state.json"]),
      }),
    ),
  );
  const news = typeof told === "string" ? (parseJson(await (await readFile(at, told)).text()) as News[]) : told;
  if (!news.every(({ models }) => models.length === files.length)) throw new Error("its steps are of other models");
  return { ...rest, news, switches, kept: { free, states } };
}
