// Question: what are the files of a checkpoint called, and what does its index say of them?

import fs from "node:fs";
import { isObject } from "../basics/objects.ts";
import { reason } from "./errors.ts";
import { readText } from "./read.ts";
import { shortName } from "./safetensors-header.ts";

/** The file of a checkpoint that is one file. */
export const singleName = "model.safetensors";
/** The file that says which file of a sharded checkpoint has which tensor. */
export const indexName = "model.safetensors.index.json";

/** The stem, the number and the count of a shard's name. */
export const shardName: RegExp = /^(.*)-(\d{1,6})-of-(\d{1,6})\.safetensors$/;

/** All safetensors files of a folder. */
export const safetensorsIn = (folder: string): string[] =>
  fs.readdirSync(folder).filter((name) => name.endsWith(".safetensors"));

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
