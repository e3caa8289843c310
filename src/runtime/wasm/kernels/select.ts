// Question: what do only composed operations need?
//
// Choices, largest entries and changes of type: operations of the models have kernels that do these on the way,
// so here a loop of single elements is fast enough.

import { MaxLastArguments, SelectArguments, ToFloatsArguments, ToIndicesArguments } from "./arguments";

/** y = condition > 0 ? a : b. */
export function select(args: SelectArguments, begin: i32, end: i32, scratch: usize): void {
  const condition = args.condition, a = args.a, b = args.b, y = args.y;
  const first = <usize>min(begin * args.item, args.all) << 2, last = <usize>min(end * args.item, args.all) << 2;
  for (let i = first; i < last; i += 4) {
    store<f32>(y + i, load<f32>(condition + i) > 0 ? load<f32>(a + i) : load<f32>(b + i));
  }
}

/** Domain: rows. What is not a number is the largest. */
export function maxLast(args: MaxLastArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, y = args.y, size = args.size;
  for (let row = begin; row < end; row++) {
    let at = x + (<usize>row * size << 2);
    let largest = load<f32>(at);
    for (let c = 1; c < size; c++) largest = max<f32>(largest, load<f32>((at += 4)));
    store<f32>(y + (<usize>row << 2), largest);
  }
}

export function toFloats(args: ToFloatsArguments, begin: i32, end: i32, scratch: usize): void {
  const indices = args.indices, x = args.x;
  const first = <usize>min(begin * args.item, args.all) << 2, last = <usize>min(end * args.item, args.all) << 2;
  for (let i = first; i < last; i += 4) store<f32>(x + i, <f32>load<i32>(indices + i));
}

/** To the nearest, halves up. The largest stands for what is beyond it, 0 for what is not a number: nothing traps. */
export function toIndices(args: ToIndicesArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, indices = args.indices;
  const first = <usize>min(begin * args.item, args.all) << 2, last = <usize>min(end * args.item, args.all) << 2;
  for (let i = first; i < last; i += 4) {
    const nearest = f32x4.floor(f32x4.add(v128.load32_splat(x + i), f32x4.splat(0.5)));
    store<i32>(indices + i, i32x4.extract_lane(i32x4.trunc_sat_f32x4_s(nearest), 0));
  }
}
