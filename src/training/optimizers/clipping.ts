// Question: by which factor are the gradients of a step made smaller?
//
//   a limit     min(1, limit / (‖g‖ + 1e-6))                              (Pascanu et al. 2013, arXiv 1211.5063)
//   none        1
//   adaptive    a norm that is an outlier among those before it is brought near them (ZClip, Kumar et al. 2025,
//               arXiv 2504.02507):
//
//     z = (‖g‖ − mean) / (√variance + 1e-6);   where z > threshold, ‖g‖ is brought to h = mean + threshold² √variance / z,
//     elsewhere h = ‖g‖;   mean ← α mean + (1 − α) h,  variance ← α variance + (1 − α) (h − mean)²
//
// The first `warmup` norms pass and give the first mean and variance. So the limit follows the gradients, whatever
// their size. It keeps three numbers: how many norms there were, up to `warmup`, their mean and their variance.

import { z } from "zod";
import { given } from "../../basics/given.ts";
import { isObject, ownEntry } from "../../basics/objects.ts";
import { showValue } from "../../basics/show.ts";
import { persistent } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { expectAdamw } from "../../ops/adamw-rules.ts";
import { clipScale } from "../../ops/clip-scale.ts";
import { concat } from "../../ops/concat.ts";
import { add, divide, multiply, reciprocal, scale, shift, sqrt, square, subtract } from "../../ops/elementwise.ts";
import { fill } from "../../ops/fill.ts";
import { finite, positive } from "../../ops/masks.ts";
import { select } from "../../ops/select.ts";
import { slice } from "../../ops/slice.ts";
import { problem } from "../../model/problems.ts";
import type { KeptState } from "./rule.ts";
import { setting, settingCount } from "./setting-rules.ts";

/** Clipping that follows the norms of the steps before. */
export interface AdaptiveClip {
  readonly kind: "adaptive";
  /** Standard deviations above the mean from which a norm is an outlier. Default 2.5. */
  readonly threshold: number;
  /** α, how slowly mean and variance follow. Default 0.97. */
  readonly smoothing: number;
  /** Norms that pass and give the first mean and variance. Default 25. */
  readonly warmup: number;
}

/** The largest norm of all gradients together, "none", or how it follows the norms before. */
export type ClipConfig = number | "none" | AdaptiveClip;

const adaptiveDefaults: Omit<AdaptiveClip, "kind"> = { threshold: 2.5, smoothing: 0.97, warmup: 25 };

const adaptiveFields = z.strictObject({
  kind: z.literal("adaptive"),
  threshold: setting("threshold").default(adaptiveDefaults.threshold),
  smoothing: setting("momentum").default(adaptiveDefaults.smoothing),
  warmup: settingCount(2, 1_000_000).default(adaptiveDefaults.warmup),
});

/** "adaptive" alone stands for its defaults, "none" and "off" for no clipping. */
const byName: Readonly<Record<string, unknown>> = { adaptive: { kind: "adaptive" }, off: "none" };

const clipForms = z.union([setting("clip"), z.literal("none"), adaptiveFields]);

export const clipSchema: z.ZodType<ClipConfig> = z.unknown().transform((value, context): ClipConfig => {
  const result = clipForms.safeParse(typeof value === "string" ? (ownEntry(byName, value) ?? value) : value);
  if (result.success) return result.data;
  if (isObject(value) && value["kind"] === "adaptive") {
    // It is clear which form is meant: say what is wrong in it.
    const issues = adaptiveFields.safeParse(value).error?.issues ?? [];
    for (const issue of issues)
      context.addIssue({ code: "custom", path: [...issue.path], message: problem(issue, value, adaptiveFields) });
    return z.NEVER;
  }
  const allowed = '"none", "adaptive", or { "kind": "adaptive", "threshold": 2.5, "smoothing": 0.97, "warmup": 25 }';
  context.addIssue({
    code: "custom",
    message: `${showValue(value)} is given; it must be a largest norm of at least 1.4e-45 (1 is usual), ${allowed}`,
  });
  return z.NEVER;
});

/**
 * What a caller of the library gives as `clip`, with defaults.
 *
 * @throws RangeError for what cannot be
 */
export function expectClip(operation: string, clip: unknown): ClipConfig {
  if (clip === Number.POSITIVE_INFINITY) return "none";
  if (typeof clip === "number") expectAdamw(operation, { clip });
  const result = clipSchema.safeParse(isObject(clip) ? given(clip) : clip);
  if (result.success) return result.data;
  const [wrong] = result.error.issues;
  const field = ["clip", ...(wrong?.path ?? [])].join(".");
  throw new RangeError(`${operation}: ${field}: ${wrong?.message ?? "it cannot be"}.`);
}

/** A step's clipping as a part of its graph. */
export interface Clipping {
  /** [2]: the norm of all gradients, and the factor. */
  readonly clip: Tensor;
  readonly states: readonly KeptState[];
  readonly updates: readonly (readonly [state: Tensor, value: Tensor])[];
}

/** The largest norm that is not clipped, of every step alike. */
export const fixedLimit = (clip: ClipConfig): number => (typeof clip === "number" ? clip : Number.POSITIVE_INFINITY);

/** From the sum of squares of each gradient. */
export const clippingOf = (squares: readonly Tensor[], clip: ClipConfig): Clipping =>
  withAdaptive(clipScale(squares, fixedLimit(clip)), clip);

/** What adaptive clipping makes of [2] = norm, factor; the same for any other. */
export function withAdaptive(given: Tensor, clip: ClipConfig): Clipping {
  if (typeof clip !== "object") return { clip: given, states: [], updates: [] };
  const seen = persistent("clip.seen", [3]);
  const { factor, next } = follow(slice(given, 0, 0, 1), seen, clip);
  return {
    clip: concat([slice(given, 0, 0, 1), factor], 0),
    states: [{ name: "clip.seen", tensor: seen, optional: true }],
    updates: [[seen, next]],
  };
}

/** norm [1], seen [3] = count, mean, variance. */
function follow(
  norm: Tensor,
  seen: Tensor,
  { threshold, smoothing, warmup }: AdaptiveClip,
): { factor: Tensor; next: Tensor } {
  const [count, mean, variance] = [0, 1, 2].map((at) => slice(seen, 0, at, 1)) as [Tensor, Tensor, Tensor];
  const deviation = sqrt(variance);
  const from = subtract(norm, mean);
  const z = divide(from, shift(deviation, 1e-6));
  const begun = positive(shift(count, 0.5 - warmup));
  const outlier = multiply(begun, positive(shift(z, -threshold)));
  const brought = add(mean, scale(divide(deviation, z), threshold * threshold));
  const held = select(outlier, brought, norm);

  const following = (before: Tensor, towards: Tensor): Tensor =>
    add(scale(before, smoothing), scale(towards, 1 - smoothing));
  const laterMean = following(mean, held);
  const laterVariance = following(variance, square(subtract(held, laterMean)));
  // The mean and the variance of the first norms, one by one (Welford 1962).
  const more = shift(count, 1);
  const firstMean = add(mean, divide(from, more));
  const spread = multiply(from, subtract(norm, firstMean));
  const firstVariance = divide(add(multiply(count, variance), spread), more);

  const next = concat(
    [select(begun, count, more), select(begun, laterMean, firstMean), select(begun, laterVariance, firstVariance)],
    0,
  );
  const taken = finite(norm);
  return {
    factor: select(outlier, multiply(brought, reciprocal(shift(norm, 1e-6))), fill([1], 1)),
    next: select(concat([taken, taken, taken], 0), next, seen),
  };
}
