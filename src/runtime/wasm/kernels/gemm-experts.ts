// Question: how does every row meet the matrix of its expert?
//
// The rows of one expert lie side by side, offsets[e] to offsets[e + 1] - 1. Tasks are tiles of all rows,
// whoever's they are, so the work of a call is known when it is compiled; a tile that holds the end of one
// expert and the beginning of the next is two products.
//
// packExperts   domain: E * ceil(N / panelWidth()) panels
// gemmExperts   row-wise over P rows
// outerExperts  domain: E * down * across tiles, grain 1; see gemm-outer.ts
//   Without an order A is [P, M] and B [P, N]. With one, [P], the matrix has a row a token, of which row r is
//   row order[r] / active, times weights[order[r]] if there are weights.

import { PackExpertsArguments, GemmExpertsArguments, OuterExpertsArguments } from "./arguments";
import { multiplyRows } from "./gemm";
import { panelWidth } from "./gemm-tile";
import { gatheredSource, outerTile } from "./gemm-outer";
import { packAcross, packAlong } from "./gemm-pack";
import { roundRow } from "./bfloat16";

export function packExperts(args: PackExpertsArguments, begin: i32, end: i32, scratch: usize): void {
  const src = args.B, dst = args.packed;
  const K = args.K, N = args.N, transposed = args.transposed;
  const width = panelWidth();
  const panels = (N + width - 1) / width;
  const stride = <usize>(K * width) << 2;
  for (let item = begin, count = 0; item < end; item += count) {
    const e = item / panels, panel = item - e * panels;
    count = min(panels - panel, end - item);
    const first = panel * width;
    const columns = min((panel + count) * width, N) - first;
    const from = src + (<usize>(e * K * N) << 2), to = dst + stride * <usize>item;
    if (transposed) packAcross(from + (<usize>(first * K) << 2), <usize>K << 2, K, columns, to, stride, width);
    else packAlong(from + (<usize>first << 2), <usize>N << 2, K, columns, to, stride, width);
    if (args.rounded) roundRow(to, to, stride * <usize>count);
  }
}

export function gemmExperts(args: GemmExpertsArguments, begin: i32, end: i32, scratch: usize): void {
  const A = args.A, B = args.B, offsets = args.offsets;
  const C = args.C;
  const K = args.K, N = args.N, E = args.E;
  const width = panelWidth();
  const matrix = <usize>((N + width - 1) / width * width * K) << 2;
  for (let e = 0; e < E; e++) {
    const first = max(begin, load<i32>(offsets + (<usize>e << 2)));
    const last = min(end, load<i32>(offsets + (<usize>e << 2), 4));
    if (first < last) multiplyRows(A, B + matrix * <usize>e, 0, C, K, N, <usize>K << 2, <usize>N << 2, first, last, scratch);
  }
}

export function outerExperts(args: OuterExpertsArguments, begin: i32, end: i32, scratch: usize): void {
  const offsets = args.offsets, C0 = args.C0, C = args.C;
  const M = args.M, N = args.N, down = args.down, across = args.across;
  const ldc = <usize>N << 2;
  gatheredSource(
    scratch, 0, args.A, <usize>M << 2, args.orderA, args.weightsA, args.activeA,
  );
  gatheredSource(
    scratch, 1, args.B, ldc, args.orderB, args.weightsB, args.activeB,
  );
  for (let item = begin; item < end; item++) {
    const e = item / (down * across);
    const first = load<i32>(offsets + (<usize>e << 2)), rows = load<i32>(offsets + (<usize>e << 2), 4) - first;
    const matrix = <usize>(e * M * N) << 2;
    outerTile(
      first, C0 == 0 ? 0 : C0 + matrix, C + matrix, rows, M, N, ldc, down, across, item - e * down * across, scratch,
    );
  }
}
