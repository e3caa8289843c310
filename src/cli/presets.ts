// Question: which size of model does --preset name?
//
// One of ours, or a file of one's own: the sizes of a model, or a preset and what is other than in it.
//
//   { "preset": "micro", "layers": 8 }

import { InvalidArgumentError } from "commander";
import { didYouMean } from "../basics/names.ts";
import { hasEntry, isObject } from "../basics/objects.ts";
import { showValue } from "../basics/show.ts";
import path from "node:path";
import { isDataFile, readDataFile } from "../files/data-file.ts";
import { reason } from "../files/errors.ts";
import { type ModelSize, presets } from "../model/config.ts";
import { configPaths } from "../training/config.ts";

/** A size of model, and what it is called in the names of runs. */
export interface PresetChoice {
  readonly name: string;
  readonly size: ModelSize;
}

const names = Object.keys(presets);

/** A preset by its name, or of a file. */
export function parsePreset(text: string): PresetChoice {
  if (hasEntry(presets, text)) return { name: text, size: presets[text] };
  if (!isDataFile(text))
    throw new InvalidArgumentError(
      `"${text}" is no preset; use ${names.join(", ")}, or a file of your own, such as ./my-preset.json.${didYouMean(text, names)}`,
    );
  try {
    const name = path.basename(text, path.extname(text)).replaceAll(/[^\w.=-]/g, "_");
    return { name, size: sizeOf(readDataFile(text, "the preset"), text) };
  } catch (error) {
    throw new InvalidArgumentError(reason(error));
  }
}

/** The fields of a model that a preset may have: what the data and the connection decide are none of them. */
const fields = [
  ...new Set(
    configPaths()
      .filter((field) => field.startsWith("model."))
      .map((field) => field.split(".")[1]!)
      .filter((field) => field !== "vocabulary" && field !== "connection"),
  ),
];
const needed = Object.keys(presets.nano);

/** Whether the numbers fit together is seen when the configuration is made. */
function sizeOf(value: unknown, file: string): ModelSize {
  if (!isObject(value))
    throw new Error(`${file}: ${showValue(value)} is given; it must be the sizes of a model: ${fields.join(", ")}.`);
  const { preset: base, ...own } = value;
  if (base !== undefined && !(typeof base === "string" && hasEntry(presets, base)))
    throw new Error(`${file}: preset is ${showValue(base)}; it must be one of ${names.join(", ")}.`);
  for (const field of Object.keys(own))
    if (!fields.includes(field))
      throw new Error(
        `${file}: a preset has no field "${field}"; there are preset, ${fields.join(", ")}.${didYouMean(field, fields)}`,
      );
  const size = { ...(base === undefined ? {} : presets[base]), ...own };
  const missing = needed.filter((field) => !Object.hasOwn(size, field));
  if (missing.length > 0)
    throw new Error(
      `${file}: ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing. Give ${missing.length === 1 ? "it" : "them"}, or take the rest from a preset: { "preset": "nano", … }.`,
    );
  return size as ModelSize;
}
