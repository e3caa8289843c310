// Question: what are the files of a checkpoint called, and what does its index say of them?

import fs from "node:fs";
import path from "node:path";
import { isObject } from "../basics/objects.ts";
import { attempt, reason } from "./errors.ts";
import { readText } from "./read.ts";
import { shortName } from "./safetensors-header.ts";

/** The file of a checkpoint that is one file. */
export const singleName = "model.safetensors";
/** The file that says which file of a sharded checkpoint has which tensor. */
export const indexName = "model.safetensors.index.json";

const anyIndex = ".safetensors.index.json";

/** Whether a file is called as an index is. */
export const isIndexName = (name: string): boolean => name.endsWith(anyIndex);

/** The name of an index among files: the usual one, or the only other, such as consolidated.safetensors.index.json. */
export function indexAmong(names: readonly string[]): string | undefined {
  if (names.includes(indexName)) return indexName;
  const [first, ...others] = names.filter(isIndexName);
  return others.length === 0 ? first : undefined;
}

/** The name of a folder's index. */
export function indexIn(folder: string): string | undefined {
  // A folder may let its files be read, and not itself.
  let names: string[] = [];
  attempt(() => (names = fs.readdirSync(folder)));
  return indexAmong(names) ?? (fs.existsSync(path.join(folder, indexName)) ? indexName : undefined);
}

/** The stem, the number and the count of a shard's name. */
export const shardName: RegExp = /^(.*)-(\d{1,6})-of-(\d{1,6})\.safetensors$/;

/** The safetensors files among some. */
export const safetensorsAmong = (names: readonly string[]): string[] =>
  names.filter((name) => name.endsWith(".safetensors"));

/** Which file has which tensor, as an index says; the files' names are whatever it holds. */
export function statementsOf(file: string): (readonly [tensor: string, file: unknown])[] {
  let index: unknown;
  try {
    index = JSON.parse(readText(file));
  } catch (error) {
    const why = error instanceof SyntaxError ? `it is not JSON (${shortName(error.message)})` : reason(error);
    throw new Error(`cannot read ${file}: ${why}`, { cause: error });
  }
  const map = isObject(index) ? index["weight_map"] : undefined;
  const stated = isObject(map) ? Object.entries(map) : [];
  if (stated.length === 0) throw new Error(`${file} has no weight_map, which says what tensor is in which file`);
  return stated;
}
