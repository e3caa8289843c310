// Question: how does one page show timelines and their figures without any other file?

import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { html, type Markup, trusted } from "./html.ts";
import { type Picture, timelineSvg, type TimelineSvgOptions } from "./timeline-svg.ts";

/** Rows of text with a caption; all columns but the first hold numbers. */
export interface FigureTable {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The contents of a page of timelines. */
export interface TimelinePage {
  readonly title: string;
  /** Sentences about the assumptions. */
  readonly notes: readonly string[];
  readonly tables: readonly FigureTable[];
  readonly pictures: readonly Picture[];
}

const pageRules: FieldRules<TimelinePage> = { title: "text", notes: "list", tables: "list", pictures: "list" };

const STYLE = `
:root{color-scheme:light dark;--page:#fff;--text:#1f2733;--quiet:#5d6b80;--line:#d9dfe8}
@media (prefers-color-scheme:dark){:root{--page:#12171f;--text:#e4e9f1;--quiet:#9aa8bc;--line:#2f3947}}
body{margin:24px auto;max-width:1240px;padding:0 20px;background:var(--page);color:var(--text);font:15px/1.5 system-ui,'Segoe UI',Helvetica,Arial,sans-serif}
h1{font-size:22px;margin:0 0 8px}p{max-width:80ch;margin:6px 0;color:var(--quiet)}
table{border-collapse:collapse;margin:18px 0;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding-bottom:4px}
th,td{padding:3px 14px 3px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:500;color:var(--quiet)}th:first-child,td:first-child{text-align:left}
.timeline{overflow-x:auto;margin-top:18px}svg{display:block}svg .cut:hover{stroke-width:1.6;stroke-opacity:1}
`;

/** A page with the notes, the tables and the timelines. Hovering over a task shows what it is. */
export function timelineHtml(content: TimelinePage, options: TimelineSvgOptions = {}): string {
  expectFields("timelineHtml", content, pageRules);
  expectGiven("timelineHtml", content, pageRules, ["title", "notes", "tables", "pictures"]);
  const { title, notes, tables, pictures } = content;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>${title}</title>
        <style>
          ${trusted(STYLE)}
        </style>
      </head>
      <body>
        <h1>${title}</h1>
        ${notes.map((note) => html`<p>${note}</p> `)} ${tables.map(htmlTable)}
        <div class="timeline">${trusted(timelineSvg(pictures, { ...options, hover: true }))}</div>
      </body>
    </html>`;
  return `${page.toString()}\n`;
}

function htmlTable({ caption, head, rows }: FigureTable): Markup {
  return html`<table>
    <caption>
      ${caption}
    </caption>
    <tr>
      ${head.map((cell) => html`<th>${cell}</th>`)}
    </tr>
    ${rows.map(
      (row) =>
        html`<tr>
          ${row.map((cell) => html`<td>${cell}</td>`)}
        </tr>`,
    )}
  </table>`;
}
