// Question: how do partial sums become one, the same for any number of threads?
//
// out[c] = sum over p of partials[p, c], p in order: the second half of every reduction over rows.
//
// sumPartials  domain: blocks of SUM_COLUMNS columns, grain 1

import { SUM_COLUMNS } from "../constants";
import { SumPartialsArguments } from "./arguments";

export function sumPartials(args: SumPartialsArguments, begin: i32, end: i32, scratch: usize): void {
  const partials = args.partials, out = args.y;
  const count = args.count, size = args.size;
  const stride = <usize>size << 2;
  const first = <usize>(begin * SUM_COLUMNS) << 2, last = <usize>min(end * SUM_COLUMNS, size) << 2;
  let c = first;
  for (; c + 64 <= last; c += 64) {
    let from = partials + c;
    let s0 = v128.load(from), s1 = v128.load(from, 16), s2 = v128.load(from, 32), s3 = v128.load(from, 48);
    for (let p = 1; p < count; p++) {
      from += stride;
      s0 = f32x4.add(s0, v128.load(from));
      s1 = f32x4.add(s1, v128.load(from, 16));
      s2 = f32x4.add(s2, v128.load(from, 32));
      s3 = f32x4.add(s3, v128.load(from, 48));
    }
    v128.store(out + c, s0);
    v128.store(out + c, s1, 16);
    v128.store(out + c, s2, 32);
    v128.store(out + c, s3, 48);
  }
  for (; c < last; c += 4) {
    let sum: f64 = 0;
    for (let p = 0; p < count; p++) sum += load<f32>(partials + c + <usize>p * stride);
    store<f32>(out + c, <f32>sum);
  }
}
