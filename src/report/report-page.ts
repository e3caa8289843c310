// Question: what is in a report, and in which order?
//
// A report is one HTML file that needs nothing else. Every figure is a drawing (SVG), for paper and for readers without
// scripts, and a Vega-Lite specification that becomes interactive when it comes into view; Vega itself is inside the
// file. The page may run only the scripts whose hashes it names, and may load nothing.

import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { showSource, type TrainingConfig } from "../training/config.ts";
import { configDifferences } from "./config-differences.ts";
import type { Figure } from "./figures/figure.ts";
import { gainMapFigure, gainProfileFigure, gainTimeFigure } from "./figures/gains.ts";
import { interventionsFigure } from "./figures/interventions.ts";
import { mixingFigure } from "./figures/mixing.ts";
import { paperFigures } from "./figures/paper.ts";
import { paperTable } from "./paper-comparison.ts";
import { robustnessFigure } from "./figures/robustness.ts";
import { robustnessMarkup } from "./robustness-tables.ts";
import { reasoningFigures } from "./figures/reasoning.ts";
import { reasoningMarkup } from "./reasoning-tables.ts";
import { seriesOf } from "./figures/series.ts";
import { mixingStrengthFigure, saturationFigure, streamUseFigure } from "./figures/streams.ts";
import {
  expertLoadFigure,
  gradientNormFigure,
  lossFigure,
  lossGapFigure,
  validationFigure,
} from "./figures/training.ts";
import { findings, gainText, runNumbers, type RunNumbers, scaleSentence } from "./findings.ts";
import { html, type Markup, scriptJson, trusted } from "./html.ts";
import { renderSvg } from "./render.ts";
import { reportStyle } from "./report-style.ts";
import { lossUnit } from "./units.ts";
import { reproduceCommand } from "./reproduce.ts";
import { describeChange } from "../runs/identity.ts";
import type { RunData } from "../runs/run-data.ts";

export interface ReportOptions {
  /** The title (default: the folder that the runs share, or the run's name). */
  readonly title?: string;
  /** Name of the run that losses are compared with (default: a plain residual, else the first). */
  readonly baseline?: string;
  /** The step at which gains and matrices are shown (default: the last measured one). */
  readonly step?: number;
  /** Whether to add figures in the form of the mHC paper's, with its values behind. */
  readonly paper?: boolean;
}

interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: readonly (Markup | Figure | undefined)[];
}

/** Every figure that these runs have data for, by section. */
export function reportFigures(runs: readonly RunData[], options: ReportOptions = {}): Figure[] {
  return figureSections(runs, options).flatMap(({ body }) => body.filter(isFigure));
}

/**
 * The report of runs as one HTML document that needs no other file.
 *
 * @param runs as `readRunData` reads them, in the order of the list
 */
export async function reportHtml(runs: readonly RunData[], options: ReportOptions = {}): Promise<string> {
  const numbers = runNumbers(runs);
  const sections: Section[] = [
    { id: "runs", title: "Runs", body: [summaryTable(runs, numbers)] },
    ...figureSections(runs, options),
    { id: "alarms", title: "Alarms", body: [alarmTable(runs)] },
    { id: "samples", title: "Samples", body: runs.slice(0, MOST_SAMPLES).map(sampleOf) },
    { id: "differences", title: "Configurations", body: [differenceTable(runs)] },
    { id: "commands", title: "Train them again", body: [commands(runs)] },
    { id: "size", title: "What this does not say", body: [html`<p>${scaleSentence(runs)}</p>`] },
    { id: "problems", title: "What could not be read", body: [problems(runs)] },
  ]
    .map((section) => ({ ...section, body: section.body.filter((part) => part !== undefined) }))
    .filter(({ body }) => body.length > 0);
  const title = options.title ?? titleOf(runs);
  const drawn: Markup[] = [];
  let number = 0;
  for (const { id, title: heading, body } of sections) {
    const parts: Markup[] = [];
    for (const part of body) parts.push(isFigure(part) ? await drawFigure(part, (number += 1), heading) : part!);
    drawn.push(
      html`<section id="${id}">
        <h2>${heading}</h2>
        ${parts}
      </section> `,
    );
  }
  return documentOf(
    title,
    html`<header>
        <h1>${title}</h1>
        <p class="soft">${aboutRuns(runs)}</p>
        <div class="summary">
          ${findings(runs).map((sentence) => html`<p>${sentence}</p>`)}
          <p class="soft small">${scaleSentence(runs)}</p>
        </div>
        <nav aria-label="Contents">
          ${sections.map(({ id, title: heading }) => html`<a href="#${id}">${heading}</a>`)}
        </nav>
      </header>
      ${drawn}
      <footer>Made by birkhoff report. Colours are the same in all figures: one for each connection.</footer>`,
  );
}

