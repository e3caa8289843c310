// Question: what keeps the experts equally busy?
// The formulas are those of ops/balance-bias.ts and ops/sequence-balance.ts.
//
// balanceBias              domain 1
// sequenceBalance          domain: B sequences, grain 1
// sequenceBalanceBackward  domain: B sequences, grain 1

import { BalanceBiasArguments, SequenceBalanceArguments, SequenceBalanceBackwardArguments } from "./arguments";
import { checkedIndex } from "./indices";

export function balanceBias(args: BalanceBiasArguments, begin: i32, end: i32, scratch: usize): void {
  const bias = args.bias, loads = args.load, clip = args.clip;
  const next = args.next, last = <usize>args.E << 2;
  const norm = load<f32>(clip);
  const rate: f32 = norm - norm == 0 ? args.rate : 0;
  let sum: f64 = 0;
  for (let i: usize = 0; i < last; i += 4) sum += load<f32>(loads + i);
  const mean = sum / <f64>(last >> 2);
  for (let i: usize = 0; i < last; i += 4) {
    const gap = mean - load<f32>(loads + i);
    store<f32>(next + i, load<f32>(bias + i) + (gap > 0 ? rate : gap < 0 ? -rate : 0));
  }
}

/** f[e] = E / (k T) times how often a sequence chose expert e; its first pair is `first`. */
function frequencies(chosen: usize, first: i32, pairs: i32, E: i32, f: usize): void {
  memory.fill(f, 0, <usize>E << 2);
  for (let p = first; p < first + pairs; p++) {
    const at = f + (<usize>checkedIndex(load<i32>(chosen + (<usize>p << 2)), E, p) << 2);
    store<f32>(at, load<f32>(at) + 1);
  }
  const share = <f32>E / <f32>pairs;
  for (let e: usize = 0; e < <usize>E << 2; e += 4) store<f32>(f + e, share * load<f32>(f + e));
}

export function sequenceBalance(args: SequenceBalanceArguments, begin: i32, end: i32, scratch: usize): void {
  const T = args.length, E = args.E, k = args.k;
  for (let b = begin; b < end; b++) {
    frequencies(args.chosen, b * T * k, T * k, E, scratch);
    let s = args.scores + (<usize>(b * T * E) << 2);
    let total: f64 = 0;
    for (let t = 0; t < T; t++) {
      let sum: f64 = 0, along: f64 = 0;
      for (let e: usize = 0; e < <usize>E << 2; e += 4) {
        sum += load<f32>(s + e);
        along += load<f32>(scratch + e) * load<f32>(s + e);
      }
      total += along / sum;
      s += <usize>E << 2;
    }
    store<f32>(args.loss + (<usize>b << 2), <f32>(total / <f64>T));
  }
}

export function sequenceBalanceBackward(args: SequenceBalanceBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const T = args.length, E = args.E, k = args.k;
  for (let b = begin; b < end; b++) {
    frequencies(args.chosen, b * T * k, T * k, E, scratch);
    const share = load<f32>(args.g + (<usize>b << 2)) / <f32>T;
    let s = args.scores + (<usize>(b * T * E) << 2), ds = args.dScores + (<usize>(b * T * E) << 2);
    for (let t = 0; t < T; t++) {
      let sum: f64 = 0, along: f64 = 0;
      for (let e: usize = 0; e < <usize>E << 2; e += 4) {
        sum += load<f32>(s + e);
        along += load<f32>(scratch + e) * load<f32>(s + e);
      }
      for (let e: usize = 0; e < <usize>E << 2; e += 4) {
        store<f32>(ds + e, <f32>(share * (load<f32>(scratch + e) - along / sum) / sum));
      }
      s += <usize>E << 2;
      ds += <usize>E << 2;
    }
  }
}
