// Question: what do these runs look like in the form of the mHC paper's figures?
//
// Figures 2, 3, 5, 6, 7 and 8 of arXiv 2512.24880, drawn from runs of residual, HC and mHC models, with the
// paper's own values in light grey behind where they are known (paper-figures.ts). The paper's 50 000
// steps and 60 sublayers are stretched to those of the runs: what can be compared is the form.

import * as published from "../paper-figures.ts";
import type { RunData } from "../run-data.ts";
import { type Figure, PAPER_COLOUR, type Part, ruleAt, stepAxis, WIDTH, wholeSpec } from "./figure.ts";
import { gainPanels, gainsAt } from "./gains.ts";
import { chosenMatrices, matrixRow } from "./mixing.ts";
import { type ScalingPoint, scalingPoints } from "./scaling.ts";
import { bandLayer, gapBand, thinBand } from "./training.ts";
import { bandOf, digits, type Point, pointsOf, type Series, seriesOf, smooth } from "./series.ts";
import { kindColours } from "./palette.ts";

const GREY_NOTE =
  "Light grey: the mHC paper's 27B model (arXiv 2512.24880), read off its plots and stretched to these runs; other data, size and length.";

/** Figure 2: training loss of HC relative to mHC, and both gradient norms. */
export function figure2(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const [hyper, manifold] = [of(series, "hyper"), of(series, "manifold")];
  if (!hyper || !manifold) return undefined;
  return {
    name: "figure-2",
    title: "Training instability of HC (form of Figure 2)",
    caption: `(a) Training loss of HC minus that of mHC, smoothed. (b) Gradient norm before clipping, means over 1 % of the steps; the axis leaves out the peaks of the start and single spikes. ${GREY_NOTE}`,
    spec: wholeSpec({
      hconcat: [
        gapPanel("(a) HC minus mHC", [hyper], manifold, [hyper, manifold], [published.figure2Gap], runs),
        normPanel("(b) Gradient norm", [hyper, manifold], published.figure2Norms, runs),
      ],
      spacing: 36,
    }),
  };
}

/** Figure 3: single and composite gains of HC, on logarithmic axes. */
export function figure3(runs: readonly RunData[]): Figure | undefined {
  return gains(runs, "hyper", "figure-3", "Signal gain of HC (form of Figure 3)", published.figure3);
}

/** Figure 5: loss relative to the residual model's, and gradient norms of all. */
export function figure5(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const [residual, hyper, manifold] = [of(series, "residual"), of(series, "hyper"), of(series, "manifold")];
  if (!residual || !hyper || !manifold) return undefined;
  return {
    name: "figure-5",
    title: "Training stability of mHC (form of Figure 5)",
    caption: `(a) Training loss minus the residual model's, smoothed. (b) Gradient norm before clipping, means over 1 % of the steps; the axis leaves out the peaks of the start and single spikes. ${GREY_NOTE}`,
    spec: wholeSpec({
      hconcat: [
        gapPanel(
          "(a) Loss gap to residual",
          [hyper, manifold],
          residual,
          [residual, hyper, manifold],
          published.figure5Gaps,
          runs,
        ),
        normPanel("(b) Gradient norm", [residual, hyper, manifold], [], runs),
      ],
      spacing: 36,
    }),
  };
}

/** Figure 7: single and composite gains of mHC, on a linear axis from 0 to 2. */
export function figure7(runs: readonly RunData[]): Figure | undefined {
  return gains(runs, "manifold", "figure-7", "Signal gain of mHC (form of Figure 7)", published.figure7);
}

/** Figure 8: mixing matrices of HC and mHC, each above those that the paper prints. */
export function figure8(runs: readonly RunData[]): Figure | undefined {
  const series = seriesOf(runs);
  const rows = (["hyper", "manifold"] as const).flatMap((kind): Part[] => {
    const one = of(series, kind);
    const record = one?.runs[0]!.gains.findLast((candidate) => chosenMatrices(candidate).length > 0);
    if (!one || !record) return [];
    return [
      matrixRow(`${one.label}, step ${record.step}`, chosenMatrices(record)),
      matrixRow(`The paper's 27B model, ${kind === "hyper" ? "HC" : "mHC"}`, published.figure8[kind], 0.35),
    ];
  });
  if (rows.length === 0) return undefined;
  return {
    name: "figure-8",
    title: "Mixing matrices (form of Figure 8)",
    caption:
      "Averaged over the tokens of one sequence; row sums on the left, column sums below. Pale: the matrices printed in the mHC paper, of two digits; of some only sums are known here.",
    spec: wholeSpec({ vconcat: rows, spacing: 22 }),
  };
}

