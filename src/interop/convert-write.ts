// Question: how do converted tensors become one file, or the files of a folder?
//
// New tensors are made when it is their turn, one connection at a time; all others are copied from the old files in
// parts. Small ones are fetched side by side where the old files lie on a hub. A file is written under a temporary
// name, synced and renamed. The files of a folder are made in a folder inside it and moved when all are complete, the
// index last. An older checkpoint there is removed just before, so what a kill leaves is never read as a checkpoint.

import fs from "node:fs";
import path from "node:path";
import {
  sweepLeftovers,
  syncFolder,
  temporaryOf,
  writeAll,
  writeAtomically,
  writeFileAtomically,
} from "../files/atomic.ts";
import { attempt, reason } from "../files/errors.ts";
import { isFolder } from "../files/places.ts";
import type { DescribedTensor } from "../files/safetensors-format.ts";
import { checkpointFiles, indexName, type OpenShards, type Shard, singleName } from "../files/shards.ts";
import { encodeHead } from "../files/write-safetensors.ts";

/** A tensor of a new file. */
export interface NewTensor extends DescribedTensor {
  /** Makes the converted values; absent: the bytes are those of the old file's tensor `source`. */
  readonly make?: () => Float32Array;
  readonly source?: string;
}

/** Hears of every part that was written. */
export type OnWritten = (bytes: number) => void;

/** So many bytes of an old file are fetched in advance. */
const MOST_AHEAD = 1 << 26;

/** One new file. */
export interface NewShard extends Shard {
  readonly tensors: readonly NewTensor[];
}

/** What the folder in which files are made is called, before the mark of its process. */
const MAKING = "converted";

/** Whether new files may be written to a folder; `input` is the folder of the old ones. */
export function expectFolders(input: string, output: string, overwrite: boolean): void {
  if (fs.existsSync(path.join(input, "checkpoints")))
    throw new Error(
      `${input} holds checkpoints, but no config.json of a run: give the model.safetensors of one of its checkpoints`,
    );
  if (!fs.existsSync(output)) return;
  if (!isFolder(output))
    throw new Error(`${output} is a file, and ${input} a folder: give the new folder another name`);
  if (fs.existsSync(path.join(output, "checkpoints")))
    throw new Error(`${output} is a run folder, which keeps its own checkpoints: give the new files another folder`);
  const [other] = fs.readdirSync(output).filter((name) => name.endsWith(".safetensors") || name === indexName);
  if (other !== undefined && !overwrite)
    throw new Error(
      `${output} holds ${other} already: replace the checkpoint in it (--overwrite) or give another folder`,
    );
}

/** Writes the files of a checkpoint and their index to a folder, in the place of the checkpoint that it may hold. */
export function writeFolder(output: string, shards: readonly NewShard[], file: OpenShards, onWritten: OnWritten): void {
  fs.mkdirSync(output, { recursive: true });
  sweepLeftovers(output, [MAKING]);
  const making = temporaryOf(path.join(output, MAKING));
  fs.rmSync(making, { recursive: true, force: true });
  let complete = false;
  try {
    fs.mkdirSync(making);
    for (const { name, tensors, metadata } of shards)
      writeNew(path.join(making, name), tensors, metadata, file, onWritten);
    const names = shards.map(({ name }) => name);
    if (names.length > 1 || names[0] !== singleName) {
      writeFileAtomically(path.join(making, indexName), formatIndex(shards));
      names.push(indexName);
    }
    complete = true;
    for (const name of checkpointFiles(output)) fs.rmSync(path.join(output, name), { force: true });
    for (const name of names) fs.renameSync(path.join(making, name), path.join(output, name));
    fs.rmdirSync(making);
    syncFolder(output);
  } catch (error) {
    if (complete)
      throw new Error(
        `cannot replace the files of ${output}: ${reason(error)}. The new files are whole; move those that are still in ${making} beside the others`,
        { cause: error },
      );
    attempt(() => fs.rmSync(making, { recursive: true, force: true }));
    throw error;
  }
}

function formatIndex(shards: readonly NewShard[]): string {
  const tensors = shards.flatMap(({ name, tensors: own }) => own.map((tensor) => ({ ...tensor, file: name })));
  const index = {
    metadata: { total_size: tensors.reduce((sum, { bytes }) => sum + bytes, 0) },
    weight_map: Object.fromEntries(tensors.map((tensor) => [tensor.name, tensor.file])),
  };
  return `${JSON.stringify(index, undefined, 2)}\n`;
}

/** Writes one file; it appears under its name when it is complete. */
export function writeNew(
  output: string,
  tensors: readonly NewTensor[],
  metadata: Readonly<Record<string, string>>,
  file: OpenShards,
  onWritten: OnWritten,
): void {
  sweepLeftovers(path.dirname(output), [path.basename(output)]);
  writeAtomically(output, (descriptor) => {
    writeAll(descriptor, encodeHead(tensors, metadata));
    const write = (part: Uint8Array): void => {
      writeAll(descriptor, part);
      onWritten(part.length);
    };
    for (const some of inBatches(tensors)) {
      file.prefetch(some.flatMap(({ source, bytes }) => (source !== undefined && bytes <= MOST_AHEAD ? [source] : [])));
      for (const { make, source } of some) {
        if (make) {
          const { buffer, byteOffset, byteLength } = make();
          write(new Uint8Array(buffer, byteOffset, byteLength));
        } else for (const part of file.bytes(source!)) write(part);
      }
    }
  });
}

/** Tensors in their order, as many at a time as are fetched in advance. */
function* inBatches(tensors: readonly NewTensor[]): Generator<readonly NewTensor[]> {
  let batch: NewTensor[] = [];
  let size = 0;
  for (const tensor of tensors) {
    if (batch.length > 0 && size + tensor.bytes > MOST_AHEAD) {
      yield batch;
      [batch, size] = [[], 0];
    }
    batch.push(tensor);
    size += tensor.bytes;
  }
  if (batch.length > 0) yield batch;
}
