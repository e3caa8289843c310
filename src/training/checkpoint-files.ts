// Question: which files is a checkpoint?
//
// model.safetensors, optimizer.safetensors and state.json. The last has the sizes and SHA-256 of the other two, and one
// of itself. One that several ranks have written has files of each of them in place of the two
// (runs/shared-checkpoint.ts), and its state.json says which tensors they make up. runs/checkpoint.ts keeps them in the
// folder of a run, safe from kills; here they are bytes, for a program that keeps them elsewhere, such as a page. Both
// are the same bytes.

import { isObject } from "../basics/objects.ts";
import { showValue } from "../basics/show.ts";
import { reason } from "../files/errors.ts";
import { decodeSafetensors, type Safetensors } from "../files/safetensors-format.ts";
import { encodeSafetensors } from "../files/write-safetensors.ts";
import type { SavedTensor, TrainerState } from "./state.ts";

export const CHECKPOINT_FORMAT = 1;
/** Of a checkpoint that several ranks have written. */
export const SHARED_FORMAT = 2;
/** The files of a checkpoint. */
export const checkpointNames = {
  model: "model.safetensors",
  optimizer: "optimizer.safetensors",
  state: "state.json",
} as const;
/** Those of tensors. */
export const tensorFiles: readonly ["model.safetensors", "optimizer.safetensors"] = [
  checkpointNames.model,
  checkpointNames.optimizer,
];
export type TensorFile = (typeof tensorFiles)[number];

/** The files of a checkpoint by their names. */
export type CheckpointFiles = {
  readonly [Name in "model.safetensors" | "optimizer.safetensors" | "state.json"]: Uint8Array<ArrayBuffer>;
};

/** What the trainer keeps besides tensors; comes back through JSON. */
export type TrainingState = Readonly<Record<string, unknown>>;

/** By what a file is known to be the one that was written. */
export interface FileMark {
  readonly bytes: number;
  readonly sha256: string;
}

/** What state.json holds, but for its own checksum. */
export interface StateFile {
  readonly format: number;
  readonly step: number;
  readonly files: Readonly<Record<string, FileMark>>;
  /** Of SHARED_FORMAT: all tensors of the files, whose pieces may be in several of them. */
  readonly tensors?: Readonly<Record<TensorFile, readonly Outline[]>>;
  readonly state: TrainingState;
}

/** A tensor without its numbers. */
export interface Outline {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * The text of state.json.
 *
 * @param sha256 of the state's JSON without indentation, so that it outlives a pretty-printer
 */
export const formatState = (state: StateFile, sha256: string): string =>
  `${JSON.stringify({ ...state, sha256 }, undefined, 2)}\n`;

export const WRONG_CHECKSUM: string = `${checkpointNames.state}: its checksum is wrong`;

export const damagedCheckpoint = (what: string, how: string): Error => new Error(`${what} is damaged (${how})`);

/** What state.json holds; the hash of `hashed` must be the expected one. */
export function parseState(
  text: string,
  what: string,
): { readonly state: StateFile; readonly expected: string; readonly hashed: string } {
  let parsed: StateFile & { readonly sha256: string };
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw damagedCheckpoint(what, `${checkpointNames.state}: ${reason(error)}`);
  }
  if (parsed?.format !== CHECKPOINT_FORMAT && parsed?.format !== SHARED_FORMAT)
    throw new Error(
      `${what} is of format ${showValue(parsed?.format)}; this version of birkhoff reads formats ${CHECKPOINT_FORMAT} and ${SHARED_FORMAT}`,
    );
  const { sha256: expected, ...state } = parsed;
  return { state, expected, hashed: JSON.stringify(state) };
}

/** Throws unless a state says which files there are. */
export function expectMarks({ format, files, tensors }: StateFile, what: string): void {
  const isWhole =
    format === CHECKPOINT_FORMAT
      ? isObject(files) && tensorFiles.every((name) => isObject(files[name]))
      : isObject(files) && isObject(tensors) && tensorFiles.every((name) => Array.isArray(tensors[name]));
  if (isWhole) return;
  throw damagedCheckpoint(what, `${checkpointNames.state}: it does not say which files there are`);
}

/** The tensors of a file of a checkpoint, which are all of floats. */
export function floatTensors({ tensors }: Safetensors, file: string, what: string): SavedTensor[] {
  return [...tensors].map(([name, { shape, data }]) => {
    if (data instanceof Float32Array) return { name, shape, data };
    throw damagedCheckpoint(what, `${file}: ${name} holds whole numbers`);
  });
}

/**
 * The state of a trainer as the three files of a checkpoint, to keep them anywhere: in the folder `checkpoints/step-N`
 * of a run folder the commands read them.
 *
 * @param state what to keep besides, such as the seed; comes back through JSON
 * @throws Error where there is no SHA-256, as in a page that is not secure
 */
export async function encodeCheckpoint(trainer: TrainerState, state: TrainingState = {}): Promise<CheckpointFiles> {
  const { step, model, optimizer } = trainer;
  const metadata = { step: String(step) };
  const files = {
    [checkpointNames.model]: joined(encodeSafetensors(model, metadata)),
    [checkpointNames.optimizer]: joined(encodeSafetensors(optimizer, metadata)),
  };
  const marks: Record<string, FileMark> = {};
  for (const name of tensorFiles) marks[name] = { bytes: files[name].length, sha256: await sha256(files[name]) };
  const content = { format: CHECKPOINT_FORMAT, step, files: marks, state };
  const text = formatState(content, await sha256(utf8(JSON.stringify(content))));
  return { ...files, [checkpointNames.state]: utf8(text) };
}

/**
 * The state of a trainer from the three files of a checkpoint: for `Trainer.restore`.
 *
 * @throws Error when a file is missing or not as it was written
 */
export async function decodeCheckpoint(
  files: CheckpointFiles,
): Promise<TrainerState & { readonly state: TrainingState }> {
  const what = "decodeCheckpoint: the checkpoint";
  for (const name of Object.values(checkpointNames))
    if (!(files[name] instanceof Uint8Array))
      throw new TypeError(
        `decodeCheckpoint: ${name} is ${showValue(files[name])}; it must be the bytes of that file. Give all three files.`,
      );
  const { state, expected, hashed } = parseState(new TextDecoder().decode(files[checkpointNames.state]), what);
  if ((await sha256(utf8(hashed))) !== expected) throw damagedCheckpoint(what, WRONG_CHECKSUM);
  expectMarks(state, what);
  if (state.format !== CHECKPOINT_FORMAT)
    throw new Error(
      `${what} was written by several processes, each its part. Make one of it: birkhoff merge RUN, and give its three files.`,
    );
  for (const name of tensorFiles) {
    const { bytes, sha256: wanted } = state.files[name]!;
    if (files[name].length !== bytes)
      throw damagedCheckpoint(what, `${name}: it has ${files[name].length} bytes and should have ${bytes}`);
    if ((await sha256(files[name])) !== wanted) throw damagedCheckpoint(what, `${name}: its checksum is wrong`);
  }
  const tensors = (name: (typeof tensorFiles)[number]): SavedTensor[] =>
    floatTensors(decodeSafetensors(files[name], name), name, what);
  return {
    step: state.step,
    model: tensors(checkpointNames.model),
    optimizer: tensors(checkpointNames.optimizer),
    state: state.state,
  };
}

const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const { subtle } = globalThis.crypto;
  if (!subtle)
    throw new Error(
      "this page cannot compute the SHA-256 of a checkpoint, for it is not secure; it must come by https or from localhost. Serve it so.",
    );
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
