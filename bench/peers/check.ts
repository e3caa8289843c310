// Question: are the peers we measure against present, correct and fast?
//
//   node bench/peers/check.ts [--rounds 5] [--json] [gemm | step ...]
//
// It prints the figures of each peer, measured in turns. It fails if the engines disagree: every matrix product must be
// exactly equal, and the losses of a model, eager and compiled, must agree within 1e-3.

import { parseArgs } from "node:util";
import { interleave, type Timing } from "../lib/interleave.ts";
import { contestant, type Peer, type Reply, startPeer, threadEnvironment } from "../lib/peer.ts";
import { type Figure, milliseconds, rate, report } from "../lib/report.ts";

const SIZE = 1024;
const MODEL = { layers: 4, channels: 256, heads: 8, tokens: 256, batch: 8, vocabulary: 1024 };
const CONNECTIONS = ["residual", "hc", "mhc"];
const MODES = ["eager", "compile"];

type Entry = {
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
  readonly threads: number;
};

type Measurement = { readonly name: string; readonly peer: Peer; readonly timing: Timing; readonly last: Reply };

const PEERS: Readonly<Record<string, readonly Entry[]>> = {
  gemm: [
    {
      name: `gemm.${SIZE}.t1.numpy`,
      script: "serve.py",
      args: ["gemm", "--size", `${SIZE}`, "--threads", "1"],
      threads: 1,
    },
    {
      name: `gemm.${SIZE}.t2.numpy`,
      script: "serve.py",
      args: ["gemm", "--size", `${SIZE}`, "--threads", "2"],
      threads: 2,
    },
    { name: `gemm.${SIZE}.t1.jax-js`, script: "jax-gemm.ts", args: ["--size", `${SIZE}`], threads: 1 },
  ],
  step: CONNECTIONS.flatMap((connection) =>
    MODES.map((mode) => ({
      name: `step.${connection}.torch-${mode}`,
      script: "serve.py",
      args: ["step", "--connection", connection, "--mode", mode, "--threads", "2", ...options(MODEL)],
      threads: 2,
    })),
  ),
};

function options(values: Readonly<Record<string, number>>): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, `${value}`]);
}

function agree(what: string, values: readonly (number | undefined)[], tolerance: number): void {
  const [first, ...others] = values;
  if (others.every((value) => Math.abs(value! - first!) <= tolerance)) return;
  throw new Error(`The peers disagree on ${what}: ${values.join(", ")}.`);
}

/** The checks for each kind of peer, and its figures. */
const KINDS: Readonly<
  Record<string, { check(all: readonly Measurement[]): void; figures(m: Measurement): readonly Figure[] }>
> = {
  gemm: {
    check: (all) =>
      agree(
        "the last entry of the product",
        all.map(({ last }) => last.corner),
        0,
      ),
    figures: ({ name, timing }) => {
      const theirs = rate(timing, "best", "GFLOP/s", (ms) => (2 * SIZE ** 3) / ms / 1e6);
      return [{ name, value: theirs.value, unit: theirs.unit, higher_is_better: true, theirs }];
    },
  },
  step: {
    check: (all) => {
      for (const connection of CONNECTIONS) {
        const same = all.filter(({ name }) => name.startsWith(`step.${connection}.`));
        agree(
          `the loss of ${connection}`,
          same.map(({ last }) => last.loss),
          1e-3,
        );
        for (const { name, peer, last } of same) {
          if (!(last.loss! < peer.hello.loss!))
            throw new Error(`${name} does not learn: loss ${peer.hello.loss} → ${last.loss}.`);
        }
      }
    },
    figures: ({ name, peer, timing, last }) => {
      const speed = rate(timing, "median", "tokens/s", (ms) => (1000 * MODEL.batch * MODEL.tokens) / ms);
      const time = milliseconds(timing, "median");
      const megabytes = (bytes: number): number => bytes / 2 ** 20;
      return [
        { name, value: speed.value, unit: speed.unit, higher_is_better: true, theirs: time },
        {
          name: `${name}.memory`,
          value: megabytes(last.peak_rss_bytes),
          unit: "MiB",
          higher_is_better: false,
          theirs: { label: "of it, libraries loaded", value: megabytes(peer.hello.base_rss_bytes), unit: "MiB" },
        },
      ];
    },
  },
};

async function* figures(kind: string, rounds: number): AsyncGenerator<Figure> {
  const running: { name: string; peer: Peer }[] = [];
  try {
    for (const { name, script, args, threads } of PEERS[kind]!) {
      const peer = await startPeer(new URL(script, import.meta.url), args, threadEnvironment(threads));
      if ("skipped" in peer) yield { name, skipped: peer.skipped };
      else running.push({ name, peer });
    }
    if (running.length === 0) return;
    const one = { op: kind, count: 1 };
    const timings = await interleave(
      running.map(({ peer }) => contestant(peer, peer.hello.peer, one)),
      { rounds },
    );
    const all: Measurement[] = [];
    for (const [k, { name, peer }] of running.entries())
      all.push({ name, peer, timing: timings[k]!, last: await peer.run(one) });
    KINDS[kind]!.check(all);
    for (const measurement of all) yield* KINDS[kind]!.figures(measurement);
  } finally {
    await Promise.all(running.map(({ peer }) => peer.close()));
  }
}

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, json: { type: "boolean", default: false } },
  allowPositionals: true,
});
const kinds = positionals.length > 0 ? positionals : Object.keys(PEERS);
const unknown = kinds.find((kind) => !(kind in PEERS));
if (unknown !== undefined)
  throw new Error(`"${unknown}" is not a kind of peer; choose from ${Object.keys(PEERS).join(", ")}.`);

async function* everything(): AsyncGenerator<Figure> {
  for (const kind of kinds) yield* figures(kind, Number(values.rounds));
}
await report(everything(), { json: values.json, write: (text) => process.stdout.write(text) });
