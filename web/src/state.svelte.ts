// Question: what does the page show, and how does it stay up to date?
//
// It shows the cards of all runs and the curves of the chosen ones, which are fetched once and then extended by one
// stream of events. Every message of the stream holds the positions in the files up to which it reaches, so that the
// stream continues exactly there after a pause or a restart of the server. A run that went back to a checkpoint is
// fetched again.

import { SvelteMap, SvelteSet } from "svelte/reactivity";
import type { LiveCards, LiveRecords, RunCard } from "../../src/report/server/messages.ts";
import { getCurves, getRuns } from "./lib/api.ts";
import { addRow, type Axis, type RunCurves, runCurves, usualWindow } from "./lib/curves.ts";
import { familiesOf } from "./lib/families.ts";
import { assignVariants, type Look, lookOf } from "./lib/looks.ts";

export const tabs = [
  "Curves",
  "Table",
  "Gains",
  "Mixing",
  "Experts",
  "Processes",
  "Samples",
  "Alarms",
  "Configuration",
] as const;
export type Tab = (typeof tabs)[number];
const MOST_CHOSEN = 24;
/** The number of runs that are shown when the page opens. */
const FIRST_CHOSEN = 6;
/** Live points of a run after which its curves are fetched again, downsampled. */
const MOST_ADDED = 20_000;

export interface PageState {
  root: string;
  cards: RunCard[];
  /** Ids, in the order in which they were chosen. */
  chosen: string[];
  /** The run under the pointer: its curves stand out. */
  pointed: string | null;
  tab: Tab;
  axis: Axis;
  /** Steps over which curves are smoothed; null for what suits their length. */
  smoothing: number | null;
  /** Whether runs that differ in nothing but the seed are drawn together. */
  together: boolean;
  link: "starting" | "live" | "reconnecting";
  error: string;
  dark: boolean;
  /** Grows whenever curves change. */
  version: number;
  /** Grows whenever all requested curves have arrived: they are drawn at once. */
  loads: number;
  /** How often a run's gains, samples or alarms have changed. */
  news: Record<string, number>;
}

const wide = matchMedia("(prefers-color-scheme: dark)");

export const page: PageState = $state({
  root: "",
  cards: [],
  chosen: [],
  pointed: null,
  tab: "Curves",
  axis: "step",
  smoothing: null,
  together: false,
  link: "starting",
  error: "",
  dark: wide.matches,
  version: 0,
  loads: 0,
  news: {},
});
wide.addEventListener("change", () => (page.dark = wide.matches));

/** These are not reactive by themselves: `page.version` says that something changed. */
const curves = new Map<string, RunCurves>();
const cursors = new Map<string, string>();
/** The variant of each run among the looks of its connection, from 0. */
const variants: Map<string, number> = new SvelteMap();
/** Runs whose curves are being fetched. */
const pending: Set<string> = new SvelteSet();
let source: EventSource | undefined;

export const cardOf = (id: string): RunCard | undefined => page.cards.find((card) => card.id === id);
export const curvesOf = (id: string): RunCurves | undefined => curves.get(id);
const kindOf = (id: string): string => cardOf(id)?.connection ?? "";
export const lookOfRun = (id: string): Look => lookOf(kindOf(id), variants.get(id) ?? 0, page.dark);
/** Whether only networks of the user's own are shown: their loss need not be one of tokens. */
export const onlyNets = (): boolean => page.chosen.every((id) => cardOf(id)?.net === true);
export const familyOf = (id: string): string => cardOf(id)?.family ?? id;
/** The chosen runs by their families. */
export const chosenFamilies = (): string[][] => familiesOf(page.chosen, familyOf);
/** What a run must have for a tab; all others are for every run. */
const needs: Partial<Record<Tab, (card: RunCard) => boolean>> = {
  Experts: ({ experts }) => experts,
  Processes: ({ ranks }) => ranks.length > 0,
};
/** The tabs that the chosen runs have something for. */
export const shownTabs = (): Tab[] =>
  tabs.filter((tab) => {
    const has = needs[tab];
    return !has || page.cards.some((card) => page.chosen.includes(card.id) && has(card));
  });
