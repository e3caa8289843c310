// Question: does a model that is to be planned have all its sizes, and no others?
//
// Sizes are multiplied, so one that is missing or misspelt would make every number NaN, and NaN fits everywhere.

import { z } from "zod";
import { MOST_ITERATIONS, MOST_LAYERS, MOST_STREAMS, MOST_TOKENS, MOST_WIDTH } from "../basics/bounds.ts";
import { count, countFromZero } from "../basics/schemas.ts";
import { learnedMapNames } from "../connections/learned-maps.ts";
import { problems } from "../model/problems.ts";
import type { PlannedModel } from "./architecture.ts";

/** A number above zero: sizes of published models need not be whole. */
const size = (most: number): z.ZodNumber => z.number().positive().max(most);
const amount = z.number().positive();
const heads = count(MOST_WIDTH);

const attention = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("grouped"), heads, kvHeads: heads, headSize: size(MOST_WIDTH) }),
  z.strictObject({
    kind: z.literal("latent"),
    heads,
    headSize: size(MOST_WIDTH),
    rotarySize: z.number().min(0).max(MOST_WIDTH),
    rank: size(MOST_WIDTH),
    queryRank: size(MOST_WIDTH).exactOptional(),
    valueSize: size(MOST_WIDTH).exactOptional(),
  }),
]);

const feedForward = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("dense"), hidden: size(MOST_TOKENS) }),
  z.strictObject({
    kind: z.literal("experts"),
    hidden: size(MOST_TOKENS),
    routed: count(MOST_WIDTH),
    active: count(MOST_WIDTH),
    shared: countFromZero(MOST_WIDTH),
    leadingDense: countFromZero(MOST_LAYERS),
    leadingHidden: size(MOST_TOKENS).exactOptional(),
  }),
]);

const training = z.strictObject({
  batch: amount,
  context: size(MOST_TOKENS),
  steps: amount,
  learningRate: amount,
  warmup: z.number().min(0),
  beta1: z.number().exactOptional(),
  beta2: z.number().exactOptional(),
  epsilon: z.number().exactOptional(),
  weightDecay: z.number(),
});

const common = {
  name: z.string(),
  width: size(MOST_WIDTH),
  layers: count(MOST_LAYERS),
  context: size(MOST_TOKENS),
  connection: z.strictObject({
    streams: count(MOST_STREAMS),
    iterations: count(MOST_ITERATIONS),
    maps: z.array(z.enum(learnedMapNames)).exactOptional(),
  }),
};

const schema = z
  .discriminatedUnion("known", [
    z.strictObject({
      ...common,
      known: z.literal("shapes"),
      vocabulary: size(MOST_TOKENS),
      attention,
      feedForward,
      tied: z.boolean().exactOptional(),
      training: training.optional(),
    }),
    z.strictObject({ ...common, known: z.literal("totals"), total: amount, active: amount }),
  ])
  .superRefine((model, context) => {
    const complain = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
    const { maps } = model.connection;
    if (maps && maps.length !== 2 * model.layers)
      complain(
        ["connection", "maps"],
        `${maps.length} are given; there must be one for each sublayer, ${2 * model.layers}`,
      );
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
