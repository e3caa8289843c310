// Question: how is a training state kept so that a kill, a full disk or a damaged file costs at most
// the steps since the last checkpoint?
//
// checkpoints/step-N/ holds model.safetensors, optimizer.safetensors and state.json. The last has the
// sizes and SHA-256 of the other two, and one of itself. The folder is written as
// .writing-step-N-<pid>, every file and the folder synced, and then renamed: a folder named step-N is
// whole. Older ones go only after that. Of several ranks each may have written files of its own
// (shared-checkpoint.ts); whoever reads a checkpoint here need not know. A step that is saved again is
// put in place of its predecessor, which for that moment is named step-N.replaced and still counts.

import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { syncFolder, writeAll } from "../files/atomic.ts";
import { attempt, hasCode, reason } from "../files/errors.ts";
import { openSafetensors, readSafetensors } from "../files/safetensors.ts";
import { newSha256, sha256, sha256OfFile } from "../files/hash.ts";
import { expectSpace } from "../files/space.ts";
import { encodeSafetensors } from "../files/write-safetensors.ts";
import { readText } from "../files/read.ts";
import { indexName } from "../files/shard-names.ts";
import {
  CHECKPOINT_FORMAT,
  checkpointNames as names,
  damagedCheckpoint,
  expectMarks,
  type FileMark,
  floatTensors,
  formatState,
  type Outline,
  parseState,
  type StateFile,
  type TensorFile,
  tensorFiles,
  type TrainingState,
  WRONG_CHECKSUM,
} from "../training/checkpoint-files.ts";
import type { SavedTensor } from "../training/state.ts";
import { filesOfKind, joinPieces } from "./pieces.ts";

export interface CheckpointContent {
  readonly step: number;
  readonly model: readonly SavedTensor[];
  readonly optimizer: readonly SavedTensor[];
  readonly state: TrainingState;
}

export interface CheckpointPlace {
  readonly step: number;
  readonly folder: string;
}

export interface Checkpoint extends CheckpointContent, CheckpointPlace {}

export interface SaveOptions {
  /** How many checkpoints stay, this one included; 2 by default. "all": also those of later steps. */
  readonly keep?: number | "all";
  /** How bytes reach the disk; a test lets it fail. */
  readonly write?: Write;
}

export type Write = (descriptor: number, bytes: Uint8Array) => void;

/** How many checkpoints of a run there will be, and how large. */
export interface Room {
  /** How many checkpoints stay; 2 by default. */
  readonly keepCheckpoints?: number;
  /** Size of one checkpoint, to see beforehand whether all fit; with AdamW 12 bytes a parameter. */
  readonly checkpointBytes?: number;
}

/** Throws without room for what is not there yet and one more: the new one is written before the oldest goes. */
export function expectRoom(runFolder: string, { checkpointBytes = 0, keepCheckpoints = 2 }: Room): void {
  const missing = Math.max(0, keepCheckpoints - listCheckpoints(runFolder).length);
  expectSpace(runFolder, checkpointBytes * (missing + 1), "the checkpoints of the run");
}

const finished = /^step-(\d+)(\.replaced)?$/;
const unfinished = /^\.(writing|removing)-step-/;

/** A checkpoint that is being written, in a folder that does not count yet. */
export interface CheckpointBegun {
  readonly folder: string;
  /** Write state.json, and give the folder its name; what `keep` does not keep goes after that. */
  finish(content: Omit<StateFile, "step">, keep: number | "all"): CheckpointPlace;
  /** Remove what was written; the error that says what is to be done. `bytes`: what there was no room for, if known. */
  fail(error: unknown, bytes?: number): Error;
}

/** Begin to write the checkpoint of a step. */
export function beginCheckpoint(runFolder: string, step: number, write: Write = writeAll): CheckpointBegun {
  const root = checkpointsOf(runFolder);
  const place = path.join(root, `step-${step}`);
  // Another rank that sees a folder of this name sees this one.
  const folder = path.join(root, `.writing-step-${step}-${process.pid}-${randomBytes(4).toString("hex")}`);
  const fail = (error: unknown, bytes = 0): Error => {
    remove(folder);
    return new Error(
      `the checkpoint of step ${step} could not be written to ${root}: ${reason(error)}. ${lastGood(runFolder)} ` +
        `${bytes > 0 ? `Free ${Math.ceil(bytes / 2 ** 20)} MiB` : "Free some room"} or mend the disk, then resume the run`,
      { cause: error },
    );
  };
  try {
    fs.mkdirSync(root, { recursive: true });
    syncFolder(runFolder);
    removeLeftovers(runFolder);
    fs.mkdirSync(folder);
  } catch (error) {
    throw fail(error);
  }
  return {
    folder,
    fail,
    finish(content, keep) {
      const { format, ...rest } = content;
      const stateFile = { format, step, ...rest };
      const text = formatState(stateFile, sha256(JSON.stringify(stateFile)));
      writeMarked(path.join(folder, names.state), [Buffer.from(text)], write);
      syncFolder(folder);
      if (fs.existsSync(place)) fs.renameSync(place, `${place}.replaced`);
      fs.renameSync(folder, place);
      syncFolder(root);
      if (keep === "all") removeLeftovers(runFolder);
      else prune(runFolder, step, keep);
      return { step, folder: place };
    },
  };
}

