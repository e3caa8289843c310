// Put the measured tables into docs/manifolds.md: how far each choice for H_res is from its guarantee, and with
// --times what it costs on this machine.
// Run: node scripts/update-manifolds.ts [--times]

import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { markdownTable } from "./markdown.ts";
import { manifolds } from "../bench/manifolds.ts";
import type { ResidualMap } from "../src/connections/manifolds/residual-map.ts";
import { residualMapNames, residualMaps } from "../src/connections/manifolds/table.ts";
import { normal, streams } from "../src/data/random.ts";
import { input } from "../src/graph/state.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { singularValues } from "../src/stability/singular-values.ts";
import { sinkhornError } from "../src/study/sinkhorn-error.ts";

const [N, MATRICES] = [4, 2000];
const SCALES = [1, 4, 10];

const page = new URL("../docs/manifolds.md", import.meta.url);

interface Errors {
  readonly rows: number;
  readonly columns: number;
  /** How far the least entry is below zero. */
  readonly negative: number;
  /** Spectral norm less its bound. */
  readonly norm: number;
}

/** The worst of many matrices from normal logits of deviation `scale`. */
function measure(runtime: WasmRuntime, map: ResidualMap, scale: number): Errors {
  const size = map.size(N);
  const logits = input("logits", [MATRICES, size]);
  const program = runtime.compile({ outputs: { h: map.project(logits, N) } });
  runtime.write(
    logits,
    Float32Array.from({ length: MATRICES * size }, (_, k) => scale * normal(7, streams.studies, k)),
  );
  program.run();
  const values = program.readNow("h");
  const bound = map.guarantee.spectralNorm(N);
  const worst = { rows: 0, columns: 0, negative: 0, norm: -Infinity };
  for (let at = 0; at < values.length; at += N * N) {
    const h = [...values.subarray(at, at + N * N)];
    for (let line = 0; line < N; line++) {
      const off = (entries: number[]): number => Math.abs(entries.reduce((a, b) => a + b, -1));
      worst.rows = Math.max(worst.rows, off(h.slice(line * N, (line + 1) * N)));
      worst.columns = Math.max(worst.columns, off(h.filter((_, k) => k % N === line)));
    }
    worst.negative = Math.max(worst.negative, -Math.min(...h));
    if (bound !== undefined) worst.norm = Math.max(worst.norm, singularValues(h, N)[0]! - bound);
  }
  return worst;
}

/** 1.2e-7; nothing where it is exact, or within its bound. */
function short(value: number): string {
  return value > 0 ? value.toExponential(1) : "0";
}

function cells(map: ResidualMap, errors: readonly Errors[]): string[] {
  const all = (key: keyof Errors): string => errors.map((error) => short(error[key])).join(" · ");
  const { rows, columns, nonNegative, spectralNorm } = map.guarantee;
  return [
    rows ? all("rows") : "",
    // Without the guarantee, but with rows: what Sinkhorn leaves undone.
    columns ? all("columns") : rows ? `(${all("columns")})` : "",
    nonNegative ? all("negative") : "",
    spectralNorm(N) === undefined ? "" : all("norm"),
  ];
}

/** The table of errors. The build without fused multiply-add gives the same bits on every machine. */
export async function errorTable(): Promise<string> {
  const runtime = await createWasmRuntime({ build: "simd", threads: 1 });
  try {
    const rows = residualMapNames
      .filter((name) => residualMaps[name].size(N) > 0)
      .map((name) => ({ name, map: residualMaps[name] }))
      .map(({ name, map }) => [
        `\`${name}\``,
        ...cells(
          map,
          SCALES.map((scale) => measure(runtime, map, scale)),
        ),
      ])
      .filter((row) => row.slice(1).some((cell) => cell !== ""));
    return markdownTable(
      ["name", "\\|row sum − 1\\|", "\\|column sum − 1\\|", "below zero", "norm above its bound"],
      rows,
    );
  } finally {
    runtime.close();
  }
}

/** The table of Sinkhorn's two gradients. */
export function sinkhornTable(): string {
  const rows = [5, 20, 100].map((iterations) => [
    String(iterations),
    ...[1, 2, 4, 10].map((scale) => {
      const { median, p99 } = sinkhornError({ iterations, scale }).gradient;
      return `${short(median)} · ${short(p99)}`;
    }),
  ]);
  return markdownTable(["T", "deviation 1", "2", "4", "10"], rows);
}

async function timeTable(): Promise<string> {
  const note = (text: string): void => void process.stderr.write(`${text}\n`);
  const times = new Map<string, string>();
  for await (const figure of manifolds.measure(manifolds.names, { rounds: 15, note })) {
    if (!("skipped" in figure)) times.set(figure.name, String(Math.round(figure.value)));
  }
  const rows = residualMapNames
    .filter((name) => residualMaps[name].size(N) > 0)
    .map((name) => [`\`${name}\``, ...[4, 8].map((n) => times.get(`manifold.${name}.n${n}`) ?? "")]);
  const processor = cpus()[0]?.model.trim() ?? process.arch;
  const date = new Date().toISOString().slice(0, 10);
  return `${markdownTable(["name", "n = 4", "n = 8"], rows)}\n\nMeasured on one thread of an ${processor}, Node ${process.versions.node}, ${date}.`;
}

/** The page with what stands between `<!-- name -->` and `<!-- end -->` replaced. */
export function withBlock(text: string, name: string, block: string): string {
  const pattern = new RegExp(`(<!-- ${name} -->\\n)[^]*?(\\n<!-- end -->)`);
  if (!pattern.test(text)) throw new Error(`docs/manifolds.md has no block <!-- ${name} --> ... <!-- end -->.`);
  return text.replace(pattern, (_, before: string, after: string) => `${before}\n${block}\n${after}`);
}

if (import.meta.main) {
  let text = readFileSync(page, "utf8");
  text = withBlock(text, "errors", await errorTable());
  text = withBlock(text, "gradients", sinkhornTable());
  if (process.argv.includes("--times")) text = withBlock(text, "times", await timeTable());
  writeFileSync(page, text);
}
