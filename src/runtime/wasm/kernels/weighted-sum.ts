// Question: how is a sum of rows formed with weights of each row's own, and what flows back?
//
//   y_t = Σ_i w_ti s_i,t;  dw_ti = <g_t, s_i,t>,  ds_i,t = w_ti g_t
//
// weightedSum          row-wise; the list of sources ends with a null pointer
// weightedSumBackward  row-wise; the list of pairs likewise

import {
  afterList, WeightedSumArguments, WeightedSumBackwardArguments, WeightedSumBackwardWords, WeightedSumWords,
} from "./arguments";
import { combineRows, dotRows } from "./stream-rows";

export function weightedSum(args: WeightedSumArguments, begin: i32, end: i32, scratch: usize): void {
  const w = args.weights, y = args.y;
  const words = changetype<WeightedSumWords>(afterList(args.sources));
  const k = <usize>words.k, C = words.C;
  const row = <usize>C << 2;
  for (let t = <usize>begin; t < <usize>end; t++) {
    const to = y + row * t;
    for (let i: usize = 0; i < k; i++) {
      const from = load<usize>(args.sources + (i << 2)) + row * t;
      combineRows(1, i == 0 ? 0 : to, w + ((k * t + i) << 2), 0, from, 0, 1, to, C);
    }
  }
}

export function weightedSumBackward(args: WeightedSumBackwardArguments, begin: i32, end: i32, scratch: usize): void {
  const w = args.weights, g = args.g, dw = args.dWeights;
  const words = changetype<WeightedSumBackwardWords>(afterList(args.pairs));
  const k = <usize>words.k, C = words.C;
  const row = <usize>C << 2;
  for (let t = <usize>begin; t < <usize>end; t++) {
    const from = g + row * t;
    for (let i: usize = 0; i < k; i++) {
      const pair = args.pairs + (i << 3);
      const weight = (k * t + i) << 2;
      store<f32>(dw + weight, dotRows(from, load<usize>(pair) + row * t, C, scratch));
      combineRows(0, 0, w + weight, 0, from, 0, 1, load<usize>(pair, 4) + row * t, C);
    }
  }
}
