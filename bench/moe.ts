// Question: what does a training step with a mixture of experts cost, against a dense model and against PyTorch?
//
// `moe.vs_dense` compares with a dense model that does the same multiply-adds for a token; both take turns in one
// process. `moe.vs_torch_eager` compares with the same model in PyTorch, which loops over the experts, from the same
// first values on the same batches; each engine has its own process. In `moe.mhc.vs_torch_eager` both have mHC in place
// of the plain residual. Times are of whole steps, including AdamW on all weights; see lib/moe-step.ts.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import { type Comparison, contest, type Entrant, type Result } from "./lib/contest.ts";
import type { Group, GroupOptions } from "./lib/group.ts";
import { createStepper, mixture, type MoeConnection, STEP_TOKENS } from "./lib/moe-step.ts";
import { race } from "./lib/race.ts";
import { type Figure, milliseconds, rate, ratio, type Side } from "./lib/report.ts";

const DENSE = "moe.vs_dense";
const TORCH = "moe.vs_torch_eager";
const TORCH_MHC = "moe.mhc.vs_torch_eager";
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

const connections: Readonly<Record<string, MoeConnection>> = { [TORCH]: "residual", [TORCH_MHC]: "mhc" };

/** How far the two losses may differ: for the same weights, and after further steps, which round differently. */
const SAME_LOSS = 1e-4;
const SAME_COURSE = 1e-2;

const ours = (kind: MoeConnection): string => `birkhoff moe, ${kind}`;
const theirs = (kind: MoeConnection): string => `torch eager moe, ${kind}`;

const comparisonOf = (name: string, kind: MoeConnection): Comparison => ({
  name,
  needs: [ours(kind), theirs(kind)],
  measure(results) {
    const speed = (entrant: string): Side =>
      rate(results(entrant).timing, "median", "tokens/s", (ms) => (1000 * STEP_TOKENS) / ms);
    return ratio(name, speed(ours(kind)), speed(theirs(kind)), {
      higher_is_better: true,
      ...(name === TORCH ? { bar: 2 } : {}),
    });
  },
});

/** Check that both computed the same loss from the same weights, and learned equally well since. */
function checkSame(results: ReadonlyMap<string, Result>): void {
  for (const kind of Object.values(connections)) {
    const [mine, other] = [results.get(ours(kind)), results.get(theirs(kind))];
    if (!mine || !other) continue;
    if (!(Math.abs(mine.hello.loss! - other.hello.loss!) < SAME_LOSS))
      throw new Error(
        `From the same weights the loss is ${mine.hello.loss} here and ${other.hello.loss} in PyTorch; they should be the same model.`,
      );
    const [last, peer] = [mine.replies.at(-1)!.loss!, other.replies.at(-1)!.loss!];
    if (!(Math.abs(last - peer) < SAME_COURSE && last < mine.hello.loss!))
      throw new Error(`After the same steps the loss is ${last} here and ${peer} in PyTorch, from ${mine.hello.loss}.`);
  }
}

async function* againstTorch(names: readonly string[], options: GroupOptions): AsyncGenerator<Figure> {
  const folder = mkdtempSync(path.join(tmpdir(), "birkhoff-moe-"));
  const peer = (file: string): URL => new URL(`peers/${file}`, import.meta.url);
  // Ours starts first, because it writes the model that the other reads.
  const entrants = names.flatMap((name): [string, Entrant][] => {
    const kind = connections[name]!;
    const args = ["--model", path.join(folder, `${kind}.bin`), "--threads", String(THREADS)];
    return [
      [ours(kind), { ours: true, script: peer("our-moe.ts"), args: [...args, "--connection", kind], threads: THREADS }],
      [theirs(kind), { ours: false, script: peer("serve.py"), args: ["moe", ...args], threads: THREADS }],
    ];
  });
  try {
    yield* contest({
      entrants: Object.fromEntries(entrants),
      comparisons: names.map((name) => comparisonOf(name, connections[name]!)),
      op: "moe",
      count: 2,
      ...options,
      check: checkSame,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const moe: Group = {
  names: [DENSE, TORCH, TORCH_MHC],
  async *measure(names, options) {
    if (names.includes(DENSE)) yield* againstDense(options);
    const torch = names.filter((name) => name in connections);
    if (torch.length > 0) yield* againstTorch(torch, options);
  },
};