/** Saves a checkpoint and then removes all but the newest `keep` of this and earlier steps. */
export function saveCheckpoint(
  runFolder: string,
  { step, model, optimizer, state }: CheckpointContent,
  { keep = 2, write = writeAll }: SaveOptions = {},
): CheckpointPlace {
  expectStep(step);
  if (keep !== "all") expectKept(keep);
  const metadata = { step: String(step) };
  const tensors = {
    [names.model]: encodeSafetensors(model, metadata),
    [names.optimizer]: encodeSafetensors(optimizer, metadata),
  };
  const begun = beginCheckpoint(runFolder, step, write);
  try {
    const files: Record<string, FileMark> = {};
    for (const name of tensorFiles) files[name] = writeMarked(path.join(begun.folder, name), tensors[name], write);
    return begun.finish({ format: CHECKPOINT_FORMAT, files, state }, keep);
  } catch (error) {
    throw begun.fail(error, bytesOf(Object.values(tensors).flat()));
  }
}

function expectStep(step: number): void {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new RangeError(`a checkpoint's step is ${step}; it must be 0, 1, 2, …`);
}

function expectKept(keep: number): void {
  if (!Number.isInteger(keep) || keep < 1)
    throw new RangeError(`${keep} checkpoints were to be kept; at least 1 must be`);
}

/** A run's checkpoints, oldest first; whether they are sound is not looked at. */
export function listCheckpoints(runFolder: string): CheckpointPlace[] {
  const root = checkpointsOf(runFolder);
  const places = new Map<number, CheckpointPlace>();
  // Backwards by name, so that step-N comes after step-N.replaced and takes its place.
  for (const name of namesIn(root).sort().reverse()) {
    const step = Number(finished.exec(name)?.[1] ?? NaN);
    if (!Number.isNaN(step)) places.set(step, { step, folder: path.join(root, name) });
  }
  return [...places.values()].sort((a, b) => a.step - b.step);
}

/** The newest sound checkpoint, of those earlier than step `before`; a damaged one is told of and passed over. */
export function latestCheckpoint(
  runFolder: string,
  onWarning: (message: string) => void = (message) => process.emitWarning(message),
  before: number = Number.POSITIVE_INFINITY,
): CheckpointPlace | undefined {
  for (const place of listCheckpoints(runFolder).reverse()) {
    if (place.step >= before) continue;
    try {
      const { step } = checkedState(place.folder);
      if (step !== place.step) throw damaged(place.folder, `it is of step ${step}`);
      return place;
    } catch (error) {
      onWarning(`${reason(error)}; it is passed over`);
    }
  }
  return undefined;
}

/** Reads a checkpoint's folder; one that is not as it was written is an error. */
export function loadCheckpoint(folder: string): Checkpoint {
  const file = checkedState(folder);
  return {
    step: file.step,
    folder,
    state: file.state,
    model: readTensors(folder, file, names.model),
    optimizer: readTensors(folder, file, names.optimizer),
  };
}

/** The same without what only training needs, which is twice as much as the model. */
export function loadModel(folder: string): Pick<Checkpoint, "step" | "model"> {
  const file = checkedState(folder);
  return { step: file.step, model: readTensors(folder, file, names.model) };
}

/** What a checkpoint keeps besides tensors; these are not looked at. */
export function loadState(folder: string): TrainingState {
  return soundState(folder).state;
}

function readTensors(folder: string, { files, tensors }: StateFile, kind: TensorFile): SavedTensor[] {
  const what = `the checkpoint ${folder}`;
  const read = (file: string): SavedTensor[] => floatTensors(readSafetensors(path.join(folder, file)), file, what);
  if (!tensors) return read(kind);
  return joinPieces(tensors[kind], filesOfKind(Object.keys(files), kind).flatMap(read), what);
}

/**
 * The file with the weights of a checkpoint, or the index of its files, for who reads safetensors.
 *
 * @throws Error where several ranks have written pieces of its tensors
 */
export function weightsFile(folder: string): string {
  const { files, tensors } = soundState(folder);
  if (!tensors) return path.join(folder, names.model);
  if (files[indexName]) return path.join(folder, indexName);
  throw new Error(
    `the weights of ${folder} are in pieces, for several processes wrote it. Make one of them: birkhoff merge ${path.dirname(path.dirname(folder))}`,
  );
}

/** Whether several ranks have written a checkpoint, each its part. */
export const isShared = (folder: string): boolean => soundState(folder).tensors !== undefined;

/** What a checkpoint's weights are called, with their shapes; they are not read. */
export function weightsOf(folder: string): readonly Outline[] {
  const { tensors } = soundState(folder);
  if (tensors) return tensors[names.model];
  const file = openSafetensors(path.join(folder, names.model));
  file.close();
  return file.tensors;
}

