// Question: how do the threads of a group work on one row together?

import { u } from "./implement.ts";

/** Threads of a group that works on rows or elements. */
export const WIDTH = 64;

/** Up to this length one thread does a row alone. */
export const SHORT_ROW = 32;

/**
 * The declarations of a function `name(value, lane)` that joins the values of all threads of a group and gives the
 * result to each: the upper half is joined to the lower until one is left. All threads must call it.
 */
export function groupReduction(name: string, join: (a: string, b: string) => string): string[] {
  const shared = `${name}Values`;
  return [
    `var<workgroup> ${shared}: array<f32, ${WIDTH}>;`,
    `fn ${name}(value: f32, lane: u32) -> f32 {
  ${shared}[lane] = value;
  workgroupBarrier();
  for (var half: u32 = ${u(WIDTH / 2)}; half > 0u; half = half / 2u) {
    if (lane < half) { ${shared}[lane] = ${join(`${shared}[lane]`, `${shared}[lane + half]`)}; }
    workgroupBarrier();
  }
  let result: f32 = ${shared}[0];
  workgroupBarrier();
  return result;
}`,
  ];
}
