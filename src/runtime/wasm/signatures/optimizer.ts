// Question: what are the arguments of the kernels of the optimizer? See ../signatures.ts.

export const optimizer = {
  adamw: {
    pointers: {
      param: "[all]",
      gradient: "[all]",
      m: "[all]",
      v: "[all]",
      schedule: "[3]: learning rate, c₁, c₂",
      clip: "[2]: norm, factor",
      newParam: "[all]",
      newM: "[all]",
      newV: "[all]",
    },
    words: {
      item: "i32",
      all: "i32",
      beta1: "f32",
      rest1: "f32",
      beta2: "f32",
      rest2: "f32",
      epsilon: "f32",
      weightDecay: "f32",
      learningRateScale: "f32",
    },
  },
} as const;
