// A run of a study as its page sees it, without its records.

import type { RunData } from "../../src/runs/run-data.ts";
import type { StudiedRun } from "../../src/studies/study.ts";

/** @param bits per byte at the end; undefined: the run diverged */
export const studied = (connection: string, seed: number, bits: number | undefined): StudiedRun<never> => ({
  result: {
    name: `${connection},${seed}`,
    values: { connection, seed },
    group: { connection },
    learningRate: 1e-3,
    seed,
    diverged: bits === undefined,
    steps: 9,
    ...(bits === undefined ? {} : { bitsPerByte: bits }),
    lossSpikes: 0,
    gradientExcursions: 0,
    largestGradientNorm: 1,
    seconds: 30,
  },
  run: {} as RunData,
});
