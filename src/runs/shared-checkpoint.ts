// Question: how do several ranks write one checkpoint?
//
//   1. rank 0 makes the folder, under a name that does not count
//   2. every rank that sees it writes its own pieces there (pieces.ts), and tells rank 0 their sizes and SHA-256
//   3. rank 0 writes state.json, which has all of these, and renames the folder
//
// So nothing is collected, and a checkpoint is whole or not there. Where a rank does not see the folder, for its machine
// does not share the disk, rank 0 collects everything and writes the files of one process.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { writeAll } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { sizeOf } from "../files/safetensors-format.ts";
import { indexName } from "../files/shard-names.ts";
import { encodeSafetensors } from "../files/write-safetensors.ts";
import { type Collective, showRanks } from "../runtime/collective/collective.ts";
import {
  checkpointNames as names,
  type FileMark,
  type Outline,
  SHARED_FORMAT,
  type TensorFile,
  tensorFiles,
  type TrainingState,
} from "../training/checkpoint-files.ts";
import type { KeepOwn } from "../training/parallel/lead.ts";
import type { SavedTensor, TensorPiece } from "../training/state.ts";
import {
  beginCheckpoint,
  type CheckpointPlace,
  isShared,
  loadCheckpoint,
  saveCheckpoint,
  type Write,
  writeMarked,
} from "./checkpoint.ts";
import { isWholeTensor, pieceFile, storedPiece } from "./pieces.ts";

/** What a rank says of its part. */
type Said =
  | { readonly kind: "written"; readonly files: readonly WrittenFile[] }
  /** A tensor has a value that is not finite. */
  | { readonly kind: "bad"; readonly name: string }
  | { readonly kind: "unseen"; readonly machine: string }
  | { readonly kind: "failed"; readonly message: string; readonly bytes: number };

interface WrittenFile {
  readonly name: string;
  readonly of: TensorFile;
  readonly mark: FileMark;
  readonly tensors: readonly (Outline & { readonly whole: boolean })[];
}

/** Every rank's part of a save, for `leadTrainer` and `followTrainer`. */
export function keepPieces({ rank, size }: Pick<Collective, "rank" | "size">, write: Write = writeAll): KeepOwn {
  const keep = (own: Parameters<KeepOwn>[0], folder: string): Said => {
    const bad = [...own.model, ...own.optimizer].find(({ data }) => !data.every(Number.isFinite));
    if (bad) return { kind: "bad", name: bad.name };
    if (!fs.existsSync(folder)) return { kind: "unseen", machine: os.hostname() };
    const kinds = { [names.model]: own.model, [names.optimizer]: own.optimizer } as const;
    const bytes = [...own.model, ...own.optimizer].reduce((sum, { data }) => sum + data.byteLength, 0);
    try {
      const metadata = { step: String(own.step) };
      const files = tensorFiles
        .filter((of) => kinds[of].length > 0)
        .map((of): WrittenFile => {
          const name = pieceFile(of, rank, size);
          const chunks = encodeSafetensors(kinds[of].map(storedPiece), metadata);
          return { name, of, mark: writeMarked(path.join(folder, name), chunks, write), tensors: outlines(kinds[of]) };
        });
      return { kind: "written", files };
    } catch (error) {
      return { kind: "failed", message: `${os.hostname()}: ${reason(error)}`, bytes };
    }
  };
  return (own, folder) => JSON.stringify(keep(own, folder));
}

/** The tensors of pieces, each once. */
function outlines(pieces: readonly TensorPiece[]): (Outline & { readonly whole: boolean })[] {
  const byName = new Map(
    pieces.map((piece) => [piece.name, { name: piece.name, shape: piece.shape, whole: isWholeTensor(piece) }]),
  );
  return [...byName.values()];
}

/** How a save of all ranks ended: with a checkpoint, or with nothing written. */
export type SharedSave =
  | { readonly place: CheckpointPlace }
  | { readonly notFinite: string }
  /** These ranks do not see the folder. */
  | { readonly unseen: string };

