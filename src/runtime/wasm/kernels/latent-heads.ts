// Question: how do the parts of latent attention become heads side by side, and their gradients parts?
//
// A row is [ q_1 .. q_H | r c_1 .. r c_H | v_1 .. v_H ]; see ops/latent-heads.ts.
//
// latentHeads          row-wise
// latentHeadsBackward  row-wise

import { LatentHeadsArguments, LatentHeadsBackwardArguments } from "./arguments";

@inline
function copyBytes(from: usize, to: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(to + i, v128.load(from + i));
  for (; i < bytes; i += 4) store<f32>(to + i, load<f32>(from + i));
}

export function latentHeads(args: LatentHeadsArguments, begin: i32, end: i32, scratch: usize): void {
  const heads = <usize>args.heads;
  const R = <usize>args.rotary << 2, K = <usize>args.content << 2, V = <usize>args.value << 2;
  const queries = heads * (R + K), pairs = heads * (K + V), width = 2 * queries + heads * V;
  for (let row = begin; row < end; row++) {
    const n = <usize>row;
    const r = args.r + n * R;
    let from = args.kv + n * pairs;
    let key = args.qkv + n * width;
    copyBytes(args.q + n * queries, key, queries);
    key += queries;
    let value = key + queries;
    for (let h: usize = 0; h < heads; h++) {
      copyBytes(r, key, R);
      copyBytes(from, key + R, K);
      copyBytes(from + K, value, V);
      key += R + K;
      value += V;
      from += K + V;
    }
  }
}

export function latentHeadsBackward(args: LatentHeadsBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const heads = <usize>args.heads;
  const R = <usize>args.rotary << 2, K = <usize>args.content << 2, V = <usize>args.value << 2;
  const queries = heads * (R + K), pairs = heads * (K + V), width = 2 * queries + heads * V;
  for (let row = begin; row < end; row++) {
    const n = <usize>row;
    const dr = args.dr + n * R;
    let to = args.dkv + n * pairs;
    let key = args.g + n * width;
    copyBytes(key, args.dq + n * queries, queries);
    key += queries;
    let value = key + queries;
    for (let h: usize = 0; h < heads; h++) {
      if (h == 0) copyBytes(key, dr, R);
      else for (let i: usize = 0; i < R; i += 4) store<f32>(dr + i, load<f32>(dr + i) + load<f32>(key + i));
      copyBytes(key + R, to, K);
      copyBytes(value, to + K, V);
      key += R + K;
      value += V;
      to += K + V;
    }
  }
}
