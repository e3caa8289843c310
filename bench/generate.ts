// Question: how fast does a model write, and how evenly do the tokens come?
//
// A prompt of half a window is read (prefill) and the other half is written (decoding), greedily, with a cache of keys
// and values, one text on two threads. It is compared with the same in PyTorch's eager mode. Then a long stream is
// written, for which the window slides many times. Its figures are the distribution of the times of single tokens, with
// mHC beside residual, and that of a plain loop that waits for nothing, which shows what the machine itself adds. A
// token's time is everything that a caller waits for it, including JavaScript and the choice of the token.

import { given } from "../src/basics/given.ts";
import { type Comparison, contest, type Entrant, type Result } from "./lib/contest.ts";
import type { Group } from "./lib/group.ts";
import { median } from "./lib/interleave.ts";
import { ratio, type Side } from "./lib/report.ts";

const MODEL = { layers: 4, channels: 256, heads: 8, tokens: 256, vocabulary: 1024 };
const THREADS = 2;
const PROMPT = MODEL.tokens / 2;
/** Tokens of the long stream: the window slides every 128. */
const STREAM = 2048;

const setting = Object.entries({ ...MODEL, threads: THREADS }).flatMap(([name, value]) => [`--${name}`, `${value}`]);

function birkhoff(connection: string, written: number): Entrant {
  const script = new URL("peers/our-generate.ts", import.meta.url);
  return {
    ours: true,
    script,
    args: ["--connection", connection, "--written", `${written}`, ...setting],
    threads: THREADS,
  };
}

function torch(connection: string): Entrant {
  const script = new URL("peers/serve.py", import.meta.url);
  return { ours: false, script, args: ["generate", "--connection", connection, ...setting], threads: THREADS };
}

const entrants: Readonly<Record<string, Entrant>> = {
  "birkhoff residual": birkhoff("residual", PROMPT),
  "birkhoff mhc": birkhoff("mhc", PROMPT),
  "torch eager residual": torch("residual"),
  "torch eager mhc": torch("mhc"),
  "birkhoff residual stream": birkhoff("residual", STREAM),
  "birkhoff mhc stream": birkhoff("mhc", STREAM),
  "plain loop stream": {
    ours: true,
    script: new URL("peers/plain-loop.ts", import.meta.url),
    args: ["--written", `${STREAM}`],
    threads: 1,
  },
};

// --- the two sides of each figure ---------------------------------------------------------------

/** Tokens a second: `tokens` of each text, divided by the time that `of` computes from its tokens' times. The median of the texts counts. */
function speed(tokens: number, of: (tokenMs: readonly number[]) => number): (result: Result) => Side {
  return ({ timing: { label }, replies }) => {
    const ms = replies.map(({ token_ms }) => of(token_ms!));
    const rate = (time: number): number => (1000 * tokens) / time;
    const value = rate(median(ms));
    return { label, value, unit: "tokens/s", median: value, best: rate(Math.min(...ms)), samples: ms.length };
  };
}

const prefill = speed(PROMPT, (ms) => ms[0]!);
const decode = speed(PROMPT - 1, (ms) => ms.slice(1).reduce((sum, time) => sum + time, 0));

/** The time that a given share of all tokens of all streams does not exceed. The first token of each stream is the prompt's and is left out. */
function quantile(share: number, name: string): (result: Result) => Side {
  return ({ timing: { label }, replies }) => {
    const ms = replies.flatMap(({ token_ms }) => token_ms!.slice(1)).sort((a, b) => a - b);
    const value = ms[Math.min(ms.length - 1, Math.ceil(share * ms.length) - 1)]!;
    return { label: `${label}, ${name}`, value, unit: "ms", samples: ms.length };
  };
}

const quantiles = { p50: 0.5, p95: 0.95, p99: 0.99, maximum: 1 } as const;

type Direction = { readonly higher_is_better: boolean; readonly bar?: number };

function compare(
  name: string,
  [ours, ofOurs]: readonly [string, (result: Result) => Side],
  [theirs, ofTheirs]: readonly [string, (result: Result) => Side],
  direction: Direction,
): Comparison {
  const needs = [...new Set([ours, theirs])];
  return {
    name,
    needs,
    measure: (results) => ratio(name, ofOurs(results(ours)), ofTheirs(results(theirs)), direction),
  };
}

function againstTorch(name: string, connection: string, of: (result: Result) => Side, bar?: number): Comparison {
  const direction = { higher_is_better: true, ...given({ bar }) };
  return compare(name, [`birkhoff ${connection}`, of], [`torch eager ${connection}`, of], direction);
}

function tail(name: string, connection: string, bar?: number): Comparison {
  const entrant = `${connection} stream`;
  const direction = { higher_is_better: false, ...given({ bar }) };
  return compare(name, [entrant, quantile(quantiles.p99, "p99")], [entrant, quantile(quantiles.p50, "p50")], direction);
}

const lower = { higher_is_better: false };
const comparisons: readonly Comparison[] = [
  againstTorch("generate.decode.vs_torch", "mhc", decode, 3),
  againstTorch("generate.decode.residual.vs_torch", "residual", decode),
  againstTorch("generate.prefill.vs_torch", "mhc", prefill),
  againstTorch("generate.prefill.residual.vs_torch", "residual", prefill),
  tail("generate.p99_over_p50", "birkhoff mhc", 1.5),
  tail("generate.p99_over_p50.residual", "birkhoff residual"),
  tail("generate.p99_over_p50.machine", "plain loop"),
  ...Object.entries(quantiles).map(([name, share]) =>
    compare(
      `generate.latency.${name}.vs_residual`,
      ["birkhoff mhc stream", quantile(share, name)],
      ["birkhoff residual stream", quantile(share, name)],
      lower,
    ),
  ),
];

/** Check that every entrant has written as many tokens as requested, and that ours ran the same model as PyTorch. */
function check(results: ReadonlyMap<string, Result>): void {
  for (const [name, { hello, replies }] of results) {
    const expected = name.endsWith("stream") ? STREAM : PROMPT;
    const written = replies.at(-1)!.token_ms!.length;
    if (written !== expected) throw new Error(`${name} wrote ${written} tokens instead of ${expected}.`);
    const ours = results.get(name.replace("torch eager", "birkhoff"))?.hello.parameters ?? hello.parameters!;
    if (hello.parameters !== ours) {
      throw new Error(`${name} has ${hello.parameters} parameters, ours ${ours}; they should be the same model.`);
    }
  }
}

export const generate: Group = {
  names: comparisons.map(({ name }) => name),
  async *measure(names, options) {
    const chosen = comparisons.filter(({ name }) => names.includes(name));
    yield* contest({ entrants, comparisons: chosen, op: "generate", count: 1, ...options, check });
  },
};
