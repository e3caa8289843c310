// Question: what does a file of settings say, in JSON or in YAML?
//
// YAML is read by the package yaml, which is optional: who writes JSON needs no other package.

import { createRequire } from "node:module";
import path from "node:path";
import { isTooDeep } from "../basics/objects.ts";
import { reason } from "./errors.ts";
import { expectPackages } from "./packages.ts";
import { readText } from "./read.ts";

const YAML = [".yaml", ".yml"];

/** Whether a text on the command line is the path of such a file, not a name. */
export const isDataFile = (text: string): boolean =>
  /[/\\]/.test(text) || [".json", ...YAML].includes(path.extname(text).toLowerCase());

/**
 * The value that a file holds: YAML where its name ends in .yaml or .yml, else JSON.
 *
 * @param what to call it in messages, such as "the preset"
 * @throws Error that names the file, and the place of what is wrong with it
 */
export function readDataFile(file: string, what: string): unknown {
  const parse = YAML.includes(path.extname(file).toLowerCase()) ? yamlParser() : JSON.parse;
  try {
    // Some editors begin a file with the mark of its byte order.
    const value: unknown = parse(readText(file).replace(/^\uFEFF/, ""));
    if (isTooDeep(value)) throw new Error("it is nested too deeply");
    return value;
  } catch (error) {
    throw new Error(`Cannot read ${what} ${file}: ${reason(error)}`, { cause: error });
  }
}

function yamlParser(): (text: string) => unknown {
  expectPackages("yaml");
  const { parse } = createRequire(import.meta.url)("yaml") as typeof import("yaml");
  return (text) => parse(text, { prettyErrors: true }) as unknown;
}
