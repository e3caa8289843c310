// Question: how are tensors kept of which each rank has only pieces?
//
// Rank r of N writes model-0000(r+1)-of-0000N.safetensors and optimizer-… . A tensor that a rank has whole has its own
// name there. A piece of n numbers, those from place f on of all of the tensor's in one row, is a tensor "NAME@f" of
// shape [n]. state.json says which tensors there are, with their shapes; the pieces must make up each of them exactly.
// Where all weights are whole, an index beside them says which file has which, as other tools expect it.

import { shardName } from "../files/shard-names.ts";
import type { NamedTensor } from "../files/write-safetensors.ts";
import { sizeOf } from "../files/safetensors-format.ts";
import { damagedCheckpoint, type Outline, type TensorFile } from "../training/checkpoint-files.ts";
import type { SavedTensor, TensorPiece } from "../training/state.ts";

const stemOf = (kind: TensorFile): string => kind.replace(/\.safetensors$/, "");

/** The name of a rank's file. */
export function pieceFile(kind: TensorFile, rank: number, size: number): string {
  const number = (value: number): string => String(value).padStart(5, "0");
  return `${stemOf(kind)}-${number(rank + 1)}-of-${number(size)}.safetensors`;
}

/** The files of a kind among all of a checkpoint. */
export const filesOfKind = (files: readonly string[], kind: TensorFile): string[] =>
  files.filter((name) => name === kind || shardName.exec(name)?.[1] === stemOf(kind)).sort();

export const isWholeTensor = ({ shape, data }: TensorPiece): boolean => data.length === sizeOf(shape);

/** As a file has it. */
export const storedPiece = (piece: TensorPiece): NamedTensor =>
  isWholeTensor(piece)
    ? { name: piece.name, shape: piece.shape, data: piece.data }
    : { name: `${piece.name}@${piece.from}`, shape: [piece.data.length], data: piece.data };

/**
 * The tensors that the files of all ranks make up.
 *
 * @throws Error when a tensor is not there exactly once
 */
export function joinPieces(outlines: readonly Outline[], stored: readonly SavedTensor[], what: string): SavedTensor[] {
  const parts = new Map<string, { readonly from: number; readonly data: Float32Array }[]>();
  const known = new Set(outlines.map(({ name }) => name));
  for (const { name, data } of stored) {
    const [, base = name, from = "0"] = known.has(name) ? [] : (/^(.*)@(\d+)$/.exec(name) ?? []);
    if (!known.has(base))
      throw damagedCheckpoint(what, `it has a tensor ${base} of which its state.json does not know`);
    parts.set(base, [...(parts.get(base) ?? []), { from: Number(from), data }]);
  }
  return outlines.map(({ name, shape }) => {
    const pieces = (parts.get(name) ?? []).sort((a, b) => a.from - b.from);
    const [first] = pieces;
    if (pieces.length === 1 && first!.data.length === sizeOf(shape)) return { name, shape, data: first!.data };
    const data = new Float32Array(sizeOf(shape));
    let next = 0;
    for (const piece of pieces) {
      if (piece.from !== next || next + piece.data.length > data.length)
        throw damagedCheckpoint(what, `the pieces of ${name} do not follow each other at number ${next}`);
      data.set(piece.data, next);
      next += piece.data.length;
    }
    if (next !== data.length) throw damagedCheckpoint(what, `${name} lacks ${data.length - next} of its numbers`);
    return { name, shape, data };
  });
}
