// Question: how is what an experiment found written as a page?
//
// Markdown with its figures as files beside it: the question, the answer, the parts of the study, how it was made (the
// exact command, seeds, sizes, time, machine), and what it does not show. The first lines have a fixed form, so that the
// summary of a folder of pages can be made from the pages.

import { showMany } from "../basics/show.ts";
import type { Figure } from "../report/figures/figure.ts";
import { fieldOf } from "../runs/sweep/definition.ts";
import type { Experiment, PagePart, SizeName, StudiedRun, StudyPage, StudyRuns } from "./study.ts";

/** What a page says of how it was made. */
export interface Making {
  readonly name: string;
  readonly size: SizeName;
  readonly command: string;
  readonly runs: StudyRuns;
  /** Such as "Node 24.21.0, 2 cores of an AMD EPYC, 2026-11-22". */
  readonly machine: string;
  /** Runs of the sweep that have not ended. */
  readonly missing: number;
}

/** A file of a page. */
export interface PageFigure {
  readonly file: string;
  readonly figure: Figure;
}

/** The text of the page, and the figures that it shows. */
export function writeStudyPage(
  { question }: Pick<Experiment, "question">,
  page: StudyPage,
  studied: readonly StudiedRun<unknown>[],
  making: Making,
): { readonly text: string; readonly figures: readonly PageFigure[] } {
  const { name, size } = making;
  const figures = page.parts.flatMap(({ figure }) =>
    figure ? [{ file: `${name}-${figure.name}.svg`, figure } satisfies PageFigure] : [],
  );
  const blocks = [
    `# ${name[0]!.toUpperCase()}${name.slice(1)}`,
    `${QUESTION} ${question}`,
    `${ANSWER} ${size === "tiny" ? `${TINY} ` : ""}${page.answer}`,
    ...page.parts.flatMap((part) => partBlocks(part, figures)),
    "## How it was made",
    ...makingBlocks(studied, making),
    ...(page.documents ? ["## Beside the documents", list(page.documents)] : []),
    "## What it does not show",
    list(page.notShown),
  ];
  return { text: `${blocks.join("\n\n")}\n`, figures };
}

const QUESTION = "**Question.**";
const ANSWER = "**Answer.**";
const TINY = "(At the tiny size, which shows that the study works and settles nothing.)";

function partBlocks({ title, text = [], table, figure }: PagePart, figures: readonly PageFigure[]): string[] {
  const file = figures.find((one) => one.figure === figure)?.file;
  return [
    `## ${title}`,
    ...text,
    ...(table ? [markdownTable(table)] : []),
    ...(figure && file ? [`![${figure.title}](${file})`, `*${figure.caption}*`] : []),
  ];
}

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join("\n");

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** A table of Markdown; the first row has the headings. */
function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function duration(seconds: number): string {
  if (seconds < 120) return showMany(Math.round(seconds), "second");
  return seconds < 7200 ? `${Math.round(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`;
}

function makingBlocks(
  studied: readonly StudiedRun<unknown>[],
  { command, runs, machine, missing }: Making,
): readonly string[] {
  const time = duration(studied.reduce((sum, { result }) => sum + result.seconds, 0));
  const seeds = [...new Set(studied.map(({ result }) => result.seed))].sort((a, b) => a - b);
  const lost = missing === 0 ? "" : ` ${showMany(missing, "run")} of the study had not ended when this was written.`;
  const shown = (record: object): string =>
    Object.entries(record)
      .map(([field, value]) => `\`${field}\` ${JSON.stringify(value)}`)
      .join(", ");
  const axes = Object.entries(runs.axes).filter(([axis]) => fieldOf(axis) !== "seed");
  return [
    `\`\`\`sh\n${command}\n\`\`\``,
    `${showMany(studied.length, "run")}, ${seeds.length === 1 ? "seed" : "seeds"} ${seeds.join(", ")}, ${time} of training in all; ${machine}.${lost} After ± stands the 95 % interval over seeds, by Student's t where nothing else is said; differences are taken seed by seed. The same command goes on where it was stopped; a larger \`--seeds\` adds seeds.`,
    `All runs have ${shown(runs.base)}. What varies: ${axes.map(([axis, values]) => `\`${axis}\` ${values.map((one) => (typeof one === "string" ? `\`${one}\`` : JSON.stringify(one))).join(", ")}`).join("; ")}.`,
  ];
}

/** What a page answers, from its first lines; undefined where it is no page of a study. */
function answerOf(
  text: string,
): { readonly title: string; readonly question: string; readonly answer: string } | undefined {
  const after = (mark: string): string | undefined =>
    text
      .split("\n")
      .find((line) => line.startsWith(mark))
      ?.slice(mark.length)
      .trim();
  const [title, question, answer] = [after("# "), after(QUESTION), after(ANSWER)];
  return title !== undefined && question !== undefined && answer !== undefined
    ? { title, question, answer }
    : undefined;
}

/**
 * A summary of pages: each question with its answer.
 *
 * @param pages their texts by the name of their file, in the order in which they are shown
 */
export function writeStudySummary(pages: Readonly<Record<string, string>>): string {
  const lines = Object.entries(pages).flatMap(([file, text]) => {
    const found = answerOf(text);
    return found ? [`- [${found.title}](${file}): ${found.question} ${found.answer}`] : [];
  });
  return `# Studies\n\nEach page is written by \`birkhoff study\`, from runs that were really made; it names its command, and what it does not show.\n\n${lines.join("\n")}\n`;
}
