// Question: how do bars of stacked parts look in a terminal?

import { legendLines } from "./terminal-chart.ts";

export interface BarPart {
  readonly name: string;
  readonly value: number;
}

export interface Bar {
  readonly label: string;
  readonly parts: readonly BarPart[];
}

const FILLS = ["█", "▓", "▒", "░", "▚", "▞"] as const;

const USUAL = 80;
const SHORTEST = 8;
/** In a wide terminal a longer bar says no more. */
const LONGEST = 100;

/**
 * Bars of stacked parts, a pattern for each part, and what each pattern means.
 *
 * @param width columns of the terminal, for labels, bars and sums
 */
export function drawBars(bars: readonly Bar[], show: (value: number) => string, width: number = USUAL): string {
  const sums = bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + known(value), 0));
  const labels = Math.max(...bars.map(({ label }) => label.length));
  const ends = Math.max(...sums.map((sum) => show(sum).length));
  const length = Math.max(SHORTEST, Math.min(LONGEST, width - labels - ends - 4));
  const scale = length / Math.max(...sums);
  const lines = bars.map(({ label, parts }, index) => {
    let [done, drawn] = [0, ""];
    for (const [part, { value }] of parts.entries()) {
      // Ends are rounded, not lengths, so that the whole bar has the length of the sum.
      done += known(value) * scale;
      drawn += FILLS[part % FILLS.length]!.repeat(Math.max(0, Math.round(done) - drawn.length));
    }
    return `${label.padEnd(labels)}  ${drawn.padEnd(length)}  ${show(sums[index]!)}`;
  });
  const legend = bars[0]!.parts.map(({ name }, part) => {
    const text = `${FILLS[part % FILLS.length]} ${name}`;
    return { length: text.length, text };
  });
  return [...lines, legendLines(legend, width, " ".repeat(labels + 2))].join("\n");
}

function known(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}