function figureSections(runs: readonly RunData[], options: ReportOptions): Section[] {
  const { baseline, step, paper = false } = options;
  const sections: Section[] = [
    { id: "loss", title: "Loss", body: [lossGapFigure(runs, baseline), lossFigure(runs), validationFigure(runs)] },
    { id: "gradient-norm", title: "Gradient norm", body: [gradientNormFigure(runs)] },
    {
      id: "gains",
      title: "Signal gain",
      body: [gainProfileFigure(runs, step), gainTimeFigure(runs), gainMapFigure(runs)],
    },
    { id: "mixing", title: "Mixing matrices", body: [mixingFigure(runs, step), mixingStrengthFigure(runs)] },
    { id: "saturation", title: "Saturation", body: [saturationFigure(runs)] },
    { id: "streams", title: "Streams", body: [streamUseFigure(runs)] },
    { id: "experts", title: "Experts", body: [expertLoadFigure(runs)] },
    {
      id: "reasoning",
      title: "Reasoning",
      body: [reasoningMarkup(runs), ...reasoningFigures(runs)],
    },
    { id: "interventions", title: "Interventions", body: [interventionsFigure(runs)] },
    { id: "robustness", title: "Robustness", body: [robustnessMarkup(runs), robustnessFigure(runs)] },
    {
      id: "paper",
      title: "Beside the mHC paper",
      body: paper ? [paperTable(runs), ...paperFigures(runs)] : [],
    },
  ];
  return sections;
}

const isFigure = (part: Markup | Figure | undefined): part is Figure => typeof part === "object" && "spec" in part;

async function drawFigure({ title, caption, spec }: Figure, number: number, heading: string): Promise<Markup> {
  const svg = await renderSvg(spec, { prefix: `figure${number}-` });
  return html`<figure>
    ${title !== heading && html`<h3>${title}</h3>`}
    <div class="drawing" id="figure${number}" role="img" aria-label="${title}">${trusted(svg)}</div>
    ${trusted(`<script type="application/json" data-figure="figure${number}">${scriptJson(spec)}</script>`)}
    <figcaption>${caption}</figcaption>
  </figure> `;
}

const columns: readonly (readonly [title: string, show: (row: RunNumbers) => string])[] = [
  ["seed", ({ seed }) => show(seed, String)],
  ["parameters", ({ parameters }) => show(parameters, whole)],
  [
    "steps",
    ({ step, steps }) => (step === steps ? show(step, whole) : `${show(step, whole)} of ${show(steps, whole)}`),
  ],
  ["training loss", ({ loss }) => show(loss, (value) => value.toFixed(4))],
  ["validation loss", ({ validationLoss }) => show(validationLoss, (value) => value.toFixed(4))],
  ["bits a byte", ({ bitsPerByte }) => show(bitsPerByte, (value) => value.toFixed(4))],
  ["max gradient norm", ({ largestGradientNorm }) => show(largestGradientNorm, gainText)],
  ["max gain", ({ largestGain }) => show(largestGain, gainText)],
  ["tokens/s", ({ tokensPerSecond }) => show(tokensPerSecond, (value) => whole(Math.round(value)))],
  ["alarms", ({ alarms }) => (alarms === 0 ? "" : whole(alarms))],
];

