// Question: what do these runs look like in the form of the mHC paper's figures?
//
// Figures 2, 3, 5, 6, 7 and 8 of arXiv 2512.24880, drawn from runs of residual, HC and mHC models, with the
// paper's own values in light grey behind where they are known (paper-figures.ts). The paper's 50 000
// steps and 60 sublayers are scaled to those of the runs: only the form can be compared.

import * as published from "../paper-figures.ts";
import type { RunData } from "../../runs/run-data.ts";
import { type Figure, PAPER_COLOUR, type Part, ruleAt, seriesEncoding, stepAxis, WIDTH, wholeSpec } from "./figure.ts";
import { gainPanels } from "./gains.ts";
import { matrixRow, middleNote, mixingRow } from "./mixing.ts";
import { colourOf, dashes } from "./palette.ts";
import { experimentOverSizes, type ScalingPoint } from "./scaling.ts";
import { bandLayer, gapBand, thinBand } from "./training.ts";
import {
  bandNote,
  bandOf,
  digits,
  type Point,
  hasDiverged,
  pointsOf,
  type Series,
  seriesOf,
  smooth,
} from "./series.ts";

const GREY_NOTE =
  "Light grey: the mHC paper's 27B model (arXiv 2512.24880), read off its plots and scaled to these runs; its data, size and length differ.";

/** Figure 2: training loss of HC relative to mHC, and both gradient norms. */
export function figure2(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const [hc, mhc] = [of(series, "hc"), of(series, "mhc")];
  if (!hc || !mhc) return undefined;
  return {
    name: "figure-2",
    title: "Training instability of HC (form of Figure 2)",
    caption: `(a) Training loss of HC minus that of mHC, smoothed${bandNote([hc, mhc])}. (b) Gradient norm before clipping, means over 1 % of the steps; the axis leaves out the peaks of the start and single spikes; the paper's norms have the axis on the right. ${GREY_NOTE}`,
    spec: wholeSpec({
      hconcat: [
        gapPanel("(a) HC minus mHC", [hc], mhc, [hc, mhc], [published.figure2Gap], runs),
        normPanel("(b) Gradient norm", [hc, mhc], published.figure2Norms, runs),
      ],
      spacing: 36,
    }),
  };
}

/** Figure 3: single and composite gains of HC, on logarithmic axes. */
export function figure3(runs: readonly RunData[]): Figure | undefined {
  return gains(runs, "hc", "figure-3", "Signal gain of HC (form of Figure 3)", published.figure3);
}

/** Figure 5: loss relative to the residual model's, and gradient norms of all. */
export function figure5(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const [residual, hc, mhc] = [of(series, "residual"), of(series, "hc"), of(series, "mhc")];
  if (!residual || !hc || !mhc) return undefined;
  return {
    name: "figure-5",
    title: "Training stability of mHC (form of Figure 5)",
    caption: `(a) Training loss minus the residual model's, smoothed${bandNote([residual, hc, mhc])}. (b) Gradient norm before clipping, means over 1 % of the steps; the axis leaves out the peaks of the start and single spikes. ${GREY_NOTE}`,
    spec: wholeSpec({
      hconcat: [
        gapPanel("(a) Loss gap to residual", [hc, mhc], residual, [residual, hc, mhc], published.figure5Gaps, runs),
        normPanel("(b) Gradient norm", [residual, hc, mhc], [], runs),
      ],
      spacing: 36,
    }),
  };
}

/** Figure 7: single and composite gains of mHC, on a linear axis from 0 to 2. */
export function figure7(runs: readonly RunData[]): Figure | undefined {
  return gains(runs, "mhc", "figure-7", "Signal gain of mHC (form of Figure 7)", published.figure7);
}

/** Figure 8: mixing matrices of HC and mHC, each above those printed in the paper. */
export function figure8(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const rows = (["hc", "mhc"] as const).flatMap((kind): Part[] => {
    const one = of(series, kind);
    const row = one && mixingRow(one);
    if (!row) return [];
    return [row, matrixRow(`The paper's 27B model, ${kind === "hc" ? "HC" : "mHC"}`, published.figure8[kind], 0.35)];
  });
  if (rows.length === 0) return undefined;
  return {
    name: "figure-8",
    title: "Mixing matrices (form of Figure 8)",
    caption: `Averaged over the tokens of one sequence; row sums on the left, column sums below. The pale matrices are those printed in the mHC paper, with two digits; hatched ones: only their sums are known here.${middleNote(series)}`,
    spec: wholeSpec({ vconcat: rows, spacing: 22 }),
  };
}

