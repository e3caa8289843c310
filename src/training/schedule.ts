// Question: what is the learning rate of a step?

import type { OptimizerConfig, ScheduleConfig } from "./config.ts";

/** How the rate falls, by kind. */
export const scheduleKinds: readonly ScheduleConfig["kind"][] = ["constant", "step", "cosine"];

/** Factor of the base rate at a share of the run, by kind of schedule. */
const factors: {
  readonly [K in ScheduleConfig["kind"]]: (share: number, schedule: Extract<ScheduleConfig, { kind: K }>) => number;
} = {
  step: (share) => (share < 0.8 ? 1 : share < 0.9 ? 0.316 : 0.1),
  cosine: (share, { final }) => final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * Math.min(share, 1))),
  constant: () => 1,
};

/**
 * Learning rate of a step.
 *
 * @param step from 1 to steps
 * @param steps length of the run; the step and cosine schedules are cut to it
 */
export function learningRate(
  { learningRate: base, warmup, schedule }: Pick<OptimizerConfig, "learningRate" | "warmup" | "schedule">,
  step: number,
  steps: number,
): number {
  const rise = warmup > 0 ? Math.min(1, step / warmup) : 1;
  const factor = (factors[schedule.kind] as (share: number, schedule: ScheduleConfig) => number)(
    (step - 1) / steps,
    schedule,
  );
  return base * rise * factor;
}
