// Question: in what are the losses of these runs measured?

import type { RunData } from "../runs/run-data.ts";

/** ", nats a token", or nothing where a network of one's own has a loss of its own. */
export const lossUnit = (runs: readonly RunData[], before = ", "): string =>
  runs.some(({ net }) => net !== undefined) ? "" : `${before}nats a token`;
