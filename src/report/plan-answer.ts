// Question: what does a plan come to, in one sentence?
//
// Time, GPU hours, cost and memory of mHC against plain residuals, and whether it fits, or what would.

import type { TrainingPlan } from "../planning/plan.ts";
import { showBytes, showCount, showPercent, withPrefix } from "../basics/show.ts";

/** A number of hours or of money: three digits below 100, whole above. */
export const showAmount = (value: number): string =>
  value < 100 ? value.toPrecision(3) : showCount(Math.round(value));

/** What is left of a number when it is shown: differences are taken of what stands there. */
const shownAs = (value: number): number => (value < 100 ? Number(value.toPrecision(3)) : Math.round(value));

/** The answer in a sentence, and a second one where an assumption of it cannot hold. */
export function planAnswer(plan: TrainingPlan): string {
  const { model, hardware, layout, extra } = plan;
  const { streams } = model.connection;
  const times = extra.fused;
  const said = `Training ${model.name} with mHC (n = ${streams}) on ${showCount(layout.gpus)} × ${hardware.name} takes ${showPercent(times.fraction)} more time than with plain residuals: ${[...timeOf(plan), memoryOf(plan)].join(", ")}.`;
  const doubt = doubtOf(plan);
  return doubt === undefined ? said : `${said} ${doubt}`;
}

function timeOf({ baseline, extra, layout, hardware }: TrainingPlan): string[] {
  const { training } = extra.fused;
  const against = (mhc: number, plain: number): string =>
    `${showAmount(mhc)} instead of ${showAmount(plain)} (+${showAmount(shownAs(mhc) - shownAs(plain))})`;
  if (training.gpuHours === undefined || baseline.gpuHours === undefined) {
    const speed = (seconds: number): string => withPrefix(layout.gpus / seconds);
    return [
      `${speed(training.secondsPerToken)} tokens a second instead of ${speed(baseline.secondsPerToken)} (--tokens for hours)`,
    ];
  }
  const hours = `${hardware.measured ? "machine" : "GPU"} hours`;
  return [
    `${against(training.gpuHours, baseline.gpuHours)} ${hours} in ${training.days!.toPrecision(3)} days`,
    ...(training.cost === undefined || baseline.cost === undefined
      ? []
      : [`a cost of ${against(training.cost, baseline.cost)}`]),
  ];
}

function memoryOf({ memory, hardware, reductions }: TrainingPlan): string {
  const { recomputed, residual } = memory;
  const more = recomputed.total - residual.total;
  const change = `${more < 0 ? "−" : "+"}${showBytes(Math.abs(more))}`;
  const need = `and ${showBytes(recomputed.total)} of ${hardware.measured ? "this machine's" : "each GPU's"} ${showBytes(hardware.memoryBytes)} (${change})`;
  if (recomputed.fits) return `${need}, so it fits`;
  const way = reductions.find(({ fits }) => fits);
  const plain = residual.fits ? ", though plain residuals would" : "";
  const advice = way
    ? `; ${way.change.startsWith("without ") ? "" : "with "}${way.change} it would (${showBytes(way.bytes)})`
    : "; no change tried here is enough";
  return `${need}, so it does not fit${plain}${advice}`;
}

/** Where the assumed share of the peak cannot be reached with the communication that is counted. */
function doubtOf({ step, assumptions }: TrainingPlan): string | undefined {
  const { impliedEfficiency } = step;
  if (impliedEfficiency === undefined || impliedEfficiency <= 1) return undefined;
  return `But the assumed ${showPercent(assumptions.utilisation)} of the peak is out of reach unless communication hides behind computation: counted one after the other the step takes longer (--compute-efficiency counts it so).`;
}
