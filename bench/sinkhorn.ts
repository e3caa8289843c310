// Question: how fast is Sinkhorn-Knopp alone, forward and backward, against PyTorch's eager loop?
//
// There are 8192 matrices of 4 x 4 (four sublayers of 2048 tokens), 20 iterations and two threads. PyTorch's loop is the
// one that everybody writes: exp, then 40 sums and divisions of [tokens, 4, 4], differentiated by autograd. With the
// tokens last, [4, 4, tokens], it vectorises better; that form is measured beside it.

import { given } from "../src/basics/given.ts";
import { type Comparison, contest, type Entrant, type Result } from "./lib/contest.ts";
import type { Group } from "./lib/group.ts";
import { rate, ratio, type Side } from "./lib/report.ts";

const MATRICES = 8192;
const THREADS = 2;
const setting = ["--matrices", `${MATRICES}`, "--threads", `${THREADS}`];
const script = new URL("peers/serve.py", import.meta.url);

const entrants: Readonly<Record<string, Entrant>> = {
  birkhoff: { ours: true, script: new URL("peers/our-sinkhorn.ts", import.meta.url), args: setting, threads: THREADS },
  "torch eager": { ours: false, script, args: ["sinkhorn", "--tokens", "first", ...setting], threads: THREADS },
  "torch eager tokens last": {
    ours: false,
    script,
    args: ["sinkhorn", "--tokens", "last", ...setting],
    threads: THREADS,
  },
};

function speed({ timing }: Result): Side {
  return rate(timing, "median", "matrices/s", (ms) => (1000 * MATRICES) / ms);
}

function against(name: string, theirs: string, bar?: number): Comparison {
  const direction = { higher_is_better: true, ...given({ bar }) };
  return {
    name,
    needs: ["birkhoff", theirs],
    measure: (of) => ratio(name, speed(of("birkhoff")), speed(of(theirs)), direction),
  };
}

const comparisons: readonly Comparison[] = [
  against("sinkhorn.vs_torch_eager", "torch eager", 20),
  against("sinkhorn.vs_torch_eager.tokens_last", "torch eager tokens last"),
];

/** All engines get the same logits and the same incoming gradient, so their results must agree. */
function checkGradients(results: ReadonlyMap<string, Result>): void {
  const corners = [...results].map(([name, { replies }]) => ({ name, corner: replies.at(-1)!.corner! }));
  const [first, ...others] = corners;
  const odd = others.find(({ corner }) => !(Math.abs(corner - first!.corner) <= 1e-6));
  if (odd === undefined) return;
  throw new Error(
    `The engines disagree on the last entry of the gradient: ${first!.name} says ${first!.corner}, ${odd.name} says ${odd.corner}.`,
  );
}

export const sinkhorn: Group = {
  names: comparisons.map(({ name }) => name),
  measure: (names, { rounds, note }) =>
    contest({
      entrants,
      comparisons: comparisons.filter(({ name }) => names.includes(name)),
      op: "sinkhorn",
      count: 5,
      rounds,
      check: checkGradients,
      note,
    }),
};
