// Question: where is a session kept, so that a reload goes on?
//
// In the browser's own file system for this site (OPFS). States are written under a new name, then session.json, which
// names them, then the old ones go: whenever the tab is closed, session.json names whole files.

import type { TrainingConfig } from "../../../../src/browser.ts";
import type { Choice } from "./choice.ts";
import type { News, KeptSession } from "./session.ts";
import { decodeTensors, encodeTensors } from "./tensors.ts";

/** A session with all that the page shows of it. */
export interface Stored {
  readonly choice: Choice;
  /** The text, if it is one's own. */
  readonly own: string;
  /** Of a run that was opened: what it is, and its tokenizer.json. */
  readonly opened?: { readonly config: TrainingConfig; readonly tokenizer: string };
  readonly news: readonly News[];
  readonly rateFactor: number;
  readonly kept: KeptSession;
}

interface Described extends Omit<Stored, "kept"> {
  readonly free: readonly boolean[];
  readonly step: number;
  readonly files: readonly { readonly model: string; readonly optimizer: string }[];
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
export async function store({ kept, ...rest }: Stored): Promise<void> {
  const at = await folder();
  const step = kept.states[0]?.step ?? 0;
  const files = kept.states.map((_, index) => ({
    model: `${step}-${index}.model`,
    optimizer: `${step}-${index}.optimizer`,
  }));
  for (const [index, { model, optimizer }] of kept.states.entries()) {
    await writeFile(at, files[index]!.model, encodeTensors(model));
    await writeFile(at, files[index]!.optimizer, encodeTensors(optimizer));
  }
  const described: Described = { ...rest, free: kept.free, step, files };
  await writeFile(at, NAME, JSON.stringify(described));
  const named = new Set([NAME, ...files.flatMap(({ model, optimizer }) => [model, optimizer])]);
  for await (const name of at.keys()) if (!named.has(name)) await at.removeEntry(name);
}

/** The session that is kept; undefined where there is none, or none that can be read. */
export async function stored(): Promise<Stored | undefined> {
  try {
    const at = await folder();
    const { free, step, files, ...rest } = JSON.parse(await (await readFile(at, NAME)).text()) as Described;
    const states = await Promise.all(
      files.map(async ({ model, optimizer }) => ({
        step,
        model: decodeTensors(await (await readFile(at, model)).arrayBuffer()),
        optimizer: decodeTensors(await (await readFile(at, optimizer)).arrayBuffer()),
      })),
    );
    return { ...rest, kept: { free, states } };
  } catch {
    return undefined;
  }
}
