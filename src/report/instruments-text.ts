// Question: how are the values of the instruments shown in a terminal?
//
// There is a table of the maps, one of the streams, one of the blocks, one of the groups of parameters, and the averaged
// H_res as in Fig. 8 of the mHC paper. Columns and tables without any value are left out.

import { showDecimal } from "../basics/show.ts";
import { drawTable } from "../basics/table.ts";
import type { Column } from "../stability/fields.ts";
import type { GainPair } from "../stability/gains.ts";
import { instrumentFields, type InstrumentName, type Instruments } from "../stability/instruments.ts";

/** One value for each row. */
type Cells = readonly string[];
type Show = (value: number | null) => string;

const fixed =
  (digits: number): Show =>
  (value) =>
    value === null ? "–" : showDecimal(value, digits);
const small: Show = (value) => (value === null ? "–" : value === 0 ? "0" : value.toExponential(1));
const plain: Show = (value) => (value === null || Math.abs(value) >= 1e-3 ? fixed(4) : small)(value);
const shows: Readonly<Record<string, Show>> = { small, plain };

/** Show each entry of a list: a number, or the weights of the streams. */
function cellsOf(values: unknown, { digits }: Column): Cells | undefined {
  if (!Array.isArray(values)) return undefined;
  const show = shows[digits] ?? fixed(Number(digits));
  return (values as readonly unknown[]).map((value) => {
    if (Array.isArray(value)) return value.length > 8 ? `${value.length} streams` : value.map(show).join(" ");
    return show(value as number | null);
  });
}

/** The columns that have values, in the order of the instruments. Columns of one field share a cell. */
function columnsOf(instruments: Instruments, wanted: Column["table"]): (readonly [head: string, cells: Cells])[] {
  const all = Object.entries(instrumentFields).flatMap(([name, { column }]) => {
    const value: unknown = instruments[name as InstrumentName];
    if (!column || value === undefined) return [];
    const columns: readonly (readonly [Column, unknown])[] =
      "table" in column
        ? [[column, value]]
        : [
            [column.forward, (value as GainPair).forward],
            [column.backward, (value as GainPair).backward],
          ];
    return columns.flatMap(([look, list]) => {
      const cells = look.table === wanted ? cellsOf(list, look) : undefined;
      return cells ? [{ head: look.head, cells }] : [];
    });
  });
  const merged: (readonly [head: string, cells: Cells])[] = [];
  for (const { head, cells } of all) {
    const before = merged.at(-1);
    if (before?.[0] !== head) merged.push([head, cells]);
    else merged[merged.length - 1] = [head, before[1].map((cell, row) => both(cell, cells[row] ?? "–"))];
  }
  return merged;
}

const both = (first: string, second: string): string => (first === "–" && second === "–" ? "–" : `${first} ${second}`);

function table(
  head: string,
  names: readonly string[],
  columns: readonly (readonly [string, Cells])[],
  width: number | undefined,
): string | undefined {
  if (columns.length === 0) return undefined;
  return drawTable(
    [
      [head, ...columns.map(([title]) => title)],
      ...names.map((name, row) => [name, ...columns.map(([, cells]) => cells[row] ?? "")]),
    ],
    { width },
  );
}

/**
 * The values of the instruments, as tables.
 *
 * @param names names of all sublayers of the network, in order of depth
 * @param width columns of the terminal
 */
export function describeInstruments(instruments: Instruments, names: readonly string[], width?: number): string {
  const { groups, sublayers } = instruments;
  const numbered = names.map((name, index) => `${String(index + 1).padStart(String(names.length).length)} ${name}`);
  const mixing = sublayers ? sublayers.map((index) => numbered[index] ?? `sublayer ${index + 1}`) : numbered;
  return [
    table("maps", mixing, columnsOf(instruments, "maps"), width),
    table("streams", mixing, columnsOf(instruments, "streams"), width),
    groups && parameterTable(groups, width),
    table("blocks", numbered, columnsOf(instruments, "blocks"), width),
    instruments.mixing && drawMatrices(mixing, instruments.mixing, width),
  ]
    .filter((part) => part !== undefined)
    .join("\n\n");
}

function parameterTable(groups: NonNullable<Instruments["groups"]>, width: number | undefined): string | undefined {
  const norms = Object.values(groups);
  if (norms.length === 0) return undefined;
  const columns = [
    ["gradient norm", norms.map(({ gradient }) => fixed(5)(gradient))],
    ["norm", norms.map(({ weight }) => fixed(3)(weight))],
    ["update / norm", norms.map(({ update }) => small(update))],
  ] as const;
  return table("parameters", Object.keys(groups), columns, width);
}

const LARGEST = 8;

/** Matrices side by side, with two digits per entry. Matrices of more than eight streams are left out. */
function drawMatrices(
  names: readonly string[],
  matrices: readonly (readonly number[])[],
  most = 110,
): string | undefined {
  const blocks = matrices.flatMap((matrix, at) => {
    const n = Math.sqrt(matrix.length);
    if (n > LARGEST || n < 2) return [];
    const rows = Array.from({ length: n }, (_, i) =>
      matrix
        .slice(i * n, (i + 1) * n)
        .map((value) => fixed(2)(value).padStart(5))
        .join(" "),
    );
    const lines = [names[at] ?? `sublayer ${at + 1}`, ...rows];
    const width = Math.max(...lines.map((line) => line.length));
    return [{ width, lines: lines.map((line) => line.padEnd(width)) }];
  });
  if (blocks.length === 0) return undefined;
  const bands: { width: number; lines: readonly string[] }[][] = [];
  for (const block of blocks) {
    const band = bands.at(-1);
    const used = band?.reduce((sum, { width }) => sum + width + 3, 0) ?? Number.POSITIVE_INFINITY;
    if (band && used + block.width <= most && band[0]!.lines.length === block.lines.length) band.push(block);
    else bands.push([block]);
  }
  const drawn = bands.map((band) =>
    band[0]!.lines
      .map((_, line) =>
        band
          .map(({ lines }) => lines[line]!)
          .join("   ")
          .trimEnd(),
      )
      .join("\n"),
  );
  return ["H_res, averaged over the tokens (row = stream written to)", ...drawn].join("\n\n");
}
