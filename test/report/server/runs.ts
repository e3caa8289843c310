// Run folders as a trainer leaves them, made by hand for tests of the live page.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";

export interface Workplace {
  readonly root: string;
  at(...names: string[]): string;
  remove(): void;
}

export function makeRoot(): Workplace {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-page-")));
  return {
    root,
    at: (...names) => path.join(root, ...names),
    remove: () => fs.rmSync(root, { recursive: true, force: true }),
  };
}

export function metricLine(step: number, more: Readonly<Record<string, unknown>> = {}): string {
  const loss = 2 + 5 / (1 + step / 20);
  const record = { step, loss, gradientNorm: 1, learningRate: 1e-3, tokensPerSecond: 1000, seconds: step / 2, ...more };
  return `${JSON.stringify(record)}\n`;
}

export function gainLine(step: number, more: Readonly<Record<string, unknown>> = {}): string {
  const pair = { forward: [1.5, 1 + step], backward: [2 + step, 1] };
  return `${JSON.stringify({ step, single: pair, composite: pair, ...more })}\n`;
}

/** A run of `steps` steps that has done `done` of them. */
export function writeRun(
  folder: string,
  { steps = 100, done = steps, connection = "mhc" }: { steps?: number; done?: number; connection?: string } = {},
): void {
  fs.mkdirSync(folder, { recursive: true });
  const config = {
    name: path.basename(folder),
    model: {
      context: 128,
      width: 128,
      layers: 4,
      heads: 4,
      kvHeads: 4,
      hidden: 384,
      vocabulary: 1024,
      connection: { kind: connection },
    },
    batch: 16,
    steps,
  };
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ config, versions: { node: "24" } }));
  const lines = Array.from({ length: done }, (_, index) => metricLine(index + 1));
  fs.writeFileSync(path.join(folder, "metrics.jsonl"), lines.join(""));
  const gains = lines.flatMap((_, index) => (index % 10 === 9 ? [gainLine(index + 1)] : []));
  fs.writeFileSync(path.join(folder, "gains.jsonl"), gains.join(""));
}