/** Figure 6: loss gap and relative loss by compute, with the paper's three sizes beside them. */
export function figure6(points: readonly ScalingPoint[]): Figure | undefined {
  if (points.length === 0) return undefined;
  const most = Math.max(...points.map(({ seeds }) => seeds));
  return {
    name: "figure-6",
    title: "Loss by compute (form of Figure 6)",
    caption: `Final loss minus the residual model's of the same size${most > 1 ? " and, where it has one, seed" : ""}, and as a share of it${most > 1 ? `; over up to ${most} seeds the mean, with a band from the smallest to the largest` : "; one seed each"}. On the right, in grey: the mHC paper's three sizes, read off its Figure 6a, many powers of ten away.`,
    spec: wholeSpec({
      vconcat: [
        computePanel(points, "gap", { title: "loss gap, nats a token", level: 0 }),
        computePanel(points, "relative", { title: "relative loss, %", level: 100 }),
      ],
    }),
  };
}

/** The relative losses of 3B, 9B and 27B, printed beside Figure 6a, in percent. */
const paperRelative = [98.52, 98.68, 98.66];

/** One value by compute: these runs on the left, the paper's on the right, on the same vertical axis. */
function computePanel(
  points: readonly ScalingPoint[],
  field: "gap" | "relative",
  { title, level }: { readonly title: string; readonly level: number },
): Part {
  const own = points.map(({ name, label, flops, seeds, [field]: { mean, least, largest } }) => {
    const band = seeds > 1 ? { least: digits(least), largest: digits(largest) } : {};
    return { size: name, series: label, flops, value: digits(mean), ...band };
  });
  const paper = published.figure6Compute.points.map(([flops, gap], index) => ({
    size: ["3B", "9B", "27B"][index],
    flops,
    value: field === "gap" ? gap : paperRelative[index]!,
  }));
  const extent = own.flatMap(({ value, least = value, largest = value }) => [least, largest]);
  const all = [level, ...extent, ...paper.map(({ value }) => value)];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const margin = 0.08 * (high - low || 1);
  const y = {
    field: "value",
    type: "quantitative",
    title,
    scale: { domain: [low - margin, high + margin], nice: false },
  };
  const x = {
    field: "flops",
    type: "quantitative",
    scale: { type: "log", nice: false, padding: 24 },
    axis: { format: "~e", tickCount: 4 },
  };
  const style = seriesEncoding(curvesOf(points));
  const line = { type: "line", strokeWidth: 2, point: { size: 50 } };
  const band: Part = {
    mark: { type: "area", opacity: 0.2 },
    encoding: { y: { ...y, field: "least" }, y2: { field: "largest" }, color: style.color },
  };
  const panel = (width: number, values: readonly unknown[], name: string, vertical: Part, layer: Part[]): Part => ({
    width,
    height: 190,
    layer: [
      {
        data: { values: [{ value: level }] },
        mark: { type: "rule", opacity: 0.4, strokeDash: [2, 2] },
        encoding: { y: vertical },
      },
      { data: { values }, encoding: { x: { ...x, title: name } }, layer },
    ],
  });
  return {
    hconcat: [
      panel(390, own, "FLOPs of training, these runs", y, [
        ...(own.some(({ least }) => least !== undefined) ? [band] : []),
        { mark: { ...line, tooltip: { content: "data" } }, encoding: { y, ...style } },
      ]),
      panel(190, paper, "the paper's 3B, 9B, 27B", { ...y, title: null }, [
        {
          mark: { ...line, color: PAPER_COLOUR, opacity: 0.6, point: { color: PAPER_COLOUR, size: 50 } },
          encoding: { y: { ...y, title: null } },
        },
      ]),
    ],
    spacing: 16,
  };
}

/** The look of each connection's curve. */
function curvesOf(points: readonly ScalingPoint[]): Pick<Series, "label" | "colour" | "dash">[] {
  const kinds = new Map(points.map(({ label, kind }) => [label, kind]));
  return [...kinds].map(([label, kind]) => ({
    label,
    colour: colourOf(kind),
    dash: dashes[[...kinds].filter(([, other]) => other === kind).findIndex(([name]) => name === label)] ?? [1, 0],
  }));
}

/** All figures that can be drawn from these runs: by compute if there are several sizes, otherwise those of one size. */
export function paperFigures(runs: readonly RunData[]): Figure[] {
  const points = experimentOverSizes(runs);
  if (points.length > 0) return [figure6(points) ?? []].flat();
  return [figure2, figure3, figure5, figure7, figure8].flatMap((figure) => figure(runs) ?? []);
}

/** The series of a kind; of several the one with the most runs that did not diverge. */
function of(series: readonly Series[], kind: string): Series | undefined {
  const sound = ({ runs }: Series): number => runs.filter((run) => !hasDiverged(run)).length;
  return series.filter((one) => one.kind === kind).sort((a, b) => sound(b) - sound(a))[0];
}

function gains(
  runs: readonly RunData[],
  kind: string,
  name: string,
  title: string,
  paper: published.PaperGains,
): Figure | undefined {
  const series = of(seriesOf(runs), kind);
  const panels = series && gainPanels(series, { paper: { gains: paper, depth: published.paperSublayers } });
  if (!panels) return undefined;
  return {
    name,
    title,
    caption: `Amax gain by sublayer, attention and feed-forward counted separately: of single sublayers and of their products, forward of sublayers 1 to l, backward of l to the last${bandNote([series], "median")}. ${GREY_NOTE}`,
    spec: wholeSpec(panels),
  };
}

