// Question: how does what the instruments saw read in a terminal?
//
// A table of the maps, one of the streams and blocks, one of the groups of parameters, and the averaged H_res
// as in Fig. 8 of the mHC paper. Columns and tables of which nothing is known are left out.

import { showDecimal } from "../basics/show.ts";
import type { Instruments } from "../stability/instruments.ts";
import { drawTable } from "../basics/table.ts";

/** One value a row; undefined where it is not known. */
type Column = readonly [head: string, cells: readonly string[] | undefined];
type Values = readonly (number | null)[] | undefined;

const fixed =
  (digits: number) =>
  (value: number | null): string =>
    value === null ? "–" : showDecimal(value, digits);
const small = (value: number | null): string => (value === null ? "–" : value === 0 ? "0" : value.toExponential(1));
const plain = (value: number | null): string => (value === null || Math.abs(value) >= 1e-3 ? fixed(4) : small)(value);
const cells = (values: Values, show: (value: number | null) => string): readonly string[] | undefined =>
  values?.map(show);
const weights = (values: readonly (readonly number[])[] | undefined): readonly string[] | undefined =>
  values?.map((row) => (row.length > 8 ? `${row.length} streams` : row.map(fixed(2)).join(" ")));

function table(head: string, names: readonly string[], columns: readonly Column[]): string | undefined {
  const known = columns.filter(([, column]) => column !== undefined);
  if (known.length === 0) return undefined;
  return drawTable([
    [head, ...known.map(([title]) => title)],
    ...names.map((name, row) => [name, ...known.map(([, column]) => column![row] ?? "")]),
  ]);
}

/**
 * What the instruments saw, as tables for a terminal of about 120 columns.
 *
 * @param names of all sublayers of the network, in order of depth
 */
export function describeInstruments(instruments: Instruments, names: readonly string[]): string {
  const { single, composite, groups, sublayers, smallestLogit, largestLogit } = instruments;
  const numbered = names.map((name, index) => `${String(index + 1).padStart(String(names.length).length)} ${name}`);
  const mixing = sublayers ? sublayers.map((index) => numbered[index]!) : numbered;
  const logits = smallestLogit?.map((smallest, at) =>
    smallest === null ? "–" : `${fixed(2)(smallest)} ${fixed(2)(largestLogit?.[at] ?? null)}`,
  );
  const maps = table("maps", mixing, [
    ["gain fwd", cells(single?.forward, fixed(4))],
    ["bwd", cells(single?.backward, fixed(4))],
    ["product fwd", cells(composite?.forward, fixed(4))],
    ["bwd", cells(composite?.backward, fixed(4))],
    ["row error", cells(instruments.rowError, small)],
    ["col error", cells(instruments.columnError, small)],
    ["logits", logits],
    ["|λ₂|", cells(instruments.secondEigenvalue, fixed(3))],
    ["‖P − J/n‖", cells(instruments.distance, plain)],
  ]);
  const streams = table("streams", mixing, [
    ["read", weights(instruments.read)],
    ["write", weights(instruments.write)],
    ["cosine", cells(instruments.streamCosine, fixed(4))],
    ["effective", cells(instruments.effectiveStreams, fixed(3))],
    ["dominant", cells(instruments.dominantShare, fixed(3))],
  ]);
  const blocks = table("blocks", numbered, [
    ["reads (RMS)", cells(instruments.activation, fixed(4))],
    ["returns (RMS)", cells(instruments.blockOutput, fixed(4))],
    ["gradient norm", cells(instruments.gradient, fixed(5))],
  ]);
  const roles = Object.keys(groups ?? {});
  const parameters = table("parameters", roles, [
    [
      "gradient norm",
      groups &&
        cells(
          Object.values(groups).map(({ gradient }) => gradient),
          fixed(5),
        ),
    ],
    [
      "norm",
      groups &&
        cells(
          Object.values(groups).map(({ weight }) => weight),
          fixed(3),
        ),
    ],
    [
      "update / norm",
      groups &&
        cells(
          Object.values(groups).map(({ update }) => update),
          small,
        ),
    ],
  ]);
  const matrices = instruments.mixing && drawMatrices(mixing, instruments.mixing);
  return [maps, streams, roles.length > 0 ? parameters : undefined, blocks, matrices]
    .filter((part) => part !== undefined)
    .join("\n\n");
}

const WIDTH = 110;
const LARGEST = 8;

/** Matrices side by side, two digits an entry; those of more than eight streams are left out. */
function drawMatrices(names: readonly string[], matrices: readonly (readonly number[])[]): string | undefined {
  const blocks = matrices.flatMap((matrix, at) => {
    const n = Math.sqrt(matrix.length);
    if (n > LARGEST || n < 2) return [];
    const rows = Array.from({ length: n }, (_, i) =>
      matrix
        .slice(i * n, (i + 1) * n)
        .map((value) => fixed(2)(value).padStart(5))
        .join(" "),
    );
    const lines = [names[at]!, ...rows];
    const width = Math.max(...lines.map((line) => line.length));
    return [{ width, lines: lines.map((line) => line.padEnd(width)) }];
  });
  if (blocks.length === 0) return undefined;
  const bands: { width: number; lines: readonly string[] }[][] = [];
  for (const block of blocks) {
    const band = bands.at(-1);
    const used = band?.reduce((sum, { width }) => sum + width + 3, 0) ?? Number.POSITIVE_INFINITY;
    if (band && used + block.width <= WIDTH && band[0]!.lines.length === block.lines.length) band.push(block);
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