function summaryTable(runs: readonly RunData[], numbers: readonly RunNumbers[]): Markup {
  const series = seriesOf(runs);
  const rows = runs.map((run, index) => {
    const row = numbers[index]!;
    const { colour } = series.find((one) => one.runs.includes(run))!;
    return html`<tr>
      <td>
        <div class="name" title="${run.folder}">
          <span class="key" style="background:${colour}"></span
          >${run.name}${row.diverged && html` <span class="warn">(diverged)</span>`}
        </div>
      </td>
      ${columns.map(([, cell]) => html`<td>${cell(row)}</td>`)}
    </tr>`;
  });
  return html`<div class="wide">
      <table>
        <thead>
          <tr>
            <th>run</th>
            ${columns.map(([title]) => html`<th>${title}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>
    <p class="soft small">
      Losses${lossUnit(runs, " in ")}: training over the last 5 % of the steps, validation as last measured. Max gain is
      the largest composite Amax gain, forward or backward; a plain residual mixes no streams. Tokens a second is the
      median of the machine that trained it, with whatever else ran there.
    </p>`;
}

const MOST_ALARMS = 100;

function alarmTable(runs: readonly RunData[]): Markup | undefined {
  const all = runs.flatMap(({ name, events }) => events.map((event) => ({ name, event })));
  if (all.length === 0) return undefined;
  return html`<div class="wide">
      <table class="left wrap">
        <thead>
          <tr>
            <th>run</th>
            <th>step</th>
            <th>rule</th>
            <th>what was seen</th>
            <th>then</th>
          </tr>
        </thead>
        <tbody>
          ${all.slice(0, MOST_ALARMS).map(
            ({ name, event }) =>
              html`<tr>
                <td>${name}</td>
                <td>${event.step}</td>
                <td>${event.rule}</td>
                <td>${event.message}</td>
                <td>${event.action === "continue" ? "went on" : event.action}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${all.length > MOST_ALARMS && html`<p class="soft">${all.length - MOST_ALARMS} more are in the runs' events.jsonl.</p>`}`;
}

const MOST_SAMPLES = 12;
const LONGEST_SAMPLE = 1500;

/** The last text that a run has written. */
function sampleOf({ name, samples }: RunData): Markup | undefined {
  const last = samples.split("\n\n").findLast((text) => text.trim() !== "");
  if (last === undefined) return undefined;
  const text = last.length > LONGEST_SAMPLE ? `${last.slice(0, LONGEST_SAMPLE)} …` : last;
  return html`<h3>${name}</h3>
    <pre>${text}</pre>`;
}

function differenceTable(runs: readonly RunData[]): Markup {
  const differences = configDifferences(runs);
  if (runs.length < 2) return html`<p>There is one run; its whole configuration is in its config.json.</p>`;
  if (differences.length === 0) return html`<p>All configurations are the same except for their names.</p>`;
  return html`<p>The runs differ in these fields; all others are the same.</p>
    <div class="wide">
      <table class="left wrap">
        <thead>
          <tr>
            <th>field</th>
            ${runs.map(({ name }) => html`<th>${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${differences.map(
            ({ field, values }) =>
              html`<tr>
                <td>${field}</td>
                ${values.map((value) => html`<td>${value}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

function commands(runs: readonly RunData[]): Markup | undefined {
  const known = runs.filter((run): run is RunData & { config: TrainingConfig } => run.config !== undefined);
  if (known.length === 0) return undefined;
  const lines = known.map(({ name, config }) => `${reproduceCommand(config)} --out ${shellName(name)}`);
  const piped = known.some(({ config }) => config.data.source === "-");
  const upcycled = known
    .filter(({ config }) => config.upcycledFrom ?? config.importedFrom ?? config.startedFrom)
    .map(({ name }) => name);
  const changed = known.flatMap(({ name, changes }) => changes.map((change) => `${name}, ${describeChange(change)}`));
  const versions = [...new Set(known.map(({ versions: each }) => versionsText(each)).filter((text) => text !== ""))];
  return html`<p>The same text, options and seeds give the same numbers, bit by bit, on the same kernels.</p>
    <pre>${lines.join("\n")}</pre>
    ${piped && html`<p>The text came from standard input; it must be piped in again.</p>`}
    ${upcycled.length > 0 && html`<p>Not from scratch: ${upcycled.join(", ")} began with the weights of another run or model (birkhoff convert, birkhoff import, --from), which these commands do not repeat.</p>`}
    ${changed.length > 0 && html`<p>Changed by a resume: ${changed.join("; ")}. The commands have the last values from the first step on, so they do not repeat these runs.</p>`}
    ${versions.length > 0 && html`<p class="soft small">Trained with ${versions.slice(0, MOST_VERSIONS).join("; and with ")}${versions.length > MOST_VERSIONS && "; and with others"}.</p>`}`;
}

const MOST_VERSIONS = 5;

const versionNames: Readonly<Record<string, string>> = { node: "Node", v8: "V8", kernels: "kernels" };

/** "Node 24.21.0, V8 13.6 and kernels relaxed 16". */
function versionsText(versions: RunData["versions"]): string {
  const parts = Object.entries(versions ?? {}).map(([name, version]) => `${versionNames[name] ?? name} ${version}`);
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

/** Quote a folder's name for a POSIX shell. */
function shellName(name: string): string {
  const folder = `runs/${name}`;
  return /^[\w./=-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", "'\\''")}'`;
}

const MOST_PROBLEMS = 60;

function problems(runs: readonly RunData[]): Markup | undefined {
  const all = runs.flatMap(({ name, problems: lines }) => lines.map((line) => `${name}: ${line}`));
  if (all.length === 0) return undefined;
  const shown = all.slice(0, MOST_PROBLEMS).map((line) => (line.length > 400 ? `${line.slice(0, 400)} …` : line));
  return html`<p>Everything else in these folders was read; these parts were left out.</p>
    <pre>${shown.join("\n")}</pre>
    ${all.length > MOST_PROBLEMS && html`<p>and ${all.length - MOST_PROBLEMS} more.</p>`}`;
}

function titleOf(runs: readonly RunData[]): string {
  const [only] = runs;
  if (runs.length === 1) return only!.name;
  const parents = new Set(runs.map(({ folder }) => path.dirname(path.resolve(folder))));
  return parents.size === 1 ? path.basename([...parents][0]!) : `${runs.length} runs`;
}

function aboutRuns(runs: readonly RunData[]): string {
  const config = runs.find((run) => run.config)?.config;
  const count = `${runs.length} ${runs.length === 1 ? "run" : "runs"}`;
  if (!config) return count;
  const { layers, width, context } = config.model;
  const same = runs.every(
    ({ config: other }) =>
      other?.model.layers === layers && other.model.width === width && other.model.context === context,
  );
  const size = same ? ` of ${layers} layers, width ${width}, context ${context}` : " of several sizes";
  const texts = new Set(runs.flatMap((run) => (run.config ? [showSource(run.config.data.source)] : [])));
  return `${count}${size}, on ${texts.size === 1 ? [...texts][0] : `${texts.size} texts`}.`;
}

function show(value: number | undefined, as: (value: number) => string): string {
  return value === undefined || !Number.isFinite(value) ? "–" : as(value);
}

const whole = (value: number): string => value.toLocaleString("en");

/** Makes each figure interactive when it comes near the window. The drawing stays if that fails. */
const upgrade = `
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = (holder) => {
    const data = document.querySelector('script[data-figure="' + holder.id + '"]');
    const live = document.createElement("div");
    vegaEmbed(live, JSON.parse(data.textContent), {
      renderer: "svg", actions: false, mode: "vega-lite", tooltip: { theme: dark.matches ? "dark" : "light" },
    }).then(() => holder.replaceChildren(live), () => undefined);
  };
  const holders = document.querySelectorAll(".drawing");
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) { near.unobserve(target); show(target); }
  }, { rootMargin: "400px" });
  for (const holder of holders) near.observe(holder);
})();
`;

function documentOf(title: string, body: Markup): string {
  const scripts = [...libraries(), upgrade];
  // Script elements are built outside the template, because a hash covers every character between the tags.
  const hashes = scripts.map((script) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`);
  // Vega compiles its expressions with Function; nothing may be loaded or sent.
  const policy = `default-src 'none'; script-src ${hashes.join(" ")} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${trusted(policy)}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <style>
          ${trusted(reportStyle)}
        </style>
      </head>
      <body>
        <main>${body}</main>
        ${scripts.map((script) => trusted(`<script>${script}</script>`))}
      </body>
    </html> `.toString();
}

/** Vega's own builds for the browser, beside their modules. */
function libraries(): string[] {
  const require = createRequire(import.meta.url);
  return [
    [require.resolve("vega"), "vega.min.js"],
    [require.resolve("vega-lite"), "vega-lite.min.js"],
    [require.resolve("vega-embed"), "vega-embed.min.js"],
  ].map(([module, file]) => {
    const text = fs.readFileSync(path.join(path.dirname(module!), file!), "utf8");
    // Drop the reference to a source map, which does not exist beside the report.
    const script = text.replace(/\n?\/\/# sourceMappingURL=.*\s*$/, "\n");
    if (/<\/script|<!--/i.test(script))
      throw new Error(`report: ${file} cannot be placed inside HTML, because it holds the end tag of a script`);
    return script;
  });
}