/** Steps over which curves are smoothed. */
export function smoothingWindow(): number {
  return page.smoothing ?? usualWindow(Math.max(0, ...page.chosen.map((id) => cardOf(id)?.step ?? 0)));
}
export const isLoading = (): boolean => pending.size > 0;

/** Load the list, choose the newest runs or those in the address, and start the stream. */
export async function start(): Promise<void> {
  try {
    const { root, cards } = await getRuns();
    page.root = root;
    page.cards = ordered(cards);
    const wanted = readAddress().filter((id) => cardOf(id));
    choose(wanted.length > 0 ? wanted : newest());
  } catch (error) {
    page.error = `${(error as Error).message} Trying again.`;
    setTimeout(() => void start(), 2000);
  }
}

/** Runs in training come first, then the newest; those of a comparison by name. The order stays while records arrive. */
function ordered(cards: readonly RunCard[]): RunCard[] {
  const newest = new Map<string, number>();
  for (const { group, begun } of cards) newest.set(group, Math.max(begun, newest.get(group) ?? 0));
  const begunOf = ({ group, begun }: RunCard): number => (group === "" ? begun : newest.get(group)!);
  const training = (card: RunCard): number => (card.state === "training" ? 1 : 0);
  return [...cards].sort(
    (a, b) => training(b) - training(a) || begunOf(b) - begunOf(a) || a.id.localeCompare(b.id, "en", { numeric: true }),
  );
}

/** Some runs of the newest comparison, or the newest runs of the root: one of each connection, then a second of each. */
function newest(): string[] {
  const group = page.cards[0]?.group;
  const seen = new Map<string, number>();
  const together = page.cards
    .filter((card) => card.group === group)
    .map(({ id, connection }) => {
      const place = seen.get(connection) ?? 0;
      seen.set(connection, place + 1);
      return { id, place };
    });
  return together
    .sort((a, b) => a.place - b.place)
    .slice(0, FIRST_CHOSEN)
    .map(({ id }) => id);
}

export function choose(ids: readonly string[]): void {
  const before = new Set(page.chosen);
  page.chosen = ids.slice(0, MOST_CHOSEN);
  if (!page.chosen.includes(page.pointed ?? "")) page.pointed = null;
  assignVariants(page.chosen, kindOf, variants, before);
  for (const id of curves.keys()) if (!page.chosen.includes(id)) curves.delete(id);
  writeAddress();
  page.version++;
  const missing = page.chosen.filter((id) => !curves.has(id));
  if (missing.length > 0) void load(missing);
  else listen();
}

/** Handlers for an element that represents a run: while the pointer is on it, the run's curves stand out. */
export function pointsAt(id: string): { onpointerenter(event: PointerEvent): void; onpointerleave(): void } {
  return {
    onpointerenter: ({ pointerType }) =>
      void (pointerType === "mouse" && page.chosen.includes(id) && (page.pointed = id)),
    onpointerleave: () => void (page.pointed = null),
  };
}

export function toggle(id: string): void {
  choose(page.chosen.includes(id) ? page.chosen.filter((other) => other !== id) : [...page.chosen, id]);
}

async function load(ids: readonly string[]): Promise<void> {
  // Its messages about these runs would be dropped, and its position remembered beyond what has been fetched.
  source?.close();
  for (const id of ids) pending.add(id);
  await Promise.all(
    ids.map(async (id) => {
      try {
        const fetched = await getCurves(id);
        if (!page.chosen.includes(id)) return;
        curves.set(id, runCurves(fetched));
        cursors.set(id, fetched.cursor);
        page.error = "";
      } catch (error) {
        page.error = `${id}: ${(error as Error).message}`;
      } finally {
        pending.delete(id);
        page.version++;
      }
    }),
  );
  if (pending.size > 0) return;
  page.loads++;
  listen();
}

