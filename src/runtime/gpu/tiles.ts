// Question: how does a group of threads make a tile of a product of matrices?
//
// Tiles of A and B of depth 8 go through memory that the group shares, four neighbouring rows (or columns) in a word of
// 16 bytes; each thread keeps a square of C in registers, in quads of 4 by 4. While it multiplies a tile, the values of
// the next are already on their way to its registers.
//
// What that comes to, of 8 by 8 values a thread, 256 threads, a tile of 128 by 128: for each inner index a thread makes
// 64 multiplications and additions from 4 loads of 16 bytes of shared memory, two of which all threads of a row share.
// A tile of depth 8 is 8 KiB from memory for 2^18 flops, 32 flops a byte, so a GPU of 1 TB/s could feed 32 TFLOP/s from
// memory alone, and the cache serves most of it again. A row of the shared tile is one quad longer than the tile: quads
// that threads of one quarter of a warp store lie in different banks. About 110 registers a thread leave 16 warps on a
// multiprocessor. Sums run over the inner index in its order, so the bits are fixed.

import { u } from "./implement.ts";

/** A tile of C, and the part of it that a thread makes; all multiples of 4. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly ownRows: number;
  readonly ownColumns: number;
}

/** Inner indices of the tiles of A and B. */
export const DEPTH = 8;

/** Threads of the group of a tile. */
export function threadsOf({ rows, columns, ownRows, ownColumns }: Tile): number {
  return (rows / ownRows) * (columns / ownColumns);
}

/** How the values of A or B are found. */
export interface Factor {
  /** The value of row (or column) `line` of the tile at inner index `k`. */
  readonly value: (line: string, k: string) => string;
  /** Whether there is such a line; absent where there always is. */
  readonly has?: (line: string) => string;
  /** Whether neighbours in memory are neighbours along the inner index. */
  readonly innerLast: boolean;
}

export interface TileText {
  readonly tile: Tile;
  readonly a: Factor;
  readonly b: Factor;
  /** The first inner index and the one behind the last: expressions that are the same for all threads. */
  readonly first: string;
  readonly end: string;
  /**
   * Statements that store `value`, the value of `row` and `column` of the tile; `inPairs`, that and `after`, the value of
   * the next column: the first column is then even.
   */
  readonly store: string;
  readonly inPairs?: boolean;
}

const numbers = (length: number): number[] => Array.from({ length }, (_, at) => at);
const PARTS = ["x", "y", "z", "w"] as const;

/** The memory that a group shares for a tile. */
export function tileMemory({ rows, columns }: Tile): string[] {
  return [
    `var<workgroup> tileA: array<vec4<f32>, ${DEPTH * (rows / 4 + 1)}>;`,
    `var<workgroup> tileB: array<vec4<f32>, ${DEPTH * (columns / 4 + 1)}>;`,
  ];
}

