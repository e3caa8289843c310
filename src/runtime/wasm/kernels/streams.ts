// Question: how do channels become n streams, and streams one?
//
// expand    x_j = scale u for every stream j; row-wise over tokens
// collapse  u = scale Σ_j x_j; row-wise over tokens

import { ExpandArguments, CollapseArguments } from "./arguments";
import { combineRows } from "./stream-rows";

export function expand(args: ExpandArguments, begin: i32, end: i32, scratch: usize): void {
  const u = args.u, x = args.x;
  const n = args.n, C = args.C, scale = args.scale;
  const row = <usize>C << 2;
  for (let t = begin; t < end; t++) {
    const from = u + row * <usize>t, to = x + row * <usize>(t * n);
    for (let j: usize = 0; j < <usize>n; j++) combineRows(scale, from, 0, 0, 0, 0, 0, to + row * j, C);
  }
}

export function collapse(args: CollapseArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, u = args.u;
  const n = args.n, C = args.C, scale = changetype<usize>(args) + offsetof<CollapseArguments>("scale");
  const row = <usize>C << 2;
  for (let t = begin; t < end; t++) combineRows(0, 0, scale, 0, x + row * <usize>(t * n), row, n, u + row * <usize>t, C);
}
