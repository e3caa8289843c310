// Question: how does a page receive new records without missing or repeating one?
//
// One watcher looks at the sizes of the files a few times a second, for all pages together and only while there is one;
// a page pays for nothing but what is new to it. The id of every message holds the positions in all files up to and
// including that message. A browser that lost the connection sends the last id, even if the server was restarted
// meanwhile, and the stream continues there.

import path from "node:path";
import type { SSEStreamingApi } from "hono/streaming";
import type { Cards } from "./cards.ts";
import { createFollower } from "./follow.ts";
import type { LiveCards, LiveRecords, LiveRow, RunCard } from "./messages.ts";
import { type Places, statsOf } from "./places.ts";
import { formatCursor, liveRow } from "./records.ts";

const LOOK_MS = 300;
const RETRY_MS = 1000;
const SILENCE_MS = 15_000;
/** More rows than this at once are fetched faster as curves. */
const MOST_ROWS = 5000;
/** So many streams are open at once. A browser opens one for each tab with the page. */
export const MOST_STREAMS = 100;

export interface Followed {
  readonly run: string;
  /** Positions in metrics.jsonl and gains.jsonl. */
  readonly from: readonly [number, number];
}

/** The streams of all pages. */
export interface LiveFeed {
  /** Whether one more stream would be too many. */
  readonly full: boolean;
  /** Sends what is new until the page leaves. */
  send(stream: SSEStreamingApi, followed: readonly Followed[]): Promise<void>;
}

export function createLiveFeed(places: Places, cards: Cards): LiveFeed {
  const watcher = createWatcher(places, cards);
  let streams = 0;
  return {
    get full() {
      return streams >= MOST_STREAMS;
    },
    async send(stream, followed) {
      streams++;
      try {
        await sendAll(stream, followed, places, watcher);
      } finally {
        streams--;
      }
    },
  };
}

async function sendAll(
  stream: SSEStreamingApi,
  followed: readonly Followed[],
  places: Places,
  watcher: Watcher,
): Promise<void> {
  const runs = followed.map((each) => followRun(places, watcher, each));
  let seen = 0;
  // A page that was disconnected cannot know what was removed meanwhile.
  let whole = true;
  let spoke = performance.now();
  const say = async (event: string, data: LiveRecords | LiveCards): Promise<void> => {
    spoke = performance.now();
    const id = runs.map(({ cursor }) => cursor()).join("_");
    await stream.writeSSE({ event, data: JSON.stringify(data), id, retry: RETRY_MS });
  };
  while (!stream.aborted && !stream.closed) {
    watcher.look(whole);
    for (const run of runs) {
      const news = run.look();
      if (news) await say("records", news);
    }
    const changes = watcher.cardsSince(seen);
    seen = watcher.revision;
    if (whole) await say("cards", { cards: changes.cards, removed: [], whole });
    else if (changes.cards.length > 0 || changes.removed.length > 0) await say("cards", { ...changes, whole });
    whole = false;
    if (performance.now() - spoke > SILENCE_MS) {
      spoke = performance.now();
      await stream.write(": still here\n\n");
    }
    await stream.sleep(LOOK_MS);
  }
}

/** What all streams share: how the runs look now, and when that last changed. */
interface Watcher {
  /** Grows when a card changes, comes or goes. */
  readonly revision: number;
  /** Looks at all runs, unless that was done a moment ago; with `now` in any case. */
  look(now: boolean): void;
  /** What has changed since a revision. */
  cardsSince(revision: number): Omit<LiveCards, "whole">;
  /** Another text whenever a file of the run has grown or was replaced; looked at once for all streams. */
  filesOf(run: string): string;
}

const FOLLOWED = ["metrics.jsonl", "gains.jsonl", "samples.txt", "events.jsonl"] as const;

function createWatcher(places: Places, cards: Cards): Watcher {
  const known = new Map<string, { readonly card: RunCard; readonly text: string; readonly revision: number }>();
  const removed = new Map<string, number>();
  const files = new Map<string, string>();
  let [revision, looked] = [0, -Infinity];
  return {
    get revision() {
      return revision;
    },
    look(now) {
      if (!now && performance.now() - looked < LOOK_MS - 10) return;
      looked = performance.now();
      files.clear();
      const list = cards.list();
      const next = revision + 1;
      for (const card of list) {
        const before = known.get(card.id);
        if (before?.card === card) continue;
        const text = JSON.stringify(card);
        const changed = before?.text !== text;
        known.set(card.id, { card, text, revision: changed ? next : before.revision });
        if (changed) revision = next;
        removed.delete(card.id);
      }
      if (known.size === list.length) return;
      const present = new Set(list.map(({ id }) => id));
      for (const id of known.keys()) {
        if (present.has(id)) continue;
        known.delete(id);
        removed.set(id, next);
        revision = next;
      }
    },
    cardsSince(seen) {
      if (seen === revision) return { cards: [], removed: [] };
      return {
        cards: [...known.values()].filter((each) => each.revision > seen).map(({ card }) => card),
        removed: [...removed].filter(([, at]) => at > seen).map(([id]) => id),
      };
    },
    filesOf(run) {
      const before = files.get(run);
      if (before !== undefined) return before;
      const now = signatureOf(places.folder(run));
      files.set(run, now);
      return now;
    },
  };
}

function signatureOf(folder: string | undefined): string {
  if (folder === undefined) return "";
  return FOLLOWED.map((file) => {
    const stats = statsOf(path.join(folder, file));
    return stats ? `${stats.dev}:${stats.ino}:${stats.size}` : "";
  }).join(" ");
}

/** The part of a signature that tells of samples and alarms. */
const textsIn = (signature: string): string => signature.split(" ").slice(2).join(" ");

function followRun(
  places: Places,
  watcher: Watcher,
  { run, from }: Followed,
): { look(): LiveRecords | undefined; cursor(): string } {
  const metrics = createFollower(() => places.open(run, "metrics.jsonl"), from[0]);
  const gains = createFollower(() => places.open(run, "gains.jsonl"), from[1]);
  /** Undefined while more of the files is to be read than one look takes. */
  let looked: string | undefined;
  let texts = textsIn(watcher.filesOf(run));
  return {
    cursor: () => formatCursor([metrics.position, gains.position]),
    look() {
      const now = watcher.filesOf(run);
      if (now === looked) return undefined;
      const added = [metrics.advance(), gains.advance()] as const;
      looked = added.some(({ more }) => more) ? undefined : now;
      const rows = [
        ...added[0].lines.map(({ text }) => liveRow("metrics.jsonl", text)),
        ...added[1].lines.map(({ text }) => liveRow("gains.jsonl", text)),
      ].filter((row): row is LiveRow => row !== undefined);
      const news = textsIn(now) !== texts;
      texts = textsIn(now);
      const reset = added.some((file) => file.reset || (file.more && file.lines.length > 0)) || rows.length > MOST_ROWS;
      return rows.length > 0 || reset || news ? { run, rows: reset ? [] : rows, reset, texts: news } : undefined;
    },
  };
}
