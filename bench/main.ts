// Question: which figures does `birkhoff bench` measure?
//
// README.md in this folder explains each figure. Figures go to standard output, as one line of JSON each or as a table at
// the end. Progress goes to standard error.

import { cuda } from "./cuda.ts";
import { data } from "./data.ts";
import { evaluation } from "./evaluation.ts";
import { gemm } from "./gemm.ts";
import { generate } from "./generate.ts";
import { instruments } from "./instruments.ts";
import type { Group } from "./lib/group.ts";
import { type Figure, report } from "./lib/report.ts";
import { manifolds } from "./manifolds.ts";
import { memory } from "./memory.ts";
import { moe } from "./moe.ts";
import { overheadChart, overheads } from "./overhead.ts";
import { packaged } from "./package.ts";
import { mpi } from "./mpi.ts";
import { mesh } from "./mpi-mesh.ts";
import { page } from "./page.ts";
import { planning } from "./planning.ts";
import { serving } from "./serving.ts";
import { sinkhorn } from "./sinkhorn.ts";
import { site } from "./site.ts";
import { step } from "./step.ts";
import { stream } from "./stream.ts";
import { streamCounts } from "./stream-counts.ts";
import { variantCosts } from "./variants.ts";
import { webgpu } from "./webgpu.ts";

const groups: readonly Group[] = [
  gemm,
  step,
  generate,
  evaluation,
  serving,
  overheads,
  memory,
  moe,
  planning,
  sinkhorn,
  stream,
  streamCounts,
  data,
  page,
  site,
  packaged,
  overheadChart,
  manifolds,
  variantCosts,
  instruments,
  webgpu,
  cuda,
  mpi,
  mesh,
];
const ROUNDS = 8;

export interface BenchOptions {
  readonly json?: boolean;
  readonly rounds?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The names of all figures. */
export const figureNames: readonly string[] = groups.flatMap(({ names }) => names);

/**
 * Measures the figures whose names start with one of the prefixes. Without a prefix it measures all but those on request.
 * A signal ends it: what is measured by then is reported.
 */
export async function bench(
  prefixes: readonly string[],
  { json = false, rounds = ROUNDS, signal }: BenchOptions,
): Promise<void> {
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new RangeError(`--rounds is ${rounds}; it must be a whole number of at least 1 (default ${ROUNDS}).`);
  }
  const unknown = prefixes.find((prefix) => !figureNames.some((name) => name.startsWith(prefix)));
  if (unknown !== undefined) {
    throw new Error(
      `No figure's name starts with "${unknown}"; the figures are:\n${figureNames.map((name) => `  ${name}\n`).join("")}`,
    );
  }
  const named = (name: string): boolean => prefixes.some((prefix) => name.startsWith(prefix));
  const note = (text: string): void => void process.stderr.write(`${text}\n`);

  async function* figures(): AsyncGenerator<Figure> {
    for (const { names, measure, onRequest = false } of groups) {
      const chosen = prefixes.length === 0 && !onRequest ? names : names.filter(named);
      if (chosen.length > 0) yield* measure(chosen, { rounds, note });
    }
  }
  await report(figures(), { json, signal, write: (text) => void process.stdout.write(text) });
}
