// Question: how are the files of one checkpoint read as one?
//
// A large checkpoint is a folder of files, `model-00001-of-00003.safetensors` and so on, and an index,
// `model.safetensors.index.json`, whose `weight_map` says which file has which tensor. They are opened together and
// answer as one file does. A single file that may be one of several says so in `partOf`, so that nobody takes a part
// for the whole.
//
// Source: https://huggingface.co/docs/transformers/big_models

import fs from "node:fs";
import path from "node:path";
import { attempt } from "./errors.ts";
import { type CheckpointFolder, checkpointFolder, isManyFiles } from "./checkpoint-folder.ts";
import { isHubPlace } from "./hub-place.ts";
import type { DescribedTensor, OpenFile, OpenSafetensors } from "./safetensors-format.ts";
import { shortName } from "./safetensors-header.ts";
import {
  indexAmong,
  indexIn,
  indexName,
  isIndexName,
  safetensorsAmong,
  shardName,
  singleName,
  statementsOf,
} from "./shard-names.ts";
import { expectWhole, partOf } from "./shard-parts.ts";

export { indexName, singleName } from "./shard-names.ts";

/** One file of a checkpoint. */
export interface Shard {
  /** Its name in the folder. */
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes. */
  readonly tensors: readonly DescribedTensor[];
}

/** A file, or all files of a folder's checkpoint, read as one. */
export interface OpenShards extends OpenSafetensors {
  /** The files, in the order of their names. */
  readonly shards: readonly Shard[];
  /** Why the file may be only a part of a checkpoint, as a clause; absent for a whole one. */
  readonly partOf?: string;
  /** A tensor by its name. */
  find(name: string): DescribedTensor | undefined;
  /** Get ready to read these tensors, in any order; of files on a hub they are fetched now, side by side. */
  prefetch(names: readonly string[]): void;
}

/**
 * Opens a safetensors file, an index, or a folder with `model.safetensors`, with an index, or with a complete set of
 * shards; or a model on a hub, hf:owner/name[@revision], which is such a folder.
 */
export function openShards(place: string): OpenShards {
  const isIndex = !isHubPlace(place) && isIndexName(place);
  const whole = isIndex || isManyFiles(place);
  const folder = checkpointFolder(whole && !isIndex ? place : path.dirname(place));
  const places = isIndex
    ? readIndex(folder, path.basename(place))
    : whole
      ? filesOf(folder)
      : { files: [path.basename(place)], stated: [] };
  const opened = openAll(folder, places);
  try {
    const [name] = places.files;
    const has = (tensor: string): boolean => opened.find(tensor) !== undefined;
    if (whole && name === singleName) expectWhole(folder, has);
    const part = whole ? undefined : partOf(folder.path, name!, opened.tensors);
    return { ...opened, ...(part === undefined ? {} : { partOf: part }) };
  } catch (error) {
    opened.close();
    throw error;
  }
}

interface Places {
  readonly files: readonly string[];
  /** The index's statements: a tensor and its file. */
  readonly stated: readonly (readonly [tensor: string, file: string])[];
}

/** So many bytes of a file hold its head, as a rule. */
const MOST_HEADS = 1 << 17;