/** The paper's curves, scaled to this run's steps. */
function paperLayer(curves: readonly published.PaperCurve[], steps: number): Part[] {
  if (curves.length === 0) return [];
  const values = curves.flatMap(({ name, points }) =>
    points.map(([step, y]) => ({ step: Math.round((step * steps) / published.paperSteps), y, curve: name })),
  );
  return [
    {
      data: { values },
      mark: { type: "line", strokeWidth: 5, color: PAPER_COLOUR, opacity: 0.35, strokeCap: "round" },
      encoding: { x: stepAxis, y: { field: "y", type: "quantitative" }, detail: { field: "curve" } },
    },
    ...curves.map(({ name }, index) => ({
      data: { values: [values.findLast(({ curve }) => curve === name)] },
      mark: { type: "text", align: "right", dy: index === 0 ? -9 : 12, fontSize: 10, color: PAPER_COLOUR },
      encoding: { x: stepAxis, y: { field: "y", type: "quantitative" }, text: { field: "curve" } },
    })),
  ];
}

const lastStep = (runs: readonly RunData[]): number =>
  runs.reduce((last, { metrics }) => Math.max(last, metrics.at(-1)?.step ?? 0), 0);

/** Earlier steps would dwarf everything else. */
const WARM_UP = 0.1;

function gapPanel(
  title: string,
  series: readonly Series[],
  base: Series,
  shown: readonly Series[],
  paper: readonly published.PaperCurve[],
  runs: readonly RunData[],
): Part {
  const gaps = series.map((one) => ({ label: one.label, band: gapBand(one, base) }));
  return {
    title: titleOf(title),
    width: (WIDTH - 170) / 2,
    height: 220,
    layer: [
      ruleAt(0),
      ...paperLayer(paper, lastStep(runs)),
      bandLayer(gaps, shown, { title: "loss gap, nats a token" }),
    ],
  };
}

/** A linear axis, like the paper's; the start of training and single spikes may leave it. */
function normPanel(
  title: string,
  series: readonly Series[],
  paper: readonly published.PaperCurve[],
  runs: readonly RunData[],
): Part {
  const steps = lastStep(runs);
  const norms = series.map(({ runs: members }) =>
    members.map(({ metrics }) => pointsOf(metrics, ({ gradientNorm }) => gradientNorm)),
  );
  const bands = series.map(({ label }, index) => ({
    label,
    band: thinBand(bandOf(norms[index]!.map((curve): Point[] => smooth(curve, 0.01)))),
  }));
  const settled = bands
    .flatMap(({ band }) => band.filter(({ x }) => x > WARM_UP * steps).map(({ largest }) => largest))
    .sort((a, b) => a - b);
  const top = settled[Math.floor(0.99 * (settled.length - 1))];
  const domain = top === undefined || !(top > 0) ? {} : { scale: { domain: [0, digits(1.25 * top)] } };
  const left = { ...domain, axis: { orient: "left" } };
  const own = onAxis(bandLayer(bands, series, { title: "gradient norm" }), left);
  const panel = { title: titleOf(title), width: (WIDTH - 170) / 2, height: 220 };
  if (paper.length === 0) return { ...panel, layer: [own] };
  // Norms depend on the number of parameters: on one axis either's would lie on the ground.
  const highest = Math.max(...paper.flatMap(({ points }) => points.map(([, y]) => y)));
  const right = {
    title: "the paper's gradient norm",
    scale: { domain: [0, digits(1.25 * highest)], nice: false },
    axis: { orient: "right", grid: false, tickCount: 5 },
  };
  const behind = { layer: paperLayer(paper, steps).map((layer) => withAxis(layer, right)) };
  return { ...panel, width: panel.width - RIGHT_AXIS, layer: [behind, own], resolve: { scale: { y: "independent" } } };
}

/** Above the plot, whatever is drawn out of it. */
const titleOf = (text: string): Part => ({ text, frame: "group" });

/** Room for the labels and the title of an axis on the right. */
const RIGHT_AXIS = 50;

/** A layer whose vertical axis is this one. */
function withAxis(part: Part, axis: Part): Part {
  const encoding = part.encoding as Part;
  return { ...part, encoding: { ...encoding, y: { ...(encoding.y as Part), ...axis } } };
}

/** A layer and the layers inside it, clipped to an axis of this scale. */
function onAxis(part: Part, domain: Part): Part {
  if (Array.isArray(part.layer)) return { ...part, layer: part.layer.map((inner: Part) => onAxis(inner, domain)) };
  return { ...withAxis(part, domain), mark: { ...(part.mark as Part), clip: true } };
}