/** The body that makes a tile. */
export function tileText({ tile, a, b, first, end, store, inPairs = false }: TileText): string {
  const { rows, columns, ownRows, ownColumns } = tile;
  const across = columns / ownColumns;
  const threads = threadsOf(tile);
  const sides = [
    { name: "A", factor: a, quads: rows / 4 },
    { name: "B", factor: b, quads: columns / 4 },
  ].map((side) => ({ ...side, each: Math.ceil((side.quads * DEPTH) / threads) }));
  type Side = (typeof sides)[number];
  /** The place of a thread's quad `at` in a tile: its inner index and its first line. */
  const place = ({ name, quads, factor }: Side, at: number): string => {
    const cell = `(lane + ${u(at * threads)})`;
    return factor.innerLast
      ? `let deep${name}${at}: u32 = ${cell} % ${u(DEPTH)};\n  let quad${name}${at}: u32 = ${cell} / ${u(DEPTH)};`
      : `let deep${name}${at}: u32 = ${cell} / ${u(quads)};\n  let quad${name}${at}: u32 = ${cell} % ${u(quads)};`;
  };
  const inTile = ({ quads }: Side, at: number): string | undefined =>
    (at + 1) * threads > quads * DEPTH ? `lane + ${u(at * threads)} < ${u(quads * DEPTH)}` : undefined;
  /** Ask for the values of a quad; what is beyond an edge is 0. */
  const fetch = (side: Side, at: number, begin: string): string => {
    const { name, factor } = side;
    const k = `k${name}${at}`;
    const loads = numbers(4).map((part) => {
      const line = `4u * quad${name}${at} + ${u(part)}`;
      const condition = factor.has?.(line);
      const load = `next${name}${at}_${part} = ${factor.value(line, k)};`;
      return condition === undefined ? load : `if (${condition}) { ${load} }`;
    });
    const clear = numbers(4).map((part) => `next${name}${at}_${part} = 0.0f;`);
    const conditions = [`${k} < ${end}`, inTile(side, at)].filter((text) => text !== undefined);
    return `    ${clear.join(" ")}
    let ${k}: u32 = ${begin} + deep${name}${at};
    if (${conditions.join(" && ")}) { ${loads.join(" ")} }`;
  };
  const fetchAll = (begin: string): string =>
    sides.flatMap((side) => numbers(side.each).map((at) => fetch(side, at, begin))).join("\n");
  const keep = (side: Side, at: number): string => {
    const { name, quads } = side;
    const quad = numbers(4).map((part) => `next${name}${at}_${part}`);
    const text = `tile${name}[deep${name}${at} * ${u(quads + 1)} + quad${name}${at}] = vec4<f32>(${quad.join(", ")});`;
    const condition = inTile(side, at);
    return condition === undefined ? `    ${text}` : `    if (${condition}) { ${text} }`;
  };
  const own = (name: string, quads: number, ownLines: number, index: string): string[] =>
    numbers(ownLines / 4).map(
      (q) =>
        `      let ${name.toLowerCase()}${q}: vec4<f32> = tile${name}[deep * ${u(quads + 1)} + ${u((q * quads) / (ownLines / 4))} + ${index}];`,
    );
  const part = (name: string, at: number): string => `${name}${Math.floor(at / 4)}.${PARTS[at % 4]!}`;
  const line = (index: string, total: number, ownLines: number, at: number): string =>
    `${u((Math.floor(at / 4) * total) / (ownLines / 4))} + 4u * ${index} + ${u(at % 4)}`;
  const cells = numbers(ownRows).flatMap((r) => numbers(ownColumns).map((s) => ({ r, s, name: `c${r}_${s}` })));
  const places = sides.flatMap((side) => numbers(side.each).map((at) => ({ side, at })));
  return `
  let across: u32 = lane % ${u(across)};
  let down: u32 = lane / ${u(across)};
  ${places.map(({ side, at }) => place(side, at)).join("\n  ")}
  ${places
    .map(({ side: { name }, at }) =>
      numbers(4)
        .map((p) => `var next${name}${at}_${p}: f32 = 0.0f;`)
        .join(" "),
    )
    .join("\n  ")}
  ${cells.map(({ name }) => `var ${name}: f32 = 0.0f;`).join("\n  ")}
  {
${fetchAll(first)}
  }
  for (var begin: u32 = ${first}; begin < ${end}; begin += ${u(DEPTH)}) {
    workgroupBarrier();
${places.map(({ side, at }) => keep(side, at)).join("\n")}
    workgroupBarrier();
${fetchAll(`begin + ${u(DEPTH)}`)}
    for (var deep: u32 = 0u; deep < ${u(DEPTH)}; deep += 1u) {
${own("A", rows / 4, ownRows, "down").join("\n")}
${own("B", columns / 4, ownColumns, "across").join("\n")}
${cells.map(({ r, s, name }) => `      ${name} += ${part("a", r)} * ${part("b", s)};`).join("\n")}
    }
  }
${cells
  .filter(({ s }) => !inPairs || s % 2 === 0)
  .map(
    ({ r, s, name }) => `  {
    let row: u32 = ${line("down", rows, ownRows, r)};
    let column: u32 = ${line("across", columns, ownColumns, s)};
    let value: f32 = ${name};${inPairs ? `\n    let after: f32 = c${r}_${s + 1};` : ""}
    ${store}
  }`,
  )
  .join("\n")}`;
}
