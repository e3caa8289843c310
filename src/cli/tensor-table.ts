// Question: how are the tensors of a checkpoint listed?

import { wrapLastColumn } from "../basics/table.ts";
import type { tensorSpreads } from "../study/inspect-run.ts";

/** A line for each tensor with its spread, and a heading. */
export function describeTensors(tensors: ReturnType<typeof tensorSpreads>, width: number): string {
  const lines = tensors.map(
    ({ name, shape, mean, deviation, largest }) =>
      `${[mean, deviation, largest].map((value) => value.toExponential(3).padEnd(10)).join("  ")}  ${name} [${shape.join(", ")}]`,
  );
  return wrapLastColumn(["mean        deviation   largest     tensor", ...lines].join("\n"), width);
}
