// Question: how long do clients of the server wait, and how many tokens do they get?
//
// 1, 4, 16 and 32 clients ask at once, each for 64 tokens after a prompt of 32, as a stream by HTTP, and again. A client's waits are
// the time until its first token and those from one piece of text to the next; mHC stands beside residual. The tokens a
// second stand beside `generate` of transformers, a Llama of the same sizes, which gets all prompts as one batch, both on two
// threads. Waits are those of a server as it starts on two cores, which leaves one of them to its sockets. How
// evenly tokens come is compared with a plain loop that waits for nothing. And 100,000 tokens are written alone and beside
// others: none may differ.

import { given } from "../src/basics/given.ts";
import { countDiffering } from "./lib/batch-invariant.ts";
import { type Comparison, contest, type Entrant, type Result } from "./lib/contest.ts";
import type { Group } from "./lib/group.ts";
import { ratio, type Side } from "./lib/report.ts";

const MODEL = { layers: 4, channels: 256, heads: 8, tokens: 256, vocabulary: 1024 };
/** For tokens a second, all cores; for waits, those that a server takes by itself. */
const [THREADS, USUAL_THREADS] = [2, 1];
/** A piece of work is so many turns, after each side has worked for so many seconds. */
const TEXT = { prompt: 32, written: 64, turns: 4, warm: 4 };
const CLIENTS = [1, 4, 16, 32] as const;

function argsOf(more: object): string[] {
  const all = { ...MODEL, ...TEXT, ...more };
  return Object.entries(all).flatMap(([name, value]) => [`--${name}`, `${value}`]);
}

/** Milliseconds between two pieces of an answer, where there is a pace. */
const PACE = 4;

const ours = (connection: string, clients: number, threads: number, pace = 0): Entrant => ({
  ours: true,
  script: new URL("peers/our-serve.ts", import.meta.url),
  args: argsOf({ connection, clients, threads, pace }),
  threads,
});

const theirs = (clients: number): Entrant => ({
  ours: false,
  script: new URL("peers/serve.py", import.meta.url),
  args: ["serve", ...argsOf({ clients, threads: THREADS })],
  threads: THREADS,
});

/** A server that was asked for no number of threads. */
const asItStarts = (connection: string): string => `birkhoff ${connection} on ${USUAL_THREADS} thread`;

/** The plain loop answers to the operation of the other figures of single tokens. */
const LOOP = "plain loop";
const entrants: Readonly<Record<string, Entrant>> = {
  ...Object.fromEntries(
    CLIENTS.flatMap((clients) => [
      ...["residual", "mhc"].flatMap((connection) => [
        [`birkhoff ${connection}, ${clients}`, ours(connection, clients, THREADS)] as const,
        [`${asItStarts(connection)}, ${clients}`, ours(connection, clients, USUAL_THREADS)] as const,
      ]),
      [`birkhoff residual, pieces of ${PACE} ms, ${clients}`, ours("residual", clients, THREADS, PACE)],
      [`transformers, ${clients}`, theirs(clients)],
    ]),
  ),
  [LOOP]: {
    ours: true,
    script: new URL("peers/plain-loop.ts", import.meta.url),
    args: ["--written", "512", "--op", "serve"],
    threads: 1,
  },
};

// --- the two sides of each figure ---------------------------------------------------------------

/** Tokens a second of all clients: those of a turn, divided by its median time. */
function throughput({ timing, replies }: Result): Side {
  const rate = (ms: number): number => (1000 * replies[0]!.written!) / ms;
  const { label, ms, median, best } = timing;
  return { label, value: rate(median), unit: "tokens/s", median: rate(median), best: rate(best), samples: ms.length };
}

type Waits = "first_ms" | "token_ms";

/** The wait that a share of all of them does not exceed. */
const quantile =
  (waits: Waits, share: number, name: string) =>
  ({ timing: { label }, replies }: Result): Side => {
    const ms = replies.flatMap((reply) => reply[waits]!).sort((a, b) => a - b);
    const value = ms[Math.max(0, Math.ceil(share * ms.length) - 1)]!;
    return { label: `${label}, ${name}`, value, unit: "ms", samples: ms.length };
  };

