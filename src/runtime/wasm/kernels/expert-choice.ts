// Question: which experts does a token go to, and with which weights?
//
// chosen = the k largest of s + b, w = scale * s / (sum of the chosen s + 1e-20), or scale * s; see ops/expert-choice.ts.
// Of equals the earlier expert is chosen; a row with a NaN goes to the first experts, with weights of NaN.
//
// expertChoice          row-wise over N tokens
// expertChoiceBackward  row-wise

import { ExpertChoiceArguments, ExpertChoiceBackwardArguments } from "./arguments";
import { checkedIndex } from "./indices";

const EPSILON: f32 = 1e-20;

export function expertChoice(args: ExpertChoiceArguments, begin: i32, end: i32, scratch: usize): void {
  const bias = args.bias;
  const E = args.E, k = args.k, scale = args.scale;
  for (let n = begin; n < end; n++) {
    const s = args.scores + (<usize>(n * E) << 2);
    const weights = args.weights + (<usize>(n * k) << 2);
    const experts = args.chosen + (<usize>(n * k) << 2);
    let unknown = 0;
    for (let e: usize = 0; e < <usize>E << 2; e += 4) {
      const value = load<f32>(s + e) + load<f32>(bias + e);
      unknown |= i32(value != value);
      store<f32>(scratch + e, value);
    }
    if (unknown) {
      for (let j = 0; j < k; j++) {
        store<i32>(experts + (<usize>j << 2), j);
        store<f32>(weights + (<usize>j << 2), NaN);
      }
      continue;
    }
    let sum = EPSILON;
    for (let j: usize = 0; j < <usize>k << 2; j += 4) {
      // The first that is not chosen yet.
      let best: usize = 0;
      let most = load<f32>(scratch);
      while (most != most) most = load<f32>(scratch + (best += 4));
      for (let e = best + 4; e < <usize>E << 2; e += 4) {
        const value = load<f32>(scratch + e);
        if (value > most) {
          most = value;
          best = e;
        }
      }
      store<f32>(scratch + best, NaN);
      store<i32>(experts + j, <i32>(best >> 2));
      store<f32>(weights + j, load<f32>(s + best));
      sum += load<f32>(s + best);
    }
    const factor = args.normalise ? scale / sum : scale;
    for (let j: usize = 0; j < <usize>k << 2; j += 4) store<f32>(weights + j, factor * load<f32>(weights + j));
  }
}

export function expertChoiceBackward(args: ExpertChoiceBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const E = args.E, k = args.k, scale = args.scale;
  for (let n = begin; n < end; n++) {
    const s = args.scores + (<usize>(n * E) << 2), ds = args.dScores + (<usize>(n * E) << 2);
    const at = <usize>(n * k) << 2;
    const experts = args.chosen + at, weights = args.weights + at, g = args.g + at;
    memory.fill(ds, 0, <usize>E << 2);
    let sum = EPSILON;
    let along: f32 = 0;
    for (let j: usize = 0; j < <usize>k << 2; j += 4) {
      sum += load<f32>(s + (<usize>checkedIndex(load<i32>(experts + j), E, n * k + <i32>(j >> 2)) << 2));
      along += load<f32>(g + j) * load<f32>(weights + j);
    }
    if (!args.normalise) {
      sum = 1;
      along = 0;
    }
    for (let j: usize = 0; j < <usize>k << 2; j += 4) {
      store<f32>(ds + (<usize>checkedIndex(load<i32>(experts + j), E, n * k + <i32>(j >> 2)) << 2), (scale * load<f32>(g + j) - along) / sum);
    }
  }
}
