// Question: how does the CPU make a step of AdamW?

import { adamwOperation } from "../../../ops/adamw.ts";
import { elementwise, type Implementation } from "../implement.ts";

export const adamw: readonly Implementation[] = [
  elementwise(adamwOperation, "adamw", {
    whole: ["schedule", "clip"],
    inPlace: { newParam: "param", newM: "m", newV: "v" },
    words: (_, { beta1, beta2, epsilon, weightDecay, learningRateScale }) => ({
      beta1,
      rest1: 1 - beta1,
      beta2,
      rest2: 1 - beta2,
      epsilon,
      weightDecay,
      learningRateScale,
    }),
  }),
];
