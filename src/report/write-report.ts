// Question: how is a report written to a folder?
//
// It consists of the page and, on request, each figure as an SVG or PNG file. Every file is written under a temporary
// name and then renamed.

import fs from "node:fs";
import path from "node:path";
import { writeFileAtomically } from "../files/atomic.ts";
import { expectPackages } from "../files/packages.ts";
import type { Figure } from "./figures/figure.ts";
import { renderPng, renderSvg } from "./render.ts";
import { reportFigures, reportHtml, type ReportOptions } from "./report-page.ts";
import type { RunData } from "../runs/run-data.ts";

/** Where the parts of a report go; folders are made if missing. */
export interface ReportPlaces {
  /** The HTML file. */
  readonly out: string;
  /** A folder for the figures as SVG files. */
  readonly svg?: string;
  /** A folder for the figures as PNG files. */
  readonly png?: string;
}

/**
 * @returns the files' paths, the page first
 * @throws MissingPackages where those that draw are not installed
 */
export async function writeReport(
  runs: readonly RunData[],
  { out, svg, png }: ReportPlaces,
  options: ReportOptions = {},
): Promise<string[]> {
  expectPackages(png === undefined ? "charts" : "pictures");
  const written: string[] = [];
  const write = (file: string, content: string | Uint8Array): void => {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    writeFileAtomically(file, content);
    written.push(file);
  };
  write(out, await reportHtml(runs, options));
  const figures: readonly Figure[] = svg === undefined && png === undefined ? [] : reportFigures(runs, options);
  for (const { name, spec } of figures) {
    const drawing = await renderSvg(spec, { background: "white" });
    if (svg !== undefined) write(path.join(svg, `${name}.svg`), `${drawing}\n`);
    if (png !== undefined) write(path.join(png, `${name}.png`), await renderPng(drawing));
  }
  return written;
}
