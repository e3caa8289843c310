// Question: may a file be only a part of a checkpoint?
//
// Its name says so (model-00001-of-00003), or an index beside it, or a file beside it whose name has another number and
// that holds other tensors: consolidated.00 and .01, part-1 and part-2. Files of several steps, or of a conversion, have
// the same tensors or the same layers, and are wholes.

import fs from "node:fs";
import path from "node:path";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { attempt } from "./errors.ts";
import { openSafetensors } from "./safetensors.ts";
import type { DescribedTensor, OpenSafetensors } from "./safetensors-format.ts";
import { shortName } from "./safetensors-header.ts";
import {
  indexAmong,
  indexIn,
  indexName,
  safetensorsAmong,
  shardName,
  singleName,
  statementsOf,
} from "./shard-names.ts";

/** Why a single file may be a part of a checkpoint, as a clause; undefined where nothing says so. */
export function partOf(folder: string, name: string, tensors: readonly DescribedTensor[]): string | undefined {
  const [, , number, count] = shardName.exec(name) ?? [];
  if (count !== undefined && Number(count) > 1)
    return `its name says that it is file ${Number(number)} of ${Number(count)}`;
  const own = new Set(tensors.map((tensor) => tensor.name));
  return partOfIndex(folder, name, own) ?? partOfSeries(folder, name, own);
}

function partOfIndex(folder: string, name: string, own: ReadonlySet<string>): string | undefined {
  const stated = statedBy(folder, indexIn(folder));
  if (!stated) return undefined;
  const files = new Set(stated.map(([, file]) => file));
  if (files.has(name))
    return files.size > 1 ? `${indexName} beside it lists it as one of ${files.size} files` : undefined;
  const listed = new Set(stated.map(([tensor]) => tensor));
  const lacking = stated.filter(([tensor]) => !own.has(tensor));
  return lacking.length > 0 && [...own].every((tensor) => listed.has(tensor))
    ? `${indexName} beside it lists ${lacking.length} tensors that it lacks`
    : undefined;
}

/** How many files beside it are looked at. */
const MOST_LOOKED_AT = 8;

function partOfSeries(folder: string, name: string, own: ReadonlySet<string>): string | undefined {
  const form = (file: string): string => file.replaceAll(/\d+/g, "#");
  // A folder may let its files be read, and not itself.
  let all: string[] = [];
  attempt(() => (all = safetensorsAmong(fs.readdirSync(folder))));
  const beside = all.filter(
    (file) => file !== name && (name === singleName ? shardName.test(file) : form(file) === form(name)),
  );
  const layers = new Set([...own].map(layerOf));
  const part = beside.slice(0, MOST_LOOKED_AT).find((file) => {
    // These are always parts: of each other's layers, or of each other's tensors.
    if (name.startsWith("consolidated.")) return true;
    const others = tensorsOf(() => openSafetensors(path.join(folder, file)));
    return (
      others !== undefined &&
      others.length > 0 &&
      others.every((tensor) => !own.has(tensor) && (layerOf(tensor) === undefined || !layers.has(layerOf(tensor))))
    );
  });
  return part === undefined ? undefined : `${part} beside it holds other tensors`;
}

/** The number of a tensor's layer. */
const layerOf = (tensor: string): string | undefined => /(?:^|\.)(\d+)\./.exec(tensor)?.[1];

/**
 * Whether the single file of a folder is its checkpoint: an index or shards beside it must hold nothing else.
 *
 * @param has whether the single file has a tensor
 */
export function expectWhole(folder: CheckpointFolder, has: (tensor: string) => boolean): void {
  const names = folder.names();
  const stated = statedBy(folder.path, indexAmong(names))?.filter(([, file]) => file !== singleName);
  const shards = safetensorsAmong(names).filter((name) => shardName.test(name));
  const [other, tensors] = stated
    ? [`${indexName} lists`, stated.map(([tensor]) => tensor)]
    : [
        `${shards.length} files such as ${shards[0]} hold`,
        shards.flatMap((name) => tensorsOf(() => folder.open(name)) ?? []),
      ];
  const lacking = tensors.filter((tensor) => !has(tensor));
  if (lacking.length > 0)
    throw new Error(
      `${folder.called} holds two checkpoints: ${other} ${lacking.length} tensors that ${singleName} lacks, such as ${shortName(lacking[0]!)}. Move the one that is not meant to another folder`,
    );
}

/** What an index says; undefined where there is none, or it is damaged and says nothing about other files. */
function statedBy(folder: string, index: string | undefined): (readonly [tensor: string, file: unknown])[] | undefined {
  try {
    return index === undefined ? undefined : statementsOf(path.join(folder, index));
  } catch {
    return undefined;
  }
}

/** The tensors of a file; undefined where it cannot be read. */
function tensorsOf(open: () => OpenSafetensors): string[] | undefined {
  try {
    const opened = open();
    opened.close();
    return opened.tensors.map(({ name }) => name);
  } catch {
    return undefined;
  }
}
