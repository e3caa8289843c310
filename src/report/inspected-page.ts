// Question: what does a page show of the connections of a file?
//
// A table of the numbers of each sublayer, and heat maps of every H_res and of the products over the depth. It is one
// HTML file that needs nothing else; its drawings are made here, and it runs no script.

import { showDecimal, showMany } from "../basics/show.ts";
import { expectPackages } from "../files/packages.ts";
import type { InspectedFile } from "../study/inspect.ts";
import { wholeSpec } from "./figures/figure.ts";
import { matrixRow, type NamedMatrix } from "./figures/mixing.ts";
import { html, type Markup, trusted } from "./html.ts";
import { renderSvg } from "./render.ts";
import { reportStyle } from "./report-style.ts";
import { tableMarkup } from "./table-markup.ts";

const A_ROW = 6;

/** What the maps were made of, as a sentence. */
export function originOf({ tokens }: Pick<InspectedFile, "tokens">): string {
  return tokens === 0
    ? "Static maps, of the biases alone: what activations add (α φ x⃗′) is not in them and unknown here. The larger |α|, the more it can be."
    : `Averages over ${showMany(tokens, "token")} of random streams, standard normal: the streams of the real network are unknown here.`;
}

/**
 * The page, as one HTML document.
 *
 * @throws MissingPackages where those that draw are not installed
 */
export async function inspectedPage(inspected: InspectedFile): Promise<string> {
  expectPackages("charts");
  const { file, names, conventions, instruments, partOf } = inspected;
  const { mixing = [], product = [] } = instruments;
  const numbered = (matrices: readonly (readonly number[])[]): NamedMatrix[] =>
    matrices.map((matrix, i) => ({ name: short(names[i] ?? `sublayer ${i + 1}`), matrix }));
  const lasts = product.filter((_, i) => (i + 1) % Math.ceil(product.length / A_ROW) === 0 || i === product.length - 1);
  const products = numbered(product).filter(({ matrix }) => lasts.includes(matrix!));
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${file}</title>
        <style>
          ${trusted(reportStyle)}
        </style>
      </head>
      <body>
        <main>
          <h1>${file}</h1>
          <div class="summary">
            <p>${showMany(names.length, "sublayer")}, convention ${[...new Set(conventions)].join(", ")}.</p>
            <p>${originOf(inspected)}</p>
            ${partOf !== undefined && html`<p class="warn">Only a part of a checkpoint, it seems: ${partOf}.</p>`}
          </div>
          <h2>Sublayers</h2>
          ${table(inspected)}
          <h2>H_res over the depth</h2>
          <figure>
            ${await drawn(products, "product")}
            <figcaption>
              The product of all maps up to a sublayer. Row sums, on the left, are the factors of a forward signal;
              column sums, below, those of a backward one.
            </figcaption>
          </figure>
          <h2>H_res of every sublayer</h2>
          <figure>
            ${await drawn(numbered(mixing), "mixing")}
            <figcaption>Row: the stream that is written to. Column: the stream that it comes from.</figcaption>
          </figure>
          <footer>Made by birkhoff inspect --out.</footer>
        </main>
      </body>
    </html> `.toString();
}

/** layers.0.attention as 0 attention: a heat map's title has little room. */
const short = (name: string): string => name.replace(/^.*?(\d+)\.(\w+)$/, "$1 $2");

async function drawn(matrices: readonly NamedMatrix[], prefix: string): Promise<Markup[]> {
  const rows = Array.from({ length: Math.ceil(matrices.length / A_ROW) }, (_, i) =>
    matrices.slice(A_ROW * i, A_ROW * (i + 1)),
  );
  const drawings: Markup[] = [];
  for (const [i, row] of rows.entries()) {
    const svg = await renderSvg(wholeSpec(matrixRow("", row)), { prefix: `${prefix}${i}-` });
    drawings.push(html`<div class="drawing">${trusted(svg)}</div>`);
  }
  return drawings;
}

const small = (value: number | undefined): string =>
  value === undefined ? "–" : value === 0 ? "0" : value.toExponential(1);
const fixed = (values: readonly number[] | null | undefined, digits = 2): string =>
  values?.map((value) => showDecimal(value, digits)).join(" ") ?? "–";

function table({ names, instruments, scales }: InspectedFile): Markup {
  const { rowError, columnError, secondEigenvalue, read, write, composite } = instruments;
  const head = ["sublayer", "row error", "column error", "|λ₂|", "read", "write", "gain up to it", "α pre, post, res"];
  return tableMarkup([
    head,
    ...names.map((name, i) => [
      name,
      small(rowError?.[i]),
      small(columnError?.[i]),
      secondEigenvalue ? showDecimal(secondEigenvalue[i]!, 4) : "–",
      fixed(read?.[i]),
      fixed(write?.[i]),
      composite ? showDecimal(composite.forward[i]!, 3) : "–",
      fixed(scales[i], 4),
    ]),
  ]);
}
