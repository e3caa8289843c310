// Question: how does a table of texts stand on a page?

import { html, type Markup } from "./html.ts";

/** A table whose first row are the headings and whose first column names the rows. */
export function tableMarkup([heading = [], ...rows]: readonly (readonly string[])[]): Markup {
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          ${heading.map((title) => html`<th>${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([name = "", ...cells]) =>
            html`<tr>
              <th>${name}</th>
              ${cells.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Tables, and what holds for them in sentences; undefined where there are none. */
export function tablesMarkup(
  tables: readonly (readonly (readonly string[])[])[],
  notes: readonly string[],
): Markup | undefined {
  if (tables.length === 0) return undefined;
  return html`${tables.map(tableMarkup)} ${notes.map((sentence) => html`<p class="soft small">${sentence}</p>`)}`;
}
