// Question: with which values does a parameter start?
//
// A function of the seed and the parameter's name alone, so models that differ only in their
// connection start from the same embedding, attention and feed-forward weights.

import { expectParameters } from "../graph/parameters.ts";
import { expectName } from "../basics/fields.ts";
import type { Initial, Parameter, ParameterSet } from "../graph/parameters.ts";
import { sizeOf } from "../graph/tensor.ts";
import { random, streams } from "../data/random.ts";
import type { Runtime } from "../runtime/runtime.ts";

/**
 * The first values of a parameter, row-major: a function of the seed and the parameter's name alone, so
 * models that differ only in their connection start from the same weights elsewhere. Of a parameter that ranks share
 * it gives this part's.
 */
export function initialValues({ name, tensor, initial, share }: Parameter, seed: number): Float32Array {
  const values = new Float32Array(sizeOf(tensor.shape));
  const from = share ? share.part * values.length : 0;
  const kind = (Object.keys(initial) as (keyof typeof fillers)[]).find((one) => initial[one as never] !== undefined);
  expectName(`initialValues of "${name}"`, "the kind of initial values", kind, Object.keys(fillers));
  (fillers[kind] as Filler)(values, initial, { key: keyOf(name, seed), from });
  return values;
}

/** Where the values are drawn from, and the index of the first of them in the parameter. */
interface Draw {
  readonly key: number;
  readonly from: number;
}
type Filler = (values: Float32Array, initial: Initial, draw: Draw) => void;

/**
 * Write the first values of all parameters of a set to a runtime.
 *
 * @param seed chooses the values; the same seed gives the same values on every machine
 */
export function initialise(runtime: Pick<Runtime, "write">, parameters: ParameterSet, seed = 1): void {
  expectParameters("initialise", parameters);
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, seed));
}

const fillers = {
  constant: (values: Float32Array, { constant }: { constant: number }) => void values.fill(constant),
  values: (values: Float32Array, { values: listed }: { values: readonly number[] }, { from }: Draw) =>
    values.set(listed.slice(from, from + values.length)),
  normal: fillNormal,
};

function keyOf(name: string, seed: number): number {
  let hash = 2166136261;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
  return random(seed, streams.initial, hash >>> 0);
}

/** Box-Muller on a hash of the element's index: millions of weights in a fraction of a second. */
function fillNormal(values: Float32Array, { normal: deviation }: { normal: number }, { key, from }: Draw): void {
  // Two at a time: the first may begin with the second of a pair.
  for (let i = -(from % 2); i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log((mix(from + i, key) + 1) / 4294967296));
    const angle = (2 * Math.PI * mix(from + i + 1, key)) / 4294967296;
    if (i >= 0) values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}

/** 32 random bits of a counter under a key: MurmurHash3's finaliser (Appleby, public domain), twice. */
function mix(counter: number, key: number): number {
  let bits = Math.imul(counter, 0x9e3779b1) ^ key;
  for (let round = 0; round < 2; round++) {
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    bits = (bits ^ (bits >>> 16)) + key;
  }
  return bits >>> 0;
}
