// Question: how does the CPU choose the experts of a token?

import { lastAxis } from "../../../graph/tensor.ts";
import { expertChoiceBackwardOperation, expertChoiceOperation } from "../../../ops/expert-choice.ts";
import { type Implementation, rowwise } from "../implement.ts";

export const expertChoice: readonly Implementation[] = [
  rowwise(expertChoiceOperation, "expertChoice", {
    whole: ["bias"],
    words: ({ scores }, { active, scale, normalise }) => ({
      E: lastAxis(scores.shape),
      k: active,
      scale,
      normalise: Number(normalise),
    }),
  }),
  rowwise(expertChoiceBackwardOperation, "expertChoiceBackward", {
    words: ({ scores }, { active, scale, normalise }) => ({
      E: lastAxis(scores.shape),
      k: active,
      scale,
      normalise: Number(normalise),
    }),
  }),
];
