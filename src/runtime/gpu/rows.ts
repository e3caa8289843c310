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
export function groupReduction(name: string, join: (a: string, b: string) => string, width: number = WIDTH): string[] {
  const shared = `${name}Values`;
  return [
    `var<workgroup> ${shared}: array<f32, ${width}>;`,
    `fn ${name}(value: f32, lane: u32) -> f32 {
  ${shared}[lane] = value;
  workgroupBarrier();
  for (var half: u32 = ${u(width / 2)}; half > 0u; half = half / 2u) {
    if (lane < half) { ${shared}[lane] = ${join(`${shared}[lane]`, `${shared}[lane + half]`)}; }
    workgroupBarrier();
  }
  let result: f32 = ${shared}[0];
  workgroupBarrier();
  return result;
}`,
  ];
}

/** The most values of a row that a thread keeps in registers. */
const MOST_KEPT = 16;

/** How a group goes through a row that it keeps in registers, so that memory is read once. */
export interface KeptRow {
  /** Threads of the group. */
  readonly width: number;
  /** Values of a thread. */
  readonly length: number;
  /** A statement for each value of the thread: `c` is its column, and names that end in `at` are its own. */
  each(statement: (at: number) => string): string;
}

/**
 * A row of C values in the registers of a group; undefined where it is too long.
 *
 * @param inPairs whether a thread has neighbours, the even one before the odd; C is then even
 */
export function keptRow(C: number, inPairs: boolean = false): KeptRow | undefined {
  const width = C <= 512 ? WIDTH : C <= 1024 ? 2 * WIDTH : 4 * WIDTH;
  const count = Math.ceil(C / width);
  if (count > MOST_KEPT) return undefined;
  const length = inPairs ? 2 * Math.ceil(count / 2) : count;
  return {
    width,
    length,
    each: (statement) =>
      Array.from({ length }, (_, at) => {
        const column = `let c: u32 = ${inPairs ? `2u * lane + ${u((at - (at % 2)) * width + (at % 2))}` : `lane + ${u(at * width)}`};`;
        const text = statement(at);
        return (inPairs ? at - (at % 2) + 2 : at + 1) * width <= C
          ? `  { ${column} ${text} }`
          : `  { ${column} if (c < ${u(C)}) { ${text} } }`;
      }).join("\n"),
  };
}

/** Declarations of a value of each column of a thread, zero at first. */
export function keptValues(name: string, { length }: KeptRow): string {
  return Array.from({ length }, (_, at) => `  var ${name}${at}: f32 = 0.0f;`).join("\n");
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