/** By what a checkpoint's weights are known: the SHA-256 of their file, or of what is known of all files. */
export function weightsHash(folder: string): string {
  const { files } = soundState(folder);
  const marks = filesOfKind(Object.keys(files), names.model).map((name) => files[name]!.sha256);
  return marks.length === 1 ? marks[0]! : sha256(marks.join());
}

/** Removes what a killed save has left. Only for the process that writes to the run. */
export function removeLeftovers(runFolder: string): void {
  const root = checkpointsOf(runFolder);
  const listed = new Set(listCheckpoints(runFolder).map(({ folder }) => path.basename(folder)));
  for (const name of namesIn(root)) {
    if (unfinished.test(name) || (finished.test(name) && !listed.has(name))) remove(path.join(root, name));
  }
}

/** Removes what a kill between a save and its end has left too much: all but the newest `keep` up to a step. */
export function removeSurplus(runFolder: string, step: number, keep: number): void {
  const earlier = listCheckpoints(runFolder).filter((place) => place.step <= step);
  setAside(earlier.slice(0, Math.max(0, earlier.length - keep)));
  removeLeftovers(runFolder);
}

/** Removes the checkpoints of later steps, durably. Throws an Error when one cannot be removed. */
export function removeCheckpointsAfter(runFolder: string, step: number): void {
  removeLeftovers(runFolder);
  for (const place of listCheckpoints(runFolder)) {
    if (place.step <= step) continue;
    try {
      fs.renameSync(place.folder, path.join(path.dirname(place.folder), `.removing-${path.basename(place.folder)}`));
    } catch (error) {
      throw new Error(`cannot go back to step ${step}: ${place.folder} cannot be removed: ${reason(error)}`, {
        cause: error,
      });
    }
  }
  syncFolder(checkpointsOf(runFolder));
  removeLeftovers(runFolder);
}

/**
 * Later steps than the one just saved are of a past that the run went back from. What fails here (on
 * Windows, when some reader has a file open) must not fail the save; the next one tries again.
 */
function prune(runFolder: string, step: number, keep: number): void {
  const places = listCheckpoints(runFolder);
  const kept = new Set(places.filter((place) => place.step <= step).slice(-keep));
  setAside(places.filter((place) => !kept.has(place)));
  removeLeftovers(runFolder);
}

/** Renamed first: a kill amid the removal must not leave half a checkpoint under a good name. */
function setAside(places: readonly CheckpointPlace[]): void {
  for (const { folder } of places)
    attempt(() => fs.renameSync(folder, path.join(path.dirname(folder), `.removing-${path.basename(folder)}`)));
}

/** The folder `checkpoints` of a run. */
const checkpointsOf = (runFolder: string): string => path.join(runFolder, "checkpoints");

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw new Error(`cannot list ${folder}: ${reason(error)}`, { cause: error });
  }
}

/** What cannot be removed now is a leftover for the next save. */
const remove = (folder: string): void => attempt(() => fs.rmSync(folder, { recursive: true, force: true }));

function lastGood(runFolder: string): string {
  let place: CheckpointPlace | undefined;
  attempt(() => (place = latestCheckpoint(runFolder, () => {})));
  return place
    ? `Nothing that was saved is lost: the last good checkpoint is ${place.folder}.`
    : "There is no earlier checkpoint.";
}

const bytesOf = (chunks: readonly Uint8Array[]): number => chunks.reduce((sum, { length }) => sum + length, 0);

/** Write a new file, and say by what it is known. */
export function writeMarked(file: string, chunks: readonly Uint8Array[], write: Write = writeAll): FileMark {
  const hash = newSha256();
  const descriptor = fs.openSync(file, "wx");
  try {
    for (const chunk of chunks) {
      write(descriptor, chunk);
      hash.update(chunk);
    }
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
  return { bytes: bytesOf(chunks), sha256: hash.digest("hex") };
}

const damaged = (folder: string, how: string): Error => damagedCheckpoint(`the checkpoint ${folder}`, how);

/** A checkpoint's state, after its own bytes and those of the tensors were compared with the marks. */
function checkedState(folder: string): StateFile {
  const state = soundState(folder);
  for (const [name, mark] of Object.entries(state.files)) {
    const problem = compare(path.join(folder, name), mark);
    if (problem !== undefined) throw damaged(folder, `${name}: ${problem}`);
  }
  return state;
}

/** The same without the tensors. */
function soundState(folder: string): StateFile {
  let text: string;
  try {
    text = readText(path.join(folder, names.state));
  } catch (error) {
    throw damaged(folder, `${names.state}: ${reason(error)}`);
  }
  const { state, expected, hashed } = parseState(text, `the checkpoint ${folder}`);
  if (sha256(hashed) !== expected) throw damaged(folder, WRONG_CHECKSUM);
  expectMarks(state, `the checkpoint ${folder}`);
  return state;
}

function compare(file: string, expected: FileMark): string | undefined {
  try {
    const { size } = fs.statSync(file);
    if (size !== expected.bytes) return `it has ${size} bytes and should have ${expected.bytes}`;
    return sha256OfFile(file) === expected.sha256 ? undefined : "its checksum is wrong";
  } catch (error) {
    return reason(error);
  }
}
