// Question: into how many tiles is a weight gradient C[M, N] = Aᵀ B cut?
//
// Each tile is a task that packs its own columns of B, and of A where its rows are far apart
// (kernels/gemm-outer.ts). A larger tile packs less, more tiles share the work better. No element depends on
// the grid, so it may follow the number of threads and the results still do not.

import { OUTER_COLUMNS, OUTER_ROWS } from "./constants.ts";

/** A tile side is a multiple of this, but for the last: panels are 6 rows or 16 columns. */
const UNIT = { rows: 6, cols: 16 };
/** Tasks a thread should find, so that a delayed thread leaves its share to the others. */
const TASKS_PER_THREAD = 2;
/** Packing one element costs as much as about this many multiply-adds (measured where both are packed). */
const PACKING = 14;

export interface OuterGrid {
  readonly down: number;
  readonly across: number;
}

/**
 * The cheapest grid by the model rounds * (rows * cols + PACKING * (rows + cols)).
 *
 * @param matrices how many of this size are computed together
 */
export function outerGrid(rows: number, cols: number, threads: number, matrices = 1): OuterGrid {
  const tasks = Math.ceil((TASKS_PER_THREAD * threads) / matrices);
  let best = { down: 1, across: 1, cost: Infinity };
  for (const down of counts(rows, OUTER_ROWS, UNIT.rows, tasks)) {
    for (const across of counts(cols, OUTER_COLUMNS, UNIT.cols, tasks)) {
      const height = Math.ceil(Math.ceil(rows / UNIT.rows) / down) * UNIT.rows;
      const width = Math.ceil(Math.ceil(cols / UNIT.cols) / across) * UNIT.cols;
      const rounds = Math.max(TASKS_PER_THREAD, Math.ceil((matrices * down * across) / threads));
      const cost = rounds * (height * width + PACKING * (height + width));
      if (cost < best.cost) best = { down, across, cost };
    }
  }
  return { down: best.down, across: best.across };
}

/** Every count of tiles worth trying along one side. */
function counts(size: number, largest: number, unit: number, tasks: number): number[] {
  const least = Math.ceil(size / largest);
  const most = Math.max(least, Math.min(Math.ceil(size / unit), tasks));
  return Array.from({ length: most - least + 1 }, (_, i) => least + i);
}
