/**
 * What does a training step with a mixture of experts cost, against a dense model and against PyTorch?
 *
 * `moe.vs_dense`: against a dense model that does the same multiply-adds for a token, in one process in
 * turns. `moe.vs_torch_eager`: against the same model in PyTorch, from the same first values on the same
 * batches, with a loop over the experts; each engine in a process of its own. Whole steps, AdamW on all
 * weights included; see lib/moe-step.ts.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createWasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { type Comparison, contest, type Entrant, type Result } from "./lib/contest.ts";
import type { Group, GroupOptions } from "./lib/group.ts";
import { createStepper, mixture, STEP_TOKENS } from "./lib/moe-step.ts";
import { race } from "./lib/race.ts";
import { type Figure, milliseconds, rate, ratio, type Side } from "./lib/report.ts";

const DENSE = "moe.vs_dense";
const TORCH = "moe.vs_torch_eager";
const THREADS = 2;

async function* againstDense(options: GroupOptions): AsyncGenerator<Figure> {
  const runtime = await createWasmRuntime({ threads: THREADS });
  try {
    const sides = [
      { label: "mixture of experts", step: createStepper(runtime, mixture).step },
      { label: "dense", step: createStepper(runtime).step },
    ];
    const first = sides.map(({ step }) => step());
    const { timings, background } = await race(
      sides.map(({ label, step }) => ({ label, run: () => void step() })),
      options,
    );
    for (const [index, { label, step }] of sides.entries()) {
      if (!(step() < first[index]!)) throw new Error(`The ${label} model did not learn; its times mean nothing.`);
    }
    const [ours, theirs] = timings.map((timing) => milliseconds(timing, "median")) as [
      ReturnType<typeof milliseconds>,
      ReturnType<typeof milliseconds>,
    ];
    yield { ...ratio(DENSE, ours, theirs, { higher_is_better: false, bar: 1.35 }), background };
  } finally {
    runtime.close();
  }
}

// --- against PyTorch ----------------------------------------------------------------------------

const OURS = "birkhoff moe";
const THEIRS = "torch eager moe";

/** How far the losses of the two may be apart: of the same weights, and after the steps since, which round differently. */
const SAME_LOSS = 1e-4;
const SAME_COURSE = 1e-2;

const comparison: Comparison = {
  name: TORCH,
  needs: [OURS, THEIRS],
  measure(results) {
    const speed = (name: string): Side =>
      rate(results(name).timing, "median", "tokens/s", (ms) => (1000 * STEP_TOKENS) / ms);
    return ratio(TORCH, speed(OURS), speed(THEIRS), { higher_is_better: true, bar: 2 });
  },
};

/** Both must have computed the same loss from the same weights, and have learned alike since. */
function checkSame(results: ReadonlyMap<string, Result>): void {
  const [ours, theirs] = [results.get(OURS), results.get(THEIRS)];
  if (!ours || !theirs) return;
  if (!(Math.abs(ours.hello.loss! - theirs.hello.loss!) < SAME_LOSS))
    throw new Error(
      `From the same weights the loss is ${ours.hello.loss} here and ${theirs.hello.loss} in PyTorch; they are to be the same model.`,
    );
  const [last, other] = [ours.replies.at(-1)!.loss!, theirs.replies.at(-1)!.loss!];
  if (!(Math.abs(last - other) < SAME_COURSE && last < ours.hello.loss!))
    throw new Error(`After the same steps the loss is ${last} here and ${other} in PyTorch, from ${ours.hello.loss}.`);
}

async function* againstTorch(options: GroupOptions): AsyncGenerator<Figure> {
  const folder = mkdtempSync(path.join(tmpdir(), "birkhoff-moe-"));
  const args = ["--model", path.join(folder, "model.bin"), "--threads", String(THREADS)];
  const peer = (file: string): URL => new URL(`peers/${file}`, import.meta.url);
  // Ours is started first: it writes the model that the other reads.
  const entrants: Readonly<Record<string, Entrant>> = {
    [OURS]: { ours: true, script: peer("our-moe.ts"), args, threads: THREADS },
    [THEIRS]: { ours: false, script: peer("serve.py"), args: ["moe", ...args], threads: THREADS },
  };
  try {
    yield* contest({ entrants, comparisons: [comparison], op: "moe", count: 2, ...options, check: checkSame });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const moe: Group = {
  names: [DENSE, TORCH],
  async *measure(names, options) {
    if (names.includes(DENSE)) yield* againstDense(options);
    if (names.includes(TORCH)) yield* againstTorch(options);
  },
};
