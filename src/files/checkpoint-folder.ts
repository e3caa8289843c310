// Question: where do the files of a checkpoint lie, on this machine or on a hub?
//
// Both are folders to whoever reads a checkpoint. On a hub many ranges are better fetched side by side than in turn.

import fs from "node:fs";
import path from "node:path";
import { openHub } from "./hub.ts";
import { isHubPlace } from "./hub-place.ts";
import type { HubRange } from "./hub-worker.ts";
import { isFolder } from "./places.ts";
import { openSafetensors } from "./safetensors.ts";
import { type OpenFile, openSource } from "./safetensors-format.ts";
import { isIndexName } from "./shard-names.ts";

/** A folder with the files of a checkpoint. */
export interface CheckpointFolder {
  /** What to call it in messages. */
  readonly called: string;
  /** Where its small files lie on this machine. */
  readonly path: string;
  /** The files that it has. */
  names(): readonly string[];
  has(name: string): boolean;
  open(name: string): OpenFile;
  /** Read these bytes now, if that is better than when they are asked for. */
  prefetch(ranges: readonly HubRange[]): void;
}

/** Whether a place stands for several files: a folder, or a model on a hub. */
export const isManyFiles = (place: string): boolean => isHubPlace(place) || isFolder(place);

/** The folder on this machine where config.json and other small files of a place lie; of a file, the one around it. */
export function smallFilesOf(place: string, names: readonly string[] = ["config.json"]): string {
  if (!isHubPlace(place)) return isFolder(place) ? place : path.dirname(place);
  const hub = openHub(place);
  hub.fetch(names);
  return hub.path;
}

/** @param place a folder, or a model on a hub */
export const checkpointFolder = (place: string): CheckpointFolder =>
  isHubPlace(place) ? onHub(place) : onMachine(place);

const onMachine = (folder: string): CheckpointFolder => ({
  called: folder,
  path: folder,
  names: () => fs.readdirSync(folder),
  // A folder may let its files be read, and not itself; and a link may lead nowhere.
  has: (name) => fs.existsSync(path.join(folder, name)),
  open: (name) => openSafetensors(path.join(folder, name)),
  prefetch() {},
});

function onHub(place: string): CheckpointFolder {
  const hub = openHub(place);
  hub.fetch(["config.json", ...hub.names.filter(isIndexName)]);
  return {
    called: place,
    path: hub.path,
    names: () => hub.names,
    has: (name) => hub.names.includes(name),
    open(name) {
      const stored = path.join(hub.path, name);
      return fs.existsSync(stored) ? openSafetensors(stored) : openSource(`${place}/${name}`, hub.source(name));
    },
    prefetch: (ranges) => hub.prefetch(ranges),
  };
}
