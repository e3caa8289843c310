// Question: what did the chosen runs record of a chart, every value?
//
// The curves that are shown are thinned, so the values are requested again, so many steps at a time that each comes whole.

import { getCurves } from "./lib/api.ts";
import type { ChartLook } from "./lib/charts.ts";
import { inverted } from "./lib/curves.ts";
import type { Column } from "./lib/export.ts";
import { cardOf, curvesOf, page } from "./state.svelte.ts";

const AT_ONCE = 1900;
const POINTS = 2000;

export async function recordedBy(look: ChartLook): Promise<Column[]> {
  const columns: Column[] = [];
  for (const id of page.chosen) columns.push(await columnOf(id, look));
  return columns;
}

async function columnOf(id: string, look: ChartLook): Promise<Column> {
  const name = look.name === "stepTime" ? "tokensPerSecond" : look.name;
  const last = curvesOf(id)?.curves.loss.step.at(-1) ?? 0;
  const column = { name: cardOf(id)?.name ?? id, step: [] as number[], value: [] as (number | null)[] };
  const tokens = cardOf(id)?.tokensPerStep ?? null;
  if (look.name === "stepTime" && tokens === null) return column;
  for (let from = 0; from <= last; from += AT_ONCE) {
    const { series } = await getCurves(id, [from, from + AT_ONCE - 1], POINTS);
    const { step, value } = series[name];
    const shown =
      look.name === "stepTime"
        ? inverted({ step: [...step], value: [...value], mean: undefined }, tokens!).value
        : value;
    column.step.push(...step);
    column.value.push(...shown);
  }
  return column;
}
