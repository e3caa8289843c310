// Question: how fast is the product of two 1024 x 1024 float32 matrices, against native BLAS and against the
// WebAssembly of others?
//
// The unit is GFLOP/s, with 2 n³ operations per product. The best time of each side counts.

import { given } from "../src/basics/given.ts";
import { type Comparison, contest, type Entrant, type Result } from "./lib/contest.ts";
import type { Group } from "./lib/group.ts";
import { rate, ratio, type Side } from "./lib/report.ts";

const SIZE = 1024;
const size = ["--size", `${SIZE}`];
const ours = new URL("peers/our-gemm.ts", import.meta.url);
const numpy = new URL("peers/serve.py", import.meta.url);
const jax = new URL("peers/jax-gemm.ts", import.meta.url);

const entrants: Readonly<Record<string, Entrant>> = {
  "birkhoff t1": { ours: true, script: ours, args: [...size, "--threads", "1"], threads: 1 },
  "numpy t1": { ours: false, script: numpy, args: ["gemm", ...size, "--threads", "1"], threads: 1 },
  "jax-js t1": { ours: false, script: jax, args: size, threads: 1 },
  "birkhoff t2": { ours: true, script: ours, args: [...size, "--threads", "2"], threads: 2 },
  "numpy t2": { ours: false, script: numpy, args: ["gemm", ...size, "--threads", "2"], threads: 2 },
};

function speed({ timing }: Result): Side {
  return rate(timing, "best", "GFLOP/s", (ms) => (2 * SIZE ** 3) / ms / 1e6);
}

function compare(name: string, mine: string, theirs: string, bar?: number): Comparison {
  const direction = { higher_is_better: true, ...given({ bar }) };
  return {
    name,
    needs: [mine, theirs],
    measure: (of) => ratio(name, speed(of(mine)), speed(of(theirs)), direction),
  };
}

const comparisons: readonly Comparison[] = [
  compare(`gemm.${SIZE}.t1.vs_openblas`, "birkhoff t1", "numpy t1", 0.9),
  compare(`gemm.${SIZE}.t1.vs_jax_js`, "birkhoff t1", "jax-js t1"),
  compare(`gemm.${SIZE}.t2.vs_openblas`, "birkhoff t2", "numpy t2"),
];

/** The matrices hold small integers, so every engine's product is exact and the same. */
function checkCorners(results: ReadonlyMap<string, Result>): void {
  const corners = [...results].flatMap(([name, { replies }]) => replies.map(({ corner }) => ({ name, corner })));
  const odd = corners.find(({ corner }) => corner !== corners[0]!.corner);
  if (odd === undefined) return;
  throw new Error(
    `The engines disagree on the last entry of the product: ${corners[0]!.name} says ${corners[0]!.corner}, ` +
      `${odd.name} says ${odd.corner}.`,
  );
}

export const gemm: Group = {
  names: comparisons.map(({ name }) => name),
  measure: (names, { rounds, note }) =>
    contest({
      entrants,
      comparisons: comparisons.filter(({ name }) => names.includes(name)),
      op: "gemm",
      count: 5,
      rounds,
      check: checkCorners,
      note,
    }),
};
