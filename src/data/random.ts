// Question: which random number belongs to this seed, this purpose and this count?
//
// Philox-4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011): ten rounds that mix a 128-bit counter under a 64-bit key into 128 random bits. There is
// no state to carry or to save: the number drawn at step k is a function of k. So a run resumed at
// step k needs no replay, and draws never depend on the order in which they are made.
//
// Only 32-bit integer arithmetic is used, so the values are the same on every engine.

import { expectWhole } from "../basics/ranges.ts";

/** Two 32-bit words: the key. */
export type Key = readonly [number, number];
/** Four 32-bit words: a counter, or a block of random bits. */
export type Block = readonly [number, number, number, number];

/** The purposes of random numbers in this folder; each purpose has a separate stream. */
export const streams = {
  split: 1,
  batches: 2,
  initial: 3,
  sampling: 4,
  studies: 5,
  probing: 6,
  order: 7,
  generated: 8,
} as const;

const rounds = 10;
const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;

/** The upper 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // Every product below is under 2^32 and every sum under 2^33, exact in a double.
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

/** The bare generator: 128 random bits for a key and a counter. */
export function philox4x32(key: Key, counter: Block): Block {
  let [k0, k1] = key;
  let [c0, c1, c2, c3] = counter;
  for (let round = 0; round < rounds; round++) {
    const high0 = multiplyHigh(multiplier0, c0 >>> 0);
    const low0 = Math.imul(multiplier0, c0);
    const high1 = multiplyHigh(multiplier1, c2 >>> 0);
    const low1 = Math.imul(multiplier1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + weyl0) | 0;
    k1 = (k1 + weyl1) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/**
 * The 128 bits that belong to `counter` of `stream` under `seed`.
 * Each counter owns a whole block, so `random`, `uniform` and `normal` of the same counter are views
 * of the same bits: take one of them per counter.
 */
function block(seed: number, stream: number, counter: number): Block {
  const [k0, k1] = words("seed", seed);
  const [c0, c1] = words("counter", counter);
  return philox4x32([k0, k1], [c0, c1, stream >>> 0, 0]);
}

function words(name: string, value: number): Key {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name} is ${value}; it must be an integer from 0 to 2^53 - 1`);
  }
  return [value >>> 0, Math.floor(value / 2 ** 32)];
}

/** A random unsigned 32-bit integer. */
export function random(seed: number, stream: number, counter: number): number {
  return block(seed, stream, counter)[0];
}

const toUniform = (high: number, low: number): number => ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;

/** Uniform in [0, 1), all 53 bits random. */
export function uniform(seed: number, stream: number, counter: number): number {
  const [high, low] = block(seed, stream, counter);
  return toUniform(high, low);
}

/** A uniform integer in [0, bound); the bias is below bound / 2^53. */
export function uniformInteger(seed: number, stream: number, counter: number, bound: number): number {
  return Math.floor(uniform(seed, stream, counter) * bound);
}

/**
 * The place of `index` in a random order of `size` things, without the other places: a Feistel network of four rounds
 * over the next power of four, walked on until the place lies among the things (Black and Rogaway, "Ciphers with
 * arbitrary finite domains", CT-RSA 2002). Another key gives another order.
 */
export function permuted(key: number, index: number, size: number): number {
  const half = 2 ** Math.max(1, Math.ceil(Math.log2(size) / 2));
  let place = index;
  do {
    let [left, right] = [Math.floor(place / half), place % half];
    for (let round = 0; round < 4; round++)
      [left, right] = [right, left ^ (random(key, streams.order, round * half + right) & (half - 1))];
    place = left * half + right;
  } while (place >= size);
  return place;
}

/** A key for `permuted`: a seed of its own for each purpose and count under a seed. */
export function derivedKey(seed: number, purpose: number, counter: number): number {
  return Math.floor(uniform(seed, streams.order, purpose * 2 ** 40 + counter) * 2 ** 53);
}

/** Standard normal, by Box and Muller: sqrt(-2 ln u) cos(2 pi v) with u in (0, 1], v in [0, 1). */
export function normal(seed: number, stream: number, counter: number): number {
  const [a, b, c, d] = block(seed, stream, counter);
  return Math.sqrt(-2 * Math.log(1 - toUniform(a, b))) * Math.cos(2 * Math.PI * toUniform(c, d));
}

/**
 * The random numbers of sampled text, a stream separate from training's: one for each token written, and separate
 * numbers for each of several prompts.
 */
export function samplingRandom(seed: number): (index: number, prompt?: number) => number {
  expectWhole("samplingRandom", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  return (index, prompt = 0) => uniform(seed, streams.sampling, index + 2 ** 32 * prompt);
}
