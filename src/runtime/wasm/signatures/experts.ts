// Question: what are the arguments of the kernels of mixtures of experts? See ../signatures.ts.

export const experts = {
  // expert-choice.ts, dispatch.ts, expert-balance.ts; pair p = n k + j is token n's j-th expert
  expertChoice: {
    pointers: { scores: "[N, E]", bias: "[E]", weights: "[N, k]", chosen: "[N, k]" },
    words: { E: "i32", k: "i32", scale: "f32", normalise: "i32" },
  },
  expertChoiceBackward: {
    pointers: { scores: "[N, E]", chosen: "[N, k]", weights: "[N, k]", g: "[N, k]", dScores: "[N, E]" },
    words: { E: "i32", k: "i32", scale: "f32", normalise: "i32" },
  },
  dispatch: {
    pointers: { chosen: "[N, k]", order: "[P]", position: "[N, k]", offsets: "[E + 1]", load: "[E]" },
    words: { pairs: "i32", experts: "i32" },
  },
  expertRows: { pointers: { x: "[N, C]", order: "[P]", y: "[P, C]" }, words: { pairs: "i32", k: "i32", C: "i32" } },
  expertSum: {
    pointers: { x: "[P, C]", position: "[N, k]", "weights?": "[N, k]", y: "[N, C]" },
    words: { pairs: "i32", k: "i32", C: "i32" },
  },
  expertSumBackward: {
    pointers: {
      x: "[P, C]",
      order: "[P]",
      weights: "[N, k]",
      g: "[N, C]",
      dx: "[P, C]",
      dWeights: "[N, k]",
    },
    words: { pairs: "i32", k: "i32", C: "i32" },
  },
  balanceBias: {
    pointers: { bias: "[E]", load: "[E]", clip: "[2]", next: "[E]" },
    words: { E: "i32", rate: "f32" },
  },
  sequenceBalance: {
    pointers: { scores: "[B T, E]", chosen: "[B T, k]", loss: "[B]" },
    words: { length: "i32", E: "i32", k: "i32" },
  },
  sequenceBalanceBackward: {
    pointers: { scores: "[B T, E]", chosen: "[B T, k]", g: "[B]", dScores: "[B T, E]" },
    words: { length: "i32", E: "i32", k: "i32" },
  },
} as const;
