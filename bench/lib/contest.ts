// Question: how are several engines, each in its own process, compared in figures?
//
// The entrants that the wanted figures need are started and take turns (`interleave.ts`). Then the benchmark checks that
// they have done the same work, and closes them. If ours does not run, the benchmark fails. If a peer is missing, its
// figures are skipped with the reason.

import { setTimeout as sleep } from "node:timers/promises";
import { createBackground } from "./background.ts";
import { interleave, type Timing } from "./interleave.ts";
import { type Hello, type Peer, type Reply, startPeer, threadEnvironment } from "./peer.ts";
import type { Figure, Measured } from "./report.ts";

export type Entrant = {
  readonly ours: boolean;
  readonly script: URL;
  readonly args: readonly string[];
  readonly threads: number;
  /** A remark for the user while the entrant starts. */
  readonly remark?: string;
};

/** The pause before each turn: first the threads of the previous entrant spin until they sleep, then other programs are watched. */
const SETTLE_MS = 30;
const WATCH_MS = 40;
/** If other programs use more than this, the benchmark says so. */
const QUIET = 0.1;

/** The first message of an entrant, its times, and its reply to each counted turn. */
export type Result = { readonly hello: Hello; readonly timing: Timing; readonly replies: readonly Reply[] };

/** The result of an entrant, by its name. */
type Results = (entrant: string) => Result;

export type Comparison = {
  readonly name: string;
  /** Names of the entrants that the figure is made from. */
  readonly needs: readonly string[];
  readonly measure: (results: Results) => Measured;
};

export type Contest = {
  readonly entrants: Readonly<Record<string, Entrant>>;
  readonly comparisons: readonly Comparison[];
  /** The operation of every entrant, done `count` times per turn. */
  readonly op: string;
  readonly count: number;
  readonly rounds: number;
  /** Throws if the entrants did not do the same work. */
  readonly check: (results: ReadonlyMap<string, Result>) => void;
  readonly note: (text: string) => void;
};

/** "birkhoff mhc (kernels relaxed 6x16)": the program and its versions, without that of its language. */
export function labelOf(name: string, { versions }: Hello): string {
  const libraries = Object.entries(versions).filter(([library]) => library !== "node" && library !== "python");
  return `${name} (${libraries.map(([library, version]) => `${library} ${version}`).join(", ")})`;
}

export async function* contest(setting: Contest): AsyncGenerator<Figure> {
  const { entrants, comparisons, check, note } = setting;
  const needed = Object.keys(entrants).filter((name) => comparisons.some(({ needs }) => needs.includes(name)));
  const running = new Map<string, Peer>();
  const missing = new Map<string, string>();
  try {
    for (const name of needed) {
      const { ours, script, args, threads, remark } = entrants[name]!;
      note(`starting ${name}${remark === undefined ? "" : `: ${remark}`}`);
      const peer = await startPeer(script, args, threadEnvironment(threads));
      if (!("skipped" in peer)) running.set(name, peer);
      else if (ours) throw new Error(`${name} cannot be measured: ${peer.skipped}.`);
      else missing.set(name, peer.skipped);
    }
    const reasonFor = ({ needs }: Comparison): string | undefined =>
      missing.get(needs.find((name) => missing.has(name))!);
    const possible = comparisons.filter((comparison) => reasonFor(comparison) === undefined);
    const wanted = new Map([...running].filter(([name]) => possible.some(({ needs }) => needs.includes(name))));
    const { results, background } = await compete(wanted, setting);
    check(results);
    for (const comparison of comparisons) {
      const skipped = reasonFor(comparison);
      if (skipped === undefined) yield { ...comparison.measure((name) => results.get(name)!), background };
      else yield { name: comparison.name, skipped };
    }
  } finally {
    await Promise.all([...running.values()].map((peer) => peer.close()));
  }
}

async function compete(
  peers: ReadonlyMap<string, Peer>,
  { op, count, rounds, note }: Contest,
): Promise<{ results: ReadonlyMap<string, Result>; background: number }> {
  if (peers.size === 0) return { results: new Map(), background: 0 };
  note(`measuring ${[...peers.keys()].join(", ")} in turns: ${rounds} rounds of ${count}`);
  const warmup = 1;
  const background = createBackground();
  const players = [...peers].map(([name, peer]) => {
    const replies: Reply[] = [];
    const measure = async (): Promise<readonly number[]> => {
      await background.watch(sleep(WATCH_MS));
      const reply = await peer.run({ op, count });
      replies.push(reply);
      return reply.ms;
    };
    return { name, hello: peer.hello, replies, label: labelOf(name, peer.hello), measure };
  });
  const timings = await interleave(players, { rounds, warmup, settleMs: SETTLE_MS });
  const results = new Map(
    players.map(({ name, hello, replies }, k) => [
      name,
      { hello, timing: timings[k]!, replies: replies.slice(warmup) },
    ]),
  );
  if (background.share() > QUIET) {
    const percent = Math.round(100 * background.share());
    note(`other programs kept ${percent} % of the processors busy meanwhile: measure again when it is quiet`);
  }
  return { results, background: background.share() };
}
