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

/**
 * The declarations of several sums over all threads of a group at once. Each thread puts its shares into
 * `nameValues[lane * (count | 1) + m]`; after a barrier `name(m)` adds up what all threads have put at m, in their
 * order. The odd stride keeps neighbouring threads in different banks of the shared memory.
 */
export function groupSums(name: string, count: number): string[] {
  const stride = count | 1;
  return [
    `var<workgroup> ${name}Values: array<f32, ${WIDTH * stride}>;`,
    `fn ${name}(m: u32) -> f32 {
  var total: f32 = 0.0f;
  for (var other: u32 = 0u; other < ${u(WIDTH)}; other += 1u) { total += ${name}Values[other * ${u(stride)} + m]; }
  return total;
}`,
  ];
}
