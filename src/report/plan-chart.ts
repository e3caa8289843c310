// Question: how is a plan drawn? As one SVG with memory, the curve of Eq. 20 and the extra time.

import type { TrainingPlan } from "../planning/plan.ts";
import { directions, fusions } from "../planning/roofline.ts";
import { memoryBars } from "./plan-text.ts";
import { barPanel, curvePanel, drawSvg } from "./svg.ts";
import { showBytes, showPercent } from "../basics/show.ts";

/** An SVG document. */
export function drawPlan(plan: TrainingPlan): string {
  const { model, hardware, layout, recomputation, extra, baseline, paperOverhead } = plan;
  const capacity = { value: hardware.memoryBytes, label: `${hardware.name}: ${showBytes(hardware.memoryBytes)}` };
  return drawSvg(`${model.name} on ${layout.gpus} × ${hardware.name}`, [
    barPanel("Memory of a GPU", memoryBars(plan), showBytes, capacity),
    curvePanel(
      "Streams stored and computed again (Eq. 20), C values a token",
      recomputation.curve.map(({ storeEvery, channels }) => [storeEvery, channels]),
      { value: recomputation.best, label: `L_r = ${recomputation.best}` },
      "stored every L_r sublayers",
    ),
    barPanel(
      "Extra training time of mHC",
      fusions.map((fusion) => ({
        label: fusion,
        parts: directions.map((name) => ({ name, value: extra[fusion].kernels[name] / baseline.secondsPerToken })),
      })),
      showPercent,
      { value: paperOverhead, label: `the paper: ${showPercent(paperOverhead)}` },
    ),
  ]);
}
