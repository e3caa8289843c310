// Question: how does a page receive new records without missing or repeating one?
//
// The server checks the sizes of the files a few times a second. The id of every message holds the positions in all
// files up to and including that message. A browser that lost the connection sends the last id, even if the server was
// restarted meanwhile, and the stream continues there.

import path from "node:path";
import type { SSEStreamingApi } from "hono/streaming";
import type { Cards } from "./cards.ts";
import { createFollower } from "./follow.ts";
import type { LiveCards, LiveRecords, LiveRow } from "./messages.ts";
import { type Places, statsOf } from "./places.ts";
import { formatCursor, liveRow } from "./records.ts";

const LOOK_MS = 300;
const RETRY_MS = 1000;
const SILENCE_MS = 15_000;
/** More rows than this at once are fetched faster as curves. */
const MOST_ROWS = 5000;

export interface Followed {
  readonly run: string;
  /** Positions in metrics.jsonl and gains.jsonl. */
  readonly from: readonly [number, number];
}

export async function liveEvents(
  stream: SSEStreamingApi,
  followed: readonly Followed[],
  places: Places,
  cards: Cards,
): Promise<void> {
  const runs = followed.map((each) => followRun(places, each));
  const sent = new Map<string, string>();
  // A page that was disconnected cannot know what was removed meanwhile.
  let whole = true;
  let spoke = performance.now();
  const say = async (event: string, data: LiveRecords | LiveCards): Promise<void> => {
    spoke = performance.now();
    const id = runs.map(({ cursor }) => cursor()).join("_");
    await stream.writeSSE({ event, data: JSON.stringify(data), id, retry: RETRY_MS });
  };
  while (!stream.aborted && !stream.closed) {
    for (const run of runs) {
      const news = run.look();
      if (news) await say("records", news);
    }
    const changes = changedCards(cards, sent);
    if (changes || whole) await say("cards", { cards: [], removed: [], ...changes, whole });
    whole = false;
    if (performance.now() - spoke > SILENCE_MS) {
      spoke = performance.now();
      await stream.write(": still here\n\n");
    }
    await stream.sleep(LOOK_MS);
  }
}

function followRun(places: Places, { run, from }: Followed): { look(): LiveRecords | undefined; cursor(): string } {
  const metrics = createFollower(() => places.open(run, "metrics.jsonl"), from[0]);
  const gains = createFollower(() => places.open(run, "gains.jsonl"), from[1]);
  let texts = textSizes(places.folder(run));
  return {
    cursor: () => formatCursor([metrics.position, gains.position]),
    look() {
      const added = [metrics.advance(), gains.advance()] as const;
      const rows = [
        ...added[0].lines.map(({ text }) => liveRow("metrics.jsonl", text)),
        ...added[1].lines.map(({ text }) => liveRow("gains.jsonl", text)),
      ].filter((row): row is LiveRow => row !== undefined);
      const sizes = textSizes(places.folder(run));
      const news = sizes !== texts;
      texts = sizes;
      const reset = added.some((file) => file.reset || (file.more && file.lines.length > 0)) || rows.length > MOST_ROWS;
      return rows.length > 0 || reset || news ? { run, rows: reset ? [] : rows, reset, texts: news } : undefined;
    },
  };
}

function textSizes(folder: string | undefined): string {
  if (folder === undefined) return "";
  return ["samples.txt", "events.jsonl"].map((file) => statsOf(path.join(folder, file))?.size ?? 0).join(" ");
}

/** The cards that have changed since they were last sent. */
function changedCards(cards: Cards, sent: Map<string, string>): Omit<LiveCards, "whole"> | undefined {
  const list = cards.list();
  const changed = list.filter((card) => {
    const text = JSON.stringify(card);
    if (sent.get(card.id) === text) return false;
    sent.set(card.id, text);
    return true;
  });
  const present = new Set(list.map(({ id }) => id));
  const removed = [...sent.keys()].filter((id) => !present.has(id));
  for (const id of removed) sent.delete(id);
  return changed.length > 0 || removed.length > 0 ? { cards: changed, removed } : undefined;
}
