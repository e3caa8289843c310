// Question: which results of the mHC paper's stability experiment do these runs reproduce, and which not?
//
// The table holds six statements of arXiv 2512.24880 about its 27B models (Figures 2, 3, 5 and 7), each beside the same
// quantity in these runs: the mean over seeds and, for several seeds, the smallest and the largest. A difference counts
// as reproduced only if every seed has the paper's sign. Runs that have done too little for a claim (evidence.ts) get no
// verdict.

import { median } from "../basics/numbers.ts";
import { type Claim, tooEarly } from "./evidence.ts";
import { gapBand } from "./figures/training.ts";
import { type Series, seriesOf, type Spread, spreadOf } from "./figures/series.ts";
import { gainText, runNumbers, signedLoss } from "./findings.ts";
import { html, type Markup } from "./html.ts";
import type { RunData } from "../runs/run-data.ts";

/** One statement of the paper, and the result of these runs. */
export interface PaperComparison {
  readonly quantity: string;
  /** The value of the 27B models, with its figure. */
  readonly paper: string;
  readonly here: string;
  /** Whether the result appears at this size, in words. */
  readonly verdict: string;
}

type Range = Pick<Spread, "mean" | "least" | "largest">;

const KINDS = ["residual", "hc", "mhc"] as const;

/** The headings of the columns. */
export const comparisonColumns: readonly string[] = ["", "the paper's 27B models", "these runs", "at this size"];

/** A row for every statement that these runs can test; none without HC or mHC runs. */
export function comparePaper(runs: readonly RunData[]): PaperComparison[] {
  const series = seriesOf(runs);
  // If there are several runs of one kind, none of them stands for "these runs".
  if (KINDS.some((kind) => series.filter((one) => one.kind === kind).length > 1)) return [];
  const [residual, hc, mhc] = KINDS.map((kind) => series.find((one) => one.kind === kind));
  return [
    gainRow("Largest composite gain of HC", "about 3000 (Fig. 3)", hc, ({ least, largest }) =>
      least >= 10 ? "shows: the product amplifies" : largest >= 10 ? DIFFER : "does not show: the product stays small",
    ),
    gainRow("Largest composite gain of mHC", "about 1.65 (Fig. 7)", mhc, ({ least, largest }) =>
      largest <= 2
        ? "shows: the product stays near one"
        : least <= 2
          ? DIFFER
          : "does not show: the product leaves one",
    ),
    gapRow("Training loss at the end, HC minus mHC", "+0.005 (Fig. 2a)", 1, hc, mhc),
    gapRow("Training loss at the end, HC minus residual", "−0.017 (Fig. 5a)", -1, hc, residual),
    gapRow("Training loss at the end, mHC minus residual", "−0.021 (Fig. 5a)", -1, mhc, residual),
    normRow(hc, mhc),
  ].filter((row) => row !== undefined);
}

/** The rows as a table of a report; undefined without rows. */
export function paperTable(runs: readonly RunData[]): Markup | undefined {
  const rows = comparePaper(runs);
  if (rows.length === 0) return undefined;
  return html`<div class="wide">
      <table class="left wrap">
        <thead>
          <tr>
            ${comparisonColumns.map((title) => html`<th>${title}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            ({ quantity, paper, here, verdict }) =>
              html`<tr>
                ${[quantity, paper, here, verdict].map((cell) => html`<td>${cell}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="soft small">
      Means over seeds, in brackets the smallest and the largest; losses smoothed over 4 % of the steps. Other data, a
      fraction of the size and of the length: what shows here is no proof for large models, and what does not is none
      against. Too early: there is no verdict before the runs have made the least number of steps, tokens and seeds.
    </p>`;
}

function gainRow(
  quantity: string,
  paper: string,
  series: Series | undefined,
  verdict: (gains: Spread) => string,
): PaperComparison | undefined {
  const gains = runNumbers(series?.runs ?? []).flatMap(({ largestGain }) => largestGain ?? []);
  if (gains.length === 0) return undefined;
  const spread = spreadOf(gains);
  const judged = early("gain", [series!]) ?? verdict(spread);
  return { quantity, paper, here: showRange(spread, gainText), verdict: judged };
}

function gapRow(
  quantity: string,
  paper: string,
  sign: 1 | -1,
  series: Series | undefined,
  base: Series | undefined,
): PaperComparison | undefined {
  const last = series && base && gapBand(series, base).at(-1);
  if (!last) return undefined;
  const whole = last.x === series.runs[0]!.config?.steps;
  return {
    quantity: whole ? quantity : quantity.replace("the end", `step ${last.x}`),
    paper,
    here: showRange(last, signedLoss),
    verdict:
      early("loss", [series, base]) ?? (whole ? directionOf(last, sign) : "not decided: not all runs reached the end"),
  };
}

function normRow(hc: Series | undefined, mhc: Series | undefined): PaperComparison | undefined {
  if (!hc || !mhc) return undefined;
  const ratios = hc.runs.flatMap((run) => {
    const other = mhc.runs.find(({ config }) => config?.seed === run.config?.seed);
    const [mine, theirs] = [laterNorm(run), other && laterNorm(other)];
    return mine && theirs ? [mine / theirs] : [];
  });
  if (ratios.length === 0) return undefined;
  const spread = spreadOf(ratios);
  const around = { mean: spread.mean - 1, least: spread.least - 1, largest: spread.largest - 1 };
  return {
    quantity: "Gradient norm of HC over that of mHC, medians of the second half",
    paper: "1.3 to 2.3 near step 39 000 (Fig. 2b, a noisy band)",
    here: showRange(spread, (ratio) => ratio.toPrecision(3)),
    verdict: early("norm", [hc, mhc]) ?? directionOf(around, 1).replace("the same sign", "above one"),
  };
}

/** Median gradient norm of the second half of a run. */
function laterNorm({ metrics }: RunData): number | undefined {
  const norms = metrics.slice(metrics.length >> 1).map(({ gradientNorm }) => gradientNorm);
  return median(norms.filter((norm) => Number.isFinite(norm)));
}

const DIFFER = "not decided: seeds differ";

/** That a claim is too early, and by how much. */
function early(claim: Claim, series: readonly Series[]): string | undefined {
  const lacks = tooEarly(
    claim,
    series.map(({ runs }) => runs),
  );
  return lacks === undefined ? undefined : `too early: ${lacks}`;
}

/** Of several seeds: with fewer it is too early. */
function directionOf({ mean, least, largest }: Range, sign: 1 | -1): string {
  if (least < 0 && largest > 0) return `${DIFFER} in sign`;
  return `${Math.sign(mean) === sign ? "shows: the same sign" : "does not show: the other sign"} in every seed`;
}

function showRange({ mean, least, largest }: Range, show: (value: number) => string): string {
  return least === largest ? show(mean) : `${show(mean)} (${show(least)} to ${show(largest)})`;
}