/** An EventSource does not tell what the server answered; a request for the head alone opens no stream. */
async function sayWhy(query: URLSearchParams): Promise<void> {
  const status = await fetch(`/api/live?${query}`, { method: "HEAD" }).then(
    (answer) => answer.status,
    () => undefined,
  );
  if (status === 503) page.error = "Too many pages of this server are open; close some of them.";
}

/** Open one stream for all chosen runs. A new stream continues where the last one ended. */
function listen(): void {
  source?.close();
  const followed = page.chosen.filter((id) => curves.has(id));
  const query = new URLSearchParams(followed.map((id) => ["run", id]));
  query.set("from", followed.map((id) => cursors.get(id)!).join("_"));
  const stream = new EventSource(`/api/live?${query}`);
  source = stream;
  const remember = (lastEventId: string): void => {
    const positions = lastEventId.split("_");
    if (positions.length === followed.length) followed.forEach((id, index) => cursors.set(id, positions[index]!));
  };
  stream.addEventListener("open", () => {
    const wasAway = page.link === "reconnecting";
    page.link = "live";
    if (!wasAway) return;
    page.error = "";
    // Changes other than records were not reported meanwhile, and requests were not answered, so fetch these again.
    for (const id of followed) page.news[id] = (page.news[id] ?? 0) + 1;
    const missing = page.chosen.filter((id) => !curves.has(id) && !pending.has(id));
    if (missing.length > 0) void load(missing);
  });
  stream.addEventListener("error", () => {
    if (source !== stream) return;
    page.link = "reconnecting";
    // The browser tries again by itself unless the answer was an error.
    if (stream.readyState !== EventSource.CLOSED) return;
    void sayWhy(query);
    setTimeout(() => source === stream && listen(), 2000);
  });
  stream.addEventListener("records", ({ data, lastEventId }: MessageEvent<string>) => {
    remember(lastEventId);
    take(JSON.parse(data) as LiveRecords);
  });
  stream.addEventListener("cards", ({ data, lastEventId }: MessageEvent<string>) => {
    remember(lastEventId);
    takeCards(JSON.parse(data) as LiveCards);
  });
}

function take({ run, rows, reset, texts }: LiveRecords): void {
  const own = curves.get(run);
  if (!own || pending.has(run)) return;
  const sound = rows.every((row) => addRow(own, row));
  const gains = rows.some((row) => row[1] === null);
  if (texts || gains || reset) page.news[run] = (page.news[run] ?? 0) + 1;
  if (reset || !sound || own.added > MOST_ADDED) void load([run]);
  else if (rows.length > 0) page.version++;
}

function takeCards({ cards, removed, whole }: LiveCards): void {
  const gone = new Set([...removed, ...cards.map(({ id }) => id)]);
  const kept = whole ? [] : page.cards.filter(({ id }) => !gone.has(id));
  const wasEmpty = page.cards.length === 0;
  page.cards = ordered([...kept, ...cards]);
  const left = page.chosen.filter((id) => cardOf(id));
  if (left.length < page.chosen.length) choose(left.length > 0 ? left : newest());
  // A run has begun after the page was opened on an empty folder.
  else if (wasEmpty && left.length === 0 && cards.length > 0) choose(newest());
}

function readAddress(): string[] {
  const given = new URLSearchParams(location.hash.slice(1));
  const tab = tabs.find((name) => name === given.get("tab"));
  if (tab) page.tab = tab;
  return given.getAll("run");
}

/** Keep the shown runs in the address, for a reload or a colleague. */
export function writeAddress(): void {
  const shown = new URLSearchParams(page.chosen.map((id) => ["run", id]));
  if (page.tab !== "Curves") shown.set("tab", page.tab);
  history.replaceState(null, "", `${location.pathname}#${shown}`);
}
