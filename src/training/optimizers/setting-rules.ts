// Question: which values may a setting of an optimizer have?
//
// Each by one rule, which configurations and functions ask alike. Those of AdamW stand beside its operation.

import { z } from "zod";
import { adamwRules, type AdamwSetting, type SettingRule } from "../../ops/adamw-rules.ts";

/** A number's name among the settings of all optimizers. */
export type NumberSetting = AdamwSetting | "momentum" | "decay" | "leastRoot" | "leastSize" | "threshold" | "stepSize";

/** Whether a value is above 0 and finite in float32. */
const positive = (value: number): boolean => Math.fround(value) > 0 && Number.isFinite(Math.fround(value));

/** What each number may be. */
export const settingRules: Readonly<Record<NumberSetting, SettingRule>> = {
  ...adamwRules,
  momentum: adamwRules.beta1,
  decay: { fits: (value) => value > 0 && value <= 1, allowed: "above 0 and at most 1; 0.8 is usual" },
  // Its square is divided by, and must not be one that a machine may take for 0.
  leastRoot: {
    fits: (value) => value >= 2 ** -63 && value <= 2 ** 63,
    allowed: "from 1.1e-19 to 9.2e18, so that float32 holds its square; 1.2e-7 is usual",
  },
  leastSize: { fits: positive, allowed: "above 0 and finite; 1e-3 is usual" },
  threshold: { fits: positive, allowed: "above 0 and finite; 1 is usual, and 2.5 for adaptive clipping" },
  stepSize: { fits: positive, allowed: "above 0 and finite; 0.2 is usual" },
};

/** A number with a rule, in a configuration. */
export const setting = (name: NumberSetting): z.ZodNumber =>
  z.number().superRefine((value, context) => {
    const { fits, allowed } = settingRules[name];
    if (!fits(value)) context.addIssue({ code: "custom", message: `${value} is given; it must be ${allowed}` });
  });

export const settingFlag: z.ZodBoolean = z.boolean();
export const settingCount = (least: number, most: number): z.ZodInt => z.int().min(least).max(most);
export const settingList = <Name extends string>(names: readonly Name[]): z.ZodArray<z.ZodType<Name>> =>
  z.array(z.enum(names));
