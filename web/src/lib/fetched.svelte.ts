// Question: how does a part of the page hold data of every chosen run, and fetch it again when it has changed?

import { untrack } from "svelte";
import { SvelteMap } from "svelte/reactivity";
import { page } from "../state.svelte.ts";

/** The pause between two fetches of the same run while it trains. */
const PAUSE_MS = 1500;

/** Call this while a component is created. */
export function fetched<T>(fetch: (run: string) => Promise<T>): { readonly all: ReadonlyMap<string, T> } {
  const all = new SvelteMap<string, T>();
  const had = new Map<string, number>();
  const busy = new Set<string>();
  const get = async (run: string, news: number): Promise<void> => {
    busy.add(run);
    had.set(run, news);
    try {
      all.set(run, await fetch(run));
      if (news > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    } catch (error) {
      page.error = `${run}: ${(error as Error).message}`;
    } finally {
      busy.delete(run);
    }
    if (page.chosen.includes(run) && (page.news[run] ?? 0) !== news) void get(run, page.news[run] ?? 0);
  };
  $effect(() => {
    const wanted = page.chosen.map((run) => [run, page.news[run] ?? 0] as const);
    untrack(() => {
      for (const run of all.keys()) {
        if (page.chosen.includes(run)) continue;
        all.delete(run);
        had.delete(run);
      }
      for (const [run, news] of wanted) if (!busy.has(run) && had.get(run) !== news) void get(run, news);
    });
  });
  return { all };
}
