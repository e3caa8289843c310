// Question: how do bars of stacked parts look in a terminal?

export interface BarPart {
  readonly name: string;
  readonly value: number;
}

export interface Bar {
  readonly label: string;
  readonly parts: readonly BarPart[];
}

const FILLS = ["█", "▓", "▒", "░", "▚", "▞"] as const;

/** Bars of stacked parts, a pattern for each part, and what each pattern means. */
export function drawBars(bars: readonly Bar[], show: (value: number) => string, width = 50): string {
  const sums = bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + known(value), 0));
  const scale = width / Math.max(...sums);
  const labels = Math.max(...bars.map(({ label }) => label.length));
  const lines = bars.map(({ label, parts }, index) => {
    let [done, drawn] = [0, ""];
    for (const [part, { value }] of parts.entries()) {
      // Ends are rounded, not lengths, so that the whole bar has the length of the sum.
      done += known(value) * scale;
      drawn += FILLS[part % FILLS.length]!.repeat(Math.max(0, Math.round(done) - drawn.length));
    }
    return `${label.padEnd(labels)}  ${drawn.padEnd(width)}  ${show(sums[index]!)}`;
  });
  const legend = bars[0]!.parts.map(({ name }, part) => `${FILLS[part % FILLS.length]} ${name}`).join("   ");
  return [...lines, `${" ".repeat(labels)}  ${legend}`].join("\n");
}

function known(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}