function compare(
  name: string,
  [one, ofOne]: readonly [string, (result: Result) => Side],
  [other, ofOther]: readonly [string, (result: Result) => Side],
  direction: { readonly higher_is_better: boolean; readonly bar?: number },
): Comparison {
  const needs = [...new Set([one, other])];
  return { name, needs, measure: (results) => ratio(name, ofOne(results(one)), ofOther(results(other)), direction) };
}

const lower = { higher_is_better: false };
const shares = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;
const comparisons: readonly Comparison[] = CLIENTS.flatMap((clients) => [
  compare(
    `serve.throughput.c${clients}.vs_transformers`,
    [`birkhoff residual, ${clients}`, throughput],
    [`transformers, ${clients}`, throughput],
    { higher_is_better: true, ...given({ bar: clients === 16 ? 3 : undefined }) },
  ),
  compare(
    `serve.throughput.c${clients}.paced.vs_transformers`,
    [`birkhoff residual, pieces of ${PACE} ms, ${clients}`, throughput],
    [`transformers, ${clients}`, throughput],
    { higher_is_better: true },
  ),
  compare(
    `serve.throughput.c${clients}.mhc.vs_residual`,
    [`birkhoff mhc, ${clients}`, throughput],
    [`birkhoff residual, ${clients}`, throughput],
    { higher_is_better: true },
  ),
  ...(["first", "next"] as const).flatMap((kind) =>
    Object.entries(shares).map(([name, share]) => {
      const side = quantile(kind === "first" ? "first_ms" : "token_ms", share, `${kind} ${name}`);
      return compare(
        `serve.${kind}_token.c${clients}.${name}.vs_residual`,
        [`${asItStarts("mhc")}, ${clients}`, side],
        [`${asItStarts("residual")}, ${clients}`, side],
        lower,
      );
    }),
  ),
  compare(
    `serve.p99_over_p50.c${clients}`,
    [`${asItStarts("mhc")}, ${clients}`, quantile("token_ms", shares.p99, "p99")],
    [`${asItStarts("mhc")}, ${clients}`, quantile("token_ms", shares.p50, "p50")],
    lower,
  ),
]);
const machine = compare(
  "serve.p99_over_p50.machine",
  [LOOP, quantile("token_ms", shares.p99, "p99")],
  [LOOP, quantile("token_ms", shares.p50, "p50")],
  lower,
);
/** How many times as long as the median the 99th percentile is. */
const unevenness = (result: Result): Side => {
  const [p99, p50] = [quantile("token_ms", shares.p99, "")(result), quantile("token_ms", shares.p50, "")(result)];
  const { label } = result.timing;
  return {
    label: `${label}, p99 over p50`,
    value: p99.value / p50.value,
    unit: "×",
    ...given({ samples: p50.samples }),
  };
};
const uneven = compare(
  "serve.p99_over_p50.c4.vs_machine",
  [`${asItStarts("mhc")}, 4`, unevenness],
  [LOOP, unevenness],
  { ...lower, bar: 1.5 },
);
const all = [...comparisons, machine, uneven];
const INVARIANT = "serve.batch_invariant";

/** Check that every client got its tokens, and that transformers ran a model of the same size. */
function check(results: ReadonlyMap<string, Result>): void {
  const sizes = new Map<number, string>();
  for (const [name, { hello, replies }] of results) {
    if (name === LOOP) continue;
    const expected = TEXT.turns * TEXT.written * Number(name.split(", ").at(-1));
    for (const { written } of replies)
      if (written !== expected) throw new Error(`${name} wrote ${written} tokens instead of ${expected}.`);
    if (!name.includes("mhc")) sizes.set(hello.parameters!, name);
  }
  if (sizes.size > 1)
    throw new Error(
      `${[...sizes].map(([count, name]) => `${name} has ${count} parameters`).join(", ")}; they should be the same model.`,
    );
}

export const serving: Group = {
  names: [INVARIANT, ...all.map(({ name }) => name)],
  onRequest: true,
  async *measure(names, options) {
    if (names.includes(INVARIANT)) {
      options.note(`measuring ${INVARIANT}`);
      yield await countDiffering(INVARIANT, THREADS);
    }
    const chosen = all.filter(({ name }) => names.includes(name));
    if (chosen.length > 0) yield* contest({ entrants, comparisons: chosen, op: "serve", count: 1, ...options, check });
  },
};
