// Question: which GPU, machine and network does a file describe?
//
// A JSON object with the fields of Hardware, in FLOP/s, bytes/s and bytes. With `like`, the name of a profile, all that
// the file leaves out is that GPU's:
//
//   { "like": "h100", "name": "our H100s", "network": 25e9, "gpusPerMachine": 4, "price": 2.2 }
//
// `price` is that of a GPU hour.

import path from "node:path";
import { z } from "zod";
import { MOST_COUNT } from "../../basics/bounds.ts";
import { given } from "../../basics/given.ts";
import { count } from "../../basics/schemas.ts";
import { problems } from "../../model/problems.ts";
import { type Hardware, hardwareNames, hardwareProfiles } from "../hardware.ts";
import { readObject } from "./model-file.ts";

const rate = z.number().positive();
const optional = {
  name: z.string().min(1).exactOptional(),
  interconnect: rate.exactOptional(),
  network: rate.exactOptional(),
  gpusPerMachine: count(MOST_COUNT).exactOptional(),
  price: rate.exactOptional(),
};
const peak = { bf16: rate, tf32: rate, fp32: rate };

const whole = z.strictObject({ ...optional, peak: z.strictObject(peak), bandwidth: rate, memoryBytes: rate });
const changed = z.strictObject({
  like: z.enum(hardwareNames),
  ...optional,
  peak: z.strictObject(peak).partial().exactOptional(),
  bandwidth: rate.exactOptional(),
  memoryBytes: rate.exactOptional(),
});

/** Hardware from a file. */
export interface ReadHardware {
  readonly hardware: Hardware;
  /** Of a GPU hour, where the file says it. */
  readonly price?: number;
}

/**
 * The hardware that a file describes.
 *
 * @throws Error that names the file, each wrong field, what it is and what is allowed
 */
export function readHardware(file: string): ReadHardware {
  const value = readObject(file);
  const schema = value["like"] === undefined ? whole : changed;
  const result = schema.safeParse(value);
  if (!result.success) {
    // A misspelt `like` shows only where the other fields are missing.
    const lines = problems(result.error.issues, value, schema === whole ? whole.extend(changed.shape) : changed);
    throw new Error(
      `${file} is not valid hardware:\n  ${lines.join("\n  ")}\nRates are FLOP/s and bytes/s, sizes bytes; "like" takes all others from ${hardwareNames.join(", ")} (docs/planning.md, Your own hardware).`,
    );
  }
  const { price, ...own } = result.data;
  const name = own.name ?? path.basename(file, path.extname(file));
  if (!("like" in own)) return { hardware: { ...own, name }, ...given({ price }) };
  const { like, peak: peaks = {}, ...others } = own;
  const profile = hardwareProfiles[like];
  const hardware = { ...profile, ...given(others), name, peak: { ...profile.peak, ...given(peaks) } };
  return { hardware, ...given({ price }) };
}
