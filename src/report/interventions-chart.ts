// Question: what do interventions on a trained model do, at a glance?
//
// Panels of horizontal bars in two columns: one for each way to replace the maps (a bar for each set of
// sublayers), then dropped streams, swapped streams and iterations. Each panel has a scale of its own, and
// every bar its number. One SVG that follows the reader's choice of light or dark.

import { parseIntervention, publishedInterventions } from "../study/interventions.ts";
import { type InterventionReport, type InterventionRow, isUndecided } from "../study/intervene.ts";
import { interventionLabel, setLabel, showNats } from "./interventions-text.ts";
import { escape } from "./html.ts";
import { round, textAt } from "./svg.ts";

interface ChartBar {
  readonly label: string;
  readonly change: number;
  /** Of several sublayers: drawn stronger than one alone. */
  readonly several: boolean;
  /** Drawn as an outline. */
  readonly undecided: boolean;
  /** What others published of the same, in nats a token. */
  readonly published?: number | undefined;
}

interface ChartPanel {
  readonly title: string;
  readonly bars: readonly ChartBar[];
}

const PANEL = 430;
const LABEL = 122;
const PLOT = 215;
const ROW = 18;
const HEAD = 26;
const GAP = 22;
const TOP = 58;
/** A published mark so many times beyond the longest bar would leave no room for the bars: it is left out. */
const FARTHEST = 4;

const titles: Readonly<Record<string, string>> = {
  identity: "H_res → identity",
  mean: "H_res → its mean over tokens",
  uniform: "H_res → uniform, J/n",
  freeze: "all three maps → their means",
  drop: "one stream left out",
  swap: "two streams swapped",
  iterations: "Sinkhorn-Knopp iterations",
};

const STYLE = `
.paper{fill:#fff}.ink{fill:#222}.dim{fill:#667}.worse{fill:#2e6fdb}.better{fill:#2f9266}.axis{stroke:#889}.undecided{fill-opacity:0.12;stroke-width:1}.worse.undecided{stroke:#2e6fdb}.better.undecided{stroke:#2f9266}.mark{fill:#fff;stroke:#c2571a;stroke-width:1.6}
@media (prefers-color-scheme: dark){.paper{fill:#16181d}.ink{fill:#e6e6e6}.dim{fill:#9aa0ab}.worse{fill:#6ea0f5}.better{fill:#57c796}.axis{stroke:#777}.worse.undecided{stroke:#6ea0f5}.better.undecided{stroke:#57c796}.mark{fill:#16181d;stroke:#f0a060}}`;

/**
 * The change of the validation loss under each intervention, as an SVG document.
 *
 * @param name of the run, for the title
 */
export function drawInterventions(report: InterventionReport, name: string): string {
  const panels = panelsOf(report);
  const heights = panels.map(({ bars }) => HEAD + bars.length * ROW + GAP);
  const tops: [number, number] = [TOP, TOP];
  const drawn = panels.map((panel, index) => {
    // The shorter column takes the next panel, the left one of two equal ones.
    const column = tops[0] <= tops[1] ? 0 : 1;
    const top = tops[column];
    tops[column] += heights[index]!;
    return `<g transform="translate(${16 + column * (PANEL + 16)} ${top})">${drawPanel(panel)}</g>`;
  });
  const marked = panels.some(({ bars }) => bars.some(({ published }) => published !== undefined));
  const height = Math.max(...tops) + (marked ? 22 : 0);
  const width = 2 * PANEL + 48;
  const { model, text, source } = publishedInterventions;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="Helvetica, Arial, sans-serif" font-size="12">`,
    `<style>${STYLE}</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    textAt(16, 26, `Interventions: ${name}, step ${report.step}`, 'class="ink" font-size="16" font-weight="bold"'),
    textAt(
      16,
      44,
      `change of the validation loss (${report.loss.toFixed(4)} nats a token over ${report.tokens.toLocaleString("en")} tokens); each panel has its own scale; outlined: within two standard errors of no change`,
      'class="dim"',
    ),
    ...drawn,
    marked
      ? `${diamond(22, height - 16)}${textAt(32, height - 12, `${model} on ${text} (${source}): ln of its perplexity ratio; its own early and late layers; left out where far beyond the bars`, 'class="dim"')}`
      : "",
    "</svg>\n",
  ].join("\n");
}

function panelsOf({ rows }: InterventionReport): ChartPanel[] {
  const kindOf = ({ intervention }: InterventionRow): string => parseIntervention(intervention).kind;
  return [...new Set(rows.map(kindOf))].map((kind) => {
    const own = rows.filter((row) => kindOf(row) === kind);
    return { title: titles[kind]!, bars: near(own.map((row) => barOf(row, own))) };
  });
}

function barOf(row: InterventionRow, panel: readonly InterventionRow[]): ChartBar {
  const what = interventionLabel(row.intervention);
  const where = setLabel(row);
  // What the title says, and a place that all bars share, is not said at each.
  const told = what in titles;
  const places = new Set(panel.map(({ set }) => set)).size;
  const published = publishedInterventions.rows.find(
    ({ kind, sublayers }) => kind === row.intervention && sublayers === row.set,
  );
  return {
    label: told ? where : places === 1 ? what : `${what}, ${where}`,
    change: row.change,
    several: row.sublayers.length > 1,
    undecided: isUndecided(row),
    ...(published ? { published: Math.log1p(published.perplexity) } : {}),
  };
}

/** Without the published marks that lie too far out. */
function near(bars: readonly ChartBar[]): ChartBar[] {
  const longest = Math.max(...bars.map(({ change }) => Math.abs(finite(change))));
  return bars.map(({ published, ...bar }) =>
    published !== undefined && published <= FARTHEST * longest ? { ...bar, published } : bar,
  );
}

function drawPanel({ title, bars }: ChartPanel): string {
  const values = bars.flatMap(({ change, published }) => [finite(change), published ?? 0]);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const scale = PLOT / (high - low || 1);
  const zero = LABEL - low * scale;
  const rows = bars.flatMap(({ label, change, several, undecided, published }, index) => {
    const y = HEAD + index * ROW;
    const length = Math.abs(finite(change)) * scale;
    const end = Math.max(
      zero,
      zero + finite(change) * scale,
      published === undefined ? 0 : zero + published * scale + 5,
    );
    const kind = `${change < 0 ? "better" : "worse"}${undecided ? " undecided" : ""}`;
    return [
      textAt(LABEL - 8, y + 12, label, 'class="ink" text-anchor="end"'),
      `<rect class="${kind}" x="${round(change < 0 ? zero - length : zero)}" y="${y + 2}" width="${round(length)}" height="${ROW - 5}" opacity="${several ? 1 : 0.62}"><title>${escape(`${label}: ${showNats(change)} nats a token`)}</title></rect>`,
      published === undefined ? "" : diamond(zero + published * scale, y + 8.5),
      textAt(round(end) + 5, y + 12, showNats(change), 'class="dim"'),
    ];
  });
  const axis = `<path class="axis" d="M${round(zero)} ${HEAD - 2}v${bars.length * ROW + 3}"/>`;
  return [textAt(0, 14, title, 'class="ink" font-weight="bold"'), ...rows, axis].join("\n");
}

/** A loss that is not finite has no bar; its number says so. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

function diamond(x: number, y: number): string {
  return `<path class="mark" d="M${round(x - 4.5)} ${y}l4.5 -4.5l4.5 4.5l-4.5 4.5z"/>`;
}
