// birkhoff/stability: what is measured of a model while it runs.

// Stability: watch a run for what goes wrong, and measure its mixing matrices.
export { amaxGain } from "./stability/gains.ts";
export {
  type AlarmName,
  type AlarmSubject,
  type AlarmWatch,
  type Excursion,
  type Observation,
  watchAlarms,
} from "./stability/alarms.ts";
export { singularValues } from "./stability/singular-values.ts";
export { eigenvalueModuli } from "./stability/eigenvalues.ts";
export type { GroupNorms } from "./stability/fields.ts";
export type { Instruments } from "./stability/instruments.ts";