/** Figure 6: loss gap and relative loss by compute, with the paper's three sizes beside. */
export function figure6(points: readonly ScalingPoint[]): Figure | undefined {
  if (points.length === 0) return undefined;
  const paperLosses = [98.52, 98.68, 98.66];
  const ours = points.map(({ name, kind, flops, loss, baselineLoss }) => ({
    name,
    kind,
    flops,
    gap: digits(loss - baselineLoss),
    relative: digits((100 * loss) / baselineLoss),
  }));
  const paper = published.figure6Compute.points.map(([flops, gap], index) => ({
    name: ["3B", "9B", "27B"][index],
    flops,
    gap,
    relative: paperLosses[index],
  }));
  const kinds = [...new Set(points.map(({ kind }) => kind))];
  const panel = (field: "gap" | "relative", title: string): Part => {
    const all = [...ours, ...paper].map((value) => value[field]!);
    const rest = field === "gap" ? 0 : 100;
    const [low, high] = [Math.min(rest, ...all), Math.max(rest, ...all)];
    const margin = 0.08 * (high - low || 1);
    const y = {
      field,
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
    const rule = { data: { values: [{ [field]: rest }] }, mark: { type: "rule", opacity: 0.4, strokeDash: [2, 2] } };
    const line = { type: "line", strokeWidth: 2, point: { size: 50 } };
    return {
      hconcat: [
        {
          width: 390,
          height: 190,
          layer: [
            { ...rule, encoding: { y } },
            {
              data: { values: ours },
              mark: { ...line, tooltip: true },
              encoding: {
                x: { ...x, title: "FLOPs of training, these runs" },
                y,
                color: {
                  field: "kind",
                  type: "nominal",
                  title: null,
                  scale: { domain: kinds, range: kinds.map((kind) => kindColours[kind] ?? PAPER_COLOUR) },
                },
              },
            },
          ],
        },
        {
          width: 190,
          height: 190,
          layer: [
            { ...rule, encoding: { y: { ...y, title: null } } },
            {
              data: { values: paper },
              mark: { ...line, color: PAPER_COLOUR, opacity: 0.6, point: { color: PAPER_COLOUR, size: 50 } },
              encoding: { x: { ...x, title: "the paper's 3B, 9B, 27B" }, y: { ...y, title: null } },
            },
          ],
        },
      ],
      spacing: 16,
    };
  };
  return {
    name: "figure-6",
    title: "Loss by compute (form of Figure 6)",
    caption:
      "Final loss minus the residual model's of the same size, and as a share of it. On the right in grey the mHC paper's three sizes, read off its Figure 6a, many powers of ten away.",
    spec: wholeSpec({ vconcat: [panel("gap", "loss gap, nats a token"), panel("relative", "relative loss, %")] }),
  };
}

/** All that can be drawn of these runs: by compute where there are several sizes, else what is of one. */
export function paperFigures(runs: readonly RunData[]): Figure[] {
  const points = scalingPoints(runs);
  if (new Set(points.map(({ flops }) => flops)).size > 1) return [figure6(points) ?? []].flat();
  return [figure2, figure3, figure5, figure7, figure8].flatMap((figure) => figure(runs) ?? []);
}

function of(series: readonly Series[], kind: string): Series | undefined {
  return series.find((one) => one.kind === kind);
}

function gains(
  runs: readonly RunData[],
  kind: string,
  name: string,
  title: string,
  paper: published.PaperGains,
): Figure | undefined {
  const series = of(seriesOf(runs), kind);
  const record = series && gainsAt(series.runs[0]!);
  if (!record) return undefined;
  const panels = gainPanels({
    title: `${series.label}, step ${record.step}`,
    colour: series.colour,
    record,
    paper: { gains: paper, depth: published.paperSublayers },
  });
  return {
    name,
    title,
    caption: `Amax gain by sublayer, attention and feed-forward counted separately: of single sublayers and of their products, forward of sublayers 1 to l, backward of l to the last. ${GREY_NOTE}`,
    spec: wholeSpec(panels),
  };
}

/** The paper's curves on this run's steps. */
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

/** What happens before it dwarfs all else. */
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
    title,
    width: (WIDTH - 170) / 2,
    height: 220,
    layer: [
      ruleAt(0),
      ...paperLayer(paper, lastStep(runs)),
      bandLayer(gaps, shown, { title: "loss gap, nats a token" }),
    ],
  };
}

/** Linear, as the paper's; the start of training and single spikes may leave the axis. */
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
  const layers = [...paperLayer(paper, steps), bandLayer(bands, series, { title: "gradient norm" })];
  return {
    title,
    width: (WIDTH - 170) / 2,
    height: 220,
    layer: layers.map((layer) => onAxis(layer, domain)),
  };
}

/** A layer, and those inside it, clipped to an axis of this scale. */
function onAxis(part: Part, domain: Part): Part {
  if (Array.isArray(part.layer)) return { ...part, layer: part.layer.map((inner: Part) => onAxis(inner, domain)) };
  const encoding = part.encoding as Part;
  return {
    ...part,
    mark: { ...(part.mark as Part), clip: true },
    encoding: { ...encoding, y: { ...(encoding.y as Part), ...domain } },
  };
}
