// Question: what do experiments say in the same way?

import type { Estimate } from "../basics/interval.ts";
import { showEstimate } from "../report/reasoning-tables.ts";
import type { StudyRuns } from "./study.ts";

/** The fields of a model of a width and depth, with a feed-forward block of three times the width. */
export const modelShape = (layers: number, width: number, heads: number, context: number): StudyRuns["base"] => ({
  "model.layers": layers,
  "model.width": width,
  "model.heads": heads,
  "model.kvHeads": heads,
  "model.hidden": 3 * width,
  context,
});

/** What short runs of a small size share: they are evaluated once, at the end, on more text than a longer run is. */
export const briefly = (steps: number): StudyRuns["base"] => ({
  vocabulary: 512,
  batch: 8,
  steps,
  evaluateEvery: steps,
  evaluateBatches: 32,
  checkpointEvery: steps,
  gainsEvery: steps / 2,
});

/** Seeds 1 to count. */
export const seedsTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** What a table has where there is no number. */
export const NONE = "–";

/** A mean with its interval; – where there is none. */
export const showFound = (found: Estimate | undefined, digits: number, signed = false): string =>
  found ? showEstimate(found, digits, signed) : NONE;
