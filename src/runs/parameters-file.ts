// Question: how are the parameters of one's own network kept in a file?
//
// As safetensors in float32, under their names, which any reader of the format opens. A file that is loaded is compared
// with the parameters first: nothing is written to the runtime unless every tensor fits.

import { expectParameters } from "../graph/parameters.ts";
import { didYouMean } from "../basics/names.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { showPlain } from "../basics/show.ts";
import { writeAll, writeAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors.ts";
import { encodeSafetensors } from "../files/write-safetensors.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import { showShape } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** How strictly a file is compared with the parameters. */
export interface LoadOptions {
  /**
   * false: take the tensors that are on both sides, and return the names of the others; a tensor of another shape is
   * refused all the same. Default true: the two must have the same names.
   */
  readonly strict?: boolean;
}

const optionRules: FieldRules<LoadOptions> = { strict: "flag" };

/** What `loadParameters` did not find on the other side; nothing where it was strict. */
export interface LoadedParameters {
  /** Parameters that the file does not have; they keep their values. */
  readonly missing: readonly string[];
  /** Tensors of the file that are no parameters. */
  readonly extra: readonly string[];
}

/**
 * Write all parameters of a set to a safetensors file: the values that the runtime holds now, in float32. The file is
 * whole or not there at all, and takes the place of one of the same name.
 *
 * @param runtime holds the values
 * @param file such as "net.safetensors"
 * @throws Error when the file cannot be written
 */
export async function saveParameters(
  runtime: Pick<Runtime, "read">,
  parameters: ParameterSet,
  file: string,
): Promise<void> {
  expectParameters("saveParameters", parameters);
  // All are asked for before the first is awaited: no step comes between.
  const tensors = await Promise.all(
    parameters.all.map(async ({ name, tensor }) => ({
      name,
      shape: tensor.shape,
      data: Float32Array.from(await runtime.read(tensor)),
    })),
  );
  try {
    writeAtomically(file, (descriptor) => {
      for (const chunk of encodeSafetensors(tensors)) writeAll(descriptor, chunk);
    });
  } catch (error) {
    throw new Error(`saveParameters: cannot write ${showPlain(file)}: ${reason(error)}.`, { cause: error });
  }
}

/**
 * Write the tensors of a safetensors file to a runtime, as the values of parameters of the same names; in place of
 * `initialise`. F32 keeps its bits; F16 and BF16 are widened.
 *
 * @param runtime gets the values; nothing is written to it when anything is refused
 * @param file as `saveParameters` wrote it, or the model.safetensors of a checkpoint
 * @returns what was left out, with `strict: false`
 * @throws Error that names each tensor which is missing, is left over, has another shape or whole numbers, or when the
 *   file cannot be read or is damaged
 */
export function loadParameters(
  runtime: Pick<Runtime, "write">,
  parameters: ParameterSet,
  file: string,
  options: LoadOptions = {},
): LoadedParameters {
  expectFields("loadParameters", options, optionRules);
  const { strict = true } = options;
  const opened = openSafetensors(file);
  try {
    const stored = new Map(opened.tensors.map((tensor) => [tensor.name, tensor]));
    const wanted = new Map(parameters.all.map((parameter) => [parameter.name, parameter.tensor]));
    const missing = [...wanted.keys()].filter((name) => !stored.has(name));
    const extra = [...stored.keys()].filter((name) => !wanted.has(name));
    const unlike = [...wanted].flatMap(([name, { shape }]) => {
      const there = stored.get(name);
      if (!there) return [];
      if (!floats.includes(there.dtype))
        return [`"${name}" holds ${there.dtype}, and a parameter is one of ${floats.join(", ")}`];
      if (there.shape.join() === shape.join()) return [];
      return [`"${name}" is ${showShape(there.shape)}, and ${showShape(shape)} here`];
    });
    const problems = [
      ...unlike,
      ...(strict ? missing.map((name) => `"${name}" is missing.${didYouMean(name, extra)}`) : []),
      ...(strict ? extra.map((name) => `"${showPlain(name)}" is no parameter here`) : []),
    ];
    if (problems.length > 0) throw new Error(refusal(file, problems));
    const found = parameters.all.filter(({ name }) => stored.has(name));
    // All are read before the first is written: the bytes may turn out to be damaged.
    const values = found.map(({ name }) => opened.read(name).data);
    for (const [index, { tensor }] of found.entries()) runtime.write(tensor, values[index]!);
    return { missing, extra };
  } finally {
    opened.close();
  }
}

const floats: readonly string[] = ["F32", "F16", "BF16"];

/** So many tensors are named. */
const MOST_NAMED = 8;

function refusal(file: string, problems: readonly string[]): string {
  const more = problems.length - MOST_NAMED;
  return (
    `loadParameters: ${showPlain(file)} does not fit the parameters:\n  ${problems.slice(0, MOST_NAMED).join("\n  ")}\n` +
    (more > 0 ? `  and ${more} more\n` : "") +
    "Build the network as it was when it was saved; { strict: false } takes the tensors that are on both sides."
  );
}