/**
 * Save what all ranks have, from rank 0.
 *
 * @param keepOwn lets every rank write into a folder; see `LeadingTrainer`
 * @throws Error when a rank could not write; it names the rank, and nothing is left behind
 */
export async function saveShared(
  runFolder: string,
  { step, state, keep }: { readonly step: number; readonly state: TrainingState; readonly keep: number },
  keepOwn: (folder: string) => Promise<readonly string[]>,
): Promise<SharedSave> {
  const begun = beginCheckpoint(runFolder, step);
  const all = (await keepOwn(path.resolve(begun.folder))).map((text) => JSON.parse(text) as Said);
  const those = <K extends Said["kind"]>(kind: K): { rank: number; said: Extract<Said, { kind: K }> }[] =>
    all.flatMap((said, rank) => (said.kind === kind ? [{ rank, said: said as Extract<Said, { kind: K }> }] : []));
  const [bad] = those("bad");
  const unseen = those("unseen");
  if (bad || unseen.length > 0) {
    fs.rmSync(begun.folder, { recursive: true, force: true });
    if (bad) return { notFinite: bad.said.name };
    const machines = [...new Set(unseen.map(({ said }) => said.machine))].join(", ");
    return { unseen: `${showRanks(unseen.map(({ rank }) => rank))} (on ${machines})` };
  }
  const failed = those("failed");
  if (failed.length > 0)
    throw begun.fail(
      new Error(failed.map(({ rank, said }) => `rank ${rank} on ${said.message}`).join("; ")),
      failed.reduce((sum, { said }) => sum + said.bytes, 0),
    );
  const files = those("written").flatMap(({ said }) => said.files);
  try {
    const marks = Object.fromEntries(files.map(({ name, mark }) => [name, mark]));
    const tensors = { [names.model]: union(files, names.model), [names.optimizer]: union(files, names.optimizer) };
    const index = indexOf(files);
    if (index) marks[indexName] = writeMarked(path.join(begun.folder, indexName), [Buffer.from(index)]);
    return { place: begun.finish({ format: SHARED_FORMAT, files: marks, tensors, state }, keep) };
  } catch (error) {
    throw begun.fail(error);
  }
}

/**
 * Write a checkpoint that several ranks have written as one process writes it, in its place.
 *
 * @returns false when it is of one process already
 */
export function mergeCheckpoint(runFolder: string, { step, folder }: CheckpointPlace): boolean {
  if (!isShared(folder)) return false;
  const { model, optimizer, state } = loadCheckpoint(folder);
  saveCheckpoint(runFolder, { step, state, model, optimizer: inOrderOf(model, optimizer) }, { keep: "all" });
  return true;
}

/** The moments in the order of their parameters. */
function inOrderOf(model: readonly SavedTensor[], optimizer: readonly SavedTensor[]): SavedTensor[] {
  const place = new Map(model.map(({ name }, index) => [name, index]));
  const of = ({ name }: SavedTensor): number => place.get(name.replace(/\.[^.]*$/, "")) ?? model.length;
  return [...optimizer].sort((a, b) => of(a) - of(b));
}

/** All tensors of a kind, in the order of the ranks. */
function union(files: readonly WrittenFile[], kind: TensorFile): Outline[] {
  const all = files.filter(({ of }) => of === kind).flatMap(({ tensors }) => tensors);
  return [...new Map(all.map(({ name, shape }) => [name, { name, shape }])).values()];
}

/** What model.safetensors.index.json says; undefined where a tensor is in pieces. */
function indexOf(files: readonly WrittenFile[]): string | undefined {
  const weights = files.filter(({ of }) => of === names.model);
  if (weights.some(({ tensors }) => tensors.some(({ whole }) => !whole))) return undefined;
  const size = weights.flatMap(({ tensors }) => tensors).reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  const map = Object.fromEntries(weights.flatMap(({ name, tensors }) => tensors.map((tensor) => [tensor.name, name])));
  return `${JSON.stringify({ metadata: { total_size: size }, weight_map: map }, undefined, 2)}\n`;
}
