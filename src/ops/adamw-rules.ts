// Question: with which settings can AdamW work in float32?
//
//   step = m / (1 − β₁^t) / (√(v / (1 − β₂^t)) + ε)
//
// β = 1 makes 1 − β^t zero. An ε that float32 rounds to 0 makes 0 / 0 of every entry without a gradient, such as the
// rows of an embedding that a batch does not use. These rules are the only ones: the operation, `adamwUpdates`, the
// configuration and sweeps ask them.

/** A setting of AdamW that has a rule. */
export type AdamwSetting =
  | "beta1"
  | "beta2"
  | "epsilon"
  | "weightDecay"
  | "learningRate"
  | "learningRateScale"
  | "clip";

/** The smallest and the largest positive float32. */
const [LEAST, MOST] = ["1.4e-45", "3.4e38"];

const finite = (value: number): boolean => Number.isFinite(Math.fround(value));

const beta: SettingRule = {
  fits: (value) => value >= 0 && Math.fround(value) < 1,
  allowed: "from 0 to below 1, in float32 at most 0.99999997",
};

/** Which values a setting may have. */
export interface SettingRule {
  fits(value: number): boolean;
  /** The allowed values, to stand after "it must be". */
  readonly allowed: string;
}

/** What each setting may be. */
export const adamwRules: Readonly<Record<AdamwSetting, SettingRule>> = {
  beta1: beta,
  beta2: beta,
  epsilon: {
    fits: (value) => Math.fround(value) > 0 && finite(value),
    allowed: `at least ${LEAST} and at most ${MOST}, or float32 makes it 0 or infinite; 1e-8 is usual`,
  },
  weightDecay: { fits: (value) => value >= 0 && finite(value), allowed: `from 0 to ${MOST}; 0.1 is usual` },
  // A schedule may come down to 0.
  learningRate: {
    fits: (value) => value >= 0 && finite(value) && (value === 0 || Math.fround(value) > 0),
    allowed: `0, or from ${LEAST} to ${MOST}, what float32 holds`,
  },
  learningRateScale: { fits: (value) => value >= 0 && finite(value), allowed: `from 0 to ${MOST}` },
  clip: {
    fits: (value) => Math.fround(value) > 0,
    allowed: `at least ${LEAST}, or float32 makes it 0 and no gradient is left; Infinity never clips, 1 is usual`,
  },
};

/**
 * Throw unless AdamW can work with these settings.
 *
 * @throws RangeError that names the first setting that cannot be, its value and what is allowed
 */
export function expectAdamw(operation: string, settings: Readonly<Partial<Record<AdamwSetting, number>>>): void {
  for (const [name, { fits, allowed }] of Object.entries(adamwRules)) {
    const value = settings[name as AdamwSetting];
    if (value !== undefined && !fits(value))
      throw new RangeError(`${operation}: ${name} is ${value}; it must be ${allowed}.`);
  }
}
