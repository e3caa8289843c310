// Question: which rows does the table of runs have, in which order?
//
// A row a run, or a row for the runs that differ in nothing but the seed: their mean, and the spread from the smallest to
// the largest.

import type { BestValidation, RunCard } from "../../../src/report/server/messages.ts";
import { commonName, familiesOf } from "./families.ts";

export interface RunRow {
  readonly runs: readonly RunCard[];
  readonly name: string;
  readonly cells: Readonly<Record<ColumnName, Cell>>;
}

/** A number with the spread of several runs, or a text. */
export interface Cell {
  readonly value: number | string | null;
  readonly spread?: readonly [low: number, high: number];
}

export const columnNames = [
  "name",
  "connection",
  "seed",
  "state",
  "step",
  "best",
  "bestStep",
  "last",
  "loss",
  "speed",
  "time",
  "alarms",
] as const;
export type ColumnName = (typeof columnNames)[number];

export interface Order {
  readonly column: ColumnName;
  readonly descending: boolean;
}

type Bests = Readonly<Record<string, BestValidation>>;
type Numbers = readonly (number | null | undefined)[];

/** The mean of the numbers that there are, and their spread if there are several. */
export function meanCell(numbers: Numbers): Cell {
  const known = numbers.filter((each): each is number => typeof each === "number" && Number.isFinite(each));
  if (known.length === 0) return { value: null };
  const value = known.reduce((sum, each) => sum + each, 0) / known.length;
  return known.length === 1 ? { value } : { value, spread: [Math.min(...known), Math.max(...known)] };
}

/** What all have, or the different ones. */
const sharedCell = (texts: readonly string[]): Cell => ({ value: [...new Set(texts)].join(", ") });

function rowOf(runs: readonly RunCard[], bests: Bests): RunRow {
  const of = (read: (card: RunCard) => number | null | undefined): Cell => meanCell(runs.map(read));
  const [first] = runs;
  const name = commonName(runs.map((card) => card.name));
  const cells: Record<ColumnName, Cell> = {
    name: { value: name },
    connection: { value: first!.connection },
    seed: runs.length === 1 ? { value: first!.seed } : { value: `${runs.length} seeds` },
    state: sharedCell(runs.map(({ state }) => state)),
    step: of(({ step }) => step),
    best: of(({ id }) => bests[id]?.bitsPerByte),
    bestStep: of(({ id }) => bests[id]?.step),
    last: of(({ bitsPerByte }) => bitsPerByte),
    loss: of(({ loss }) => loss),
    speed: of(({ tokensPerSecond }) => tokensPerSecond),
    time: of(({ seconds }) => seconds),
    alarms: { value: runs.reduce((sum, { alarms }) => sum + alarms, 0) },
  };
  return { runs, name, cells };
}

export function runRows(cards: readonly RunCard[], bests: Bests, together: boolean): RunRow[] {
  const byId = new Map(cards.map((card) => [card.id, card]));
  const groups = together
    ? familiesOf([...byId.keys()], (id) => byId.get(id)!.family)
    : [...byId.keys()].map((id) => [id]);
  return groups.map((ids) =>
    rowOf(
      ids.map((id) => byId.get(id)!),
      bests,
    ),
  );
}

/** Rows by a column; those without a value come last in either direction. */
export function sortedRows(rows: readonly RunRow[], { column, descending }: Order): RunRow[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [one, other] = [a.cells[column].value, b.cells[column].value];
    if (one === null || other === null) return one === other ? 0 : one === null ? 1 : -1;
    if (typeof one === "number" && typeof other === "number") return sign * (one - other);
    return sign * String(one).localeCompare(String(other), "en", { numeric: true });
  });
}
