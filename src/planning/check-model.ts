// Question: does a model that is to be planned have all its sizes, and no others?
//
// Sizes are multiplied, so one that is missing or misspelt would make every number NaN, and NaN fits everywhere.

import { z } from "zod";
import { count, countFromZero } from "../basics/schemas.ts";
import { problems } from "../model/problems.ts";
import type { PlannedModel } from "./architecture.ts";

const size = z.number().positive();
const positive = count();
const fromZero = countFromZero();

const attention = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("grouped"), heads: positive, kvHeads: positive, headSize: size }),
  z.strictObject({
    kind: z.literal("latent"),
    heads: positive,
    headSize: size,
    rotarySize: z.number().min(0),
    rank: size,
  }),
]);

const feedForward = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("dense"), hidden: size }),
  z.strictObject({
    kind: z.literal("experts"),
    hidden: size,
    routed: positive,
    active: positive,
    shared: fromZero,
    leadingDense: fromZero,
  }),
]);

const training = z.strictObject({
  batch: size,
  context: size,
  steps: size,
  learningRate: size,
  warmup: z.number().min(0),
  beta1: z.number(),
  beta2: z.number(),
  epsilon: z.number(),
  weightDecay: z.number(),
});

const common = {
  name: z.string(),
  width: size,
  layers: positive,
  context: size,
  connection: z.strictObject({ streams: positive, iterations: positive }),
};

const schema = z
  .discriminatedUnion("known", [
    z.strictObject({
      ...common,
      known: z.literal("shapes"),
      vocabulary: size,
      attention,
      feedForward,
      training: training.optional(),
    }),
    z.strictObject({ ...common, known: z.literal("totals"), total: size, active: size }),
  ])
  .superRefine((model, context) => {
    const complain = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
    if (model.known === "totals") {
      if (model.active > model.total)
        complain(["active"], `${model.active} is given; it must be at most the total, ${model.total}`);
      return;
    }
    const { feedForward: experts, layers } = model;
    if (experts.kind !== "experts") return;
    if (experts.active > experts.routed)
      complain(
        ["feedForward", "active"],
        `${experts.active} is given; it must be at most the routed experts, ${experts.routed}`,
      );
    if (experts.leadingDense > layers)
      complain(
        ["feedForward", "leadingDense"],
        `${experts.leadingDense} is given; it must be at most the layers, ${layers}`,
      );
  });

const checked = new WeakSet<object>();

/**
 * Throw unless a model has all its sizes and no other field. Each model is looked at once.
 *
 * @param operation who asks: the first part of the message
 * @throws RangeError that lists each wrong field, what it was and what is allowed
 */
export function expectPlannedModel(operation: string, model: PlannedModel): void {
  if (typeof model === "object" && model !== null && checked.has(model)) return;
  const result = schema.safeParse(model);
  if (!result.success)
    throw new RangeError(
      `${operation}: the model is not valid:\n  ${problems(result.error.issues, model, schema).join("\n  ")}`,
    );
  checked.add(model);
}
