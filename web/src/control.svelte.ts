// Question: what has the user asked of the runs in training, and has it been done?
//
// A checkpoint is saved after the step in progress. It is done when every run that was asked has one of a step no earlier
// than the one it was at; the page then says the step, for a while.

import type { ControlAction, RunCard } from "../../src/report/server/messages.ts";
import { control } from "./lib/api.ts";
import { savedText } from "./lib/saved.ts";
import { page } from "./state.svelte.ts";

interface Asking {
  /** What the user is asked to confirm stopping: a run, or all. */
  confirm: string | undefined;
  said: string;
}

export const asking: Asking = $state({ confirm: undefined, said: "" });

const SHOWN_MS = 8000;
/** Where no checkpoint has come by then, the terminal says why. */
const PATIENCE_MS = 120_000;
let timer: ReturnType<typeof setTimeout> | undefined;
let waiting: { readonly wanted: ReadonlyMap<string, number>; readonly since: number } | undefined;

/** The runs whose training obeys the buttons. */
export const controlled = (): RunCard[] => page.cards.filter((card) => card.controlled && card.state === "training");

function say(text: string, lasting = false): void {
  clearTimeout(timer);
  asking.said = text;
  if (!lasting) timer = setTimeout(() => (asking.said = ""), SHOWN_MS);
}

export async function request(action: ControlAction, card?: RunCard): Promise<void> {
  asking.confirm = undefined;
  const meant = card ? [card] : controlled();
  try {
    await control({ action, ...(card ? { run: card.id } : {}) });
  } catch (error) {
    page.error = (error as Error).message;
    return;
  }
  if (action === "checkpoint") {
    waiting = { wanted: new Map(meant.map(({ id, step }) => [id, step])), since: performance.now() };
    say(`Saving ${card ? card.name : "a checkpoint of every run"} after this step…`, true);
  } else {
    waiting = undefined;
    say(
      card
        ? `Stopping ${card.name}: it is saved, and the others go on.`
        : "Stopping: every run is saved after its step.",
    );
  }
}

/** Call this when cards have changed. */
export function noteSaved(): void {
  if (!waiting) return;
  const { wanted, since } = waiting;
  const cards = [...wanted.keys()].flatMap((id) => page.cards.find((card) => card.id === id) ?? []);
  const done = cards.every(({ id, saved }) => saved !== null && saved >= wanted.get(id)!);
  if (!done && performance.now() - since < PATIENCE_MS) return;
  waiting = undefined;
  say(done ? savedText(cards) : "");
}