function openAll(folder: CheckpointFolder, { files, stated }: Places): OpenShards {
  const opened: { readonly name: string; readonly file: OpenFile }[] = [];
  const close = (): void => opened.forEach(({ file }) => file.close());
  try {
    const holders = new Map<string, { readonly shard: string; readonly file: OpenFile; tensor: DescribedTensor }>();
    folder.prefetch(files.map((name) => ({ name, from: 0, to: MOST_HEADS })));
    for (const name of files) {
      const file = folder.open(name);
      opened.push({ name, file });
      for (const tensor of file.tensors) {
        const other = holders.get(tensor.name)?.shard;
        if (other !== undefined)
          throw new Error(
            `${folder.called}: ${shortName(tensor.name)} is in ${other} and in ${name}; a tensor belongs in one file: remove one of them`,
          );
        holders.set(tensor.name, { shard: name, file, tensor });
      }
    }
    for (const [tensor, name] of stated) {
      if (holders.get(tensor)?.shard === name) continue;
      throw new Error(
        `${path.join(folder.called, name)} has no tensor ${shortName(tensor)}, though its index says so: fetch the file and its index again`,
      );
    }
    const holderOf = (name: string): OpenSafetensors => {
      const holder = holders.get(name);
      if (holder) return holder.file;
      throw new Error(`${folder.called} has no tensor ${shortName(name)}`);
    };
    return {
      metadata: sharedMetadata(opened.map(({ file }) => file.metadata)),
      shards: opened.map(({ name, file: { metadata, tensors } }) => ({ name, metadata, tensors })),
      tensors: opened.flatMap(({ file }) => file.tensors),
      find: (name) => holders.get(name)?.tensor,
      prefetch: (names) =>
        folder.prefetch(
          names.flatMap((name) => {
            const { shard, file } = holders.get(name)!;
            const [from, to] = file.rangeOf(name);
            return { name: shard, from, to };
          }),
        ),
      read: (name) => holderOf(name).read(name),
      readSome: (name, from, count) => holderOf(name).readSome(name, from, count),
      bytes: (name) => holderOf(name).bytes(name),
      readBytes: (name, from, into) => holderOf(name).readBytes(name, from, into),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** What all files say alike; what only some of them say is no statement about the checkpoint. */
function sharedMetadata(all: readonly Readonly<Record<string, string>>[]): Readonly<Record<string, string>> {
  const [first = {}, ...others] = all;
  return Object.fromEntries(
    Object.entries(first).filter(([key, value]) =>
      others.every((other) => Object.hasOwn(other, key) && other[key] === value),
    ),
  );
}

const weights = /\.(bin|pt|pth|gguf|onnx|safetensors)$/;

/** Whether a folder holds the files of a checkpoint; `openShards` says what is wrong if it cannot read them. */
export const holdsWeights = (folder: string): boolean =>
  fs.readdirSync(folder).some((name) => isIndexName(name) || weights.test(name));

/** The files that a checkpoint in a folder consists of, whole or not, with its index; none where there is none. */
export function checkpointFiles(folder: string): string[] {
  const stated = new Set<unknown>();
  const index = indexIn(folder) ?? indexName;
  attempt(() => statementsOf(path.join(folder, index)).forEach(([, name]) => stated.add(name)));
  // The index comes first, so that it never speaks of files that are gone.
  return fs
    .readdirSync(folder)
    .filter((name) => name === singleName || name === index || shardName.test(name) || stated.has(name))
    .sort((a, b) => Number(b === index) - Number(a === index));
}

function filesOf(folder: CheckpointFolder): Places {
  const names = folder.names();
  if (names.includes(singleName)) return { files: [singleName], stated: [] };
  const index = indexAmong(names);
  if (index !== undefined) return readIndex(folder, index);
  const present = safetensorsAmong(names);
  const sets = new Map<string, string[]>();
  for (const name of present) {
    const [, stem, , count] = shardName.exec(name) ?? [];
    if (stem === undefined) continue;
    const set = `${stem}-*-of-${count}`;
    sets.set(set, [...(sets.get(set) ?? []), name]);
  }
  const [set, another] = [...sets.values()];
  if (set === undefined || another !== undefined) {
    const others = names.filter((name) => weights.test(name));
    const contents = others.length > 0 ? `; it holds ${others.slice(0, 8).join(", ")}` : "";
    const advice =
      present.length === 0
        ? "Only safetensors can be read"
        : present.length === 1
          ? `Give the file itself: ${path.join(folder.path, present[0]!)}`
          : "Their names do not say how many files there are: add an index that says which tensor is in which file, or call them model-00001-of-00002.safetensors and so on";
    throw new Error(`${folder.called} has neither ${singleName} nor ${indexName}${contents}. ${advice}`);
  }
  return { files: completeSet(folder, set), stated: [] };
}

/** The names of a set of shards in order; throws when one is missing. */
function completeSet(folder: CheckpointFolder, names: readonly string[]): string[] {
  const numbered = new Map(names.map((name) => [Number(shardName.exec(name)![2]), name]));
  const count = Number(shardName.exec(names[0]!)![3]);
  const missing = Array.from({ length: Math.min(count, names.length + 1) }, (_, i) => i + 1).find(
    (number) => !numbered.has(number),
  );
  if (missing !== undefined || numbered.size !== count)
    throw new Error(
      `${folder.called} has ${names.length} of ${count} files, such as ${names[0]}; number ${missing ?? "of another count"} is missing: fetch the rest`,
    );
  return [...numbered.keys()].sort((a, b) => a - b).map((number) => numbered.get(number)!);
}

function readIndex(folder: CheckpointFolder, index: string): Places {
  const file = path.join(folder.path, index);
  const stated = statementsOf(file);
  for (const [tensor, name] of stated) {
    if (typeof name !== "string" || name !== path.basename(name) || name === "..") {
      throw new Error(
        `${file} puts ${shortName(tensor)} in ${shortName(JSON.stringify(name) ?? "nothing")}, which is not a file name in that folder`,
      );
    }
  }
  const files = [...new Set(stated.map(([, name]) => name as string))].sort();
  const absent = files.filter((name) => !folder.has(name));
  if (absent.length > 0)
    throw new Error(
      `${folder.called} has ${files.length - absent.length} of the ${files.length} files that ${index} lists; ${shortName(absent[0]!)} is missing: fetch the rest`,
    );
  return { files, stated: stated as (readonly [string, string])[] };
}
