// Question: how are the loads of the experts kept, of a run of any length?
//
// A record holds a number for every expert of every layer. Only the records of every n-th step are kept; n doubles when
// there are too many. It divides the step itself, so that the kept steps are the same whenever the server has begun.

import type { ExpertLoads } from "./messages.ts";

type Load = readonly (readonly number[])[];

export interface LoadKeeper {
  add(step: number, load: Load | undefined): void;
  /** Forget what was recorded from a step on. */
  cut(from: number): void;
  loads(run: string): ExpertLoads;
}

const MOST_KEPT = 400;

export function createLoadKeeper(most: number = MOST_KEPT): LoadKeeper {
  let rows: { readonly step: number; readonly load: Load }[] = [];
  let every = 1;
  /** The newest, which may be none of the kept steps. */
  let last: (typeof rows)[number] | undefined;
  return {
    add(step, load) {
      if (!load || load.length === 0) return;
      last = { step, load };
      if (step % every !== 0) return;
      rows.push(last);
      for (; rows.length > most; rows = rows.filter((row) => row.step % every === 0)) every *= 2;
    },
    cut(from) {
      rows = rows.filter(({ step }) => step < from);
      if (last && last.step >= from) last = rows.at(-1);
    },
    loads(run) {
      const shown = last && last.step !== rows.at(-1)?.step ? [...rows, last] : rows;
      return { run, step: shown.map(({ step }) => step), shares: shown.map(({ load }) => load.map(sharesOf)) };
    },
  };
}

/** Each expert's part of a layer's tokens, times the number of experts: 1 is an even load. */
function sharesOf(load: readonly number[]): (number | null)[] {
  const mean = load.reduce((sum, tokens) => sum + tokens, 0) / load.length;
  return load.map((tokens) => (mean > 0 && Number.isFinite(tokens / mean) ? round(tokens / mean) : null));
}

const round = (value: number): number => Number(value.toPrecision(4));
