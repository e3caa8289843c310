// Question: what are the arguments of the kernels of streams, their coefficients and their casts? See ../signatures.ts.

export const streams = {
  // streams.ts, stream-*.ts
  expand: { pointers: { u: "[T, C]", x: "[T, n, C]" }, words: { n: "i32", C: "i32", scale: "f32" } },
  collapse: { pointers: { x: "[T, n, C]", u: "[T, C]" }, words: { n: "i32", C: "i32", scale: "f32" } },
  // casts.ts; a task converts elements [begin · item, end · item) of `all`
  toBfloat16: { pointers: { x: "[...]", narrow: "bf16 [...]" }, words: { item: "i32", all: "i32" } },
  toFloat32: { pointers: { narrow: "bf16 [...]", x: "[...]" }, words: { item: "i32", all: "i32" } },
  // float8.ts; items are blocks of `blockRows` rows, which begin anew after `matrixRows`
  roundToFloat8: {
    pointers: { x: "[rows, columns]", y: "[rows, columns]" },
    words: { columns: "i32", matrixRows: "i32", blockRows: "i32", blockColumns: "i32" },
  },
  streamRead: { pointers: { x: "[T, n, C]", h: "[T, M]", u: "[T, C]" }, words: { n: "i32", C: "i32" } },
  streamReadBackward: {
    pointers: {
      x: "[T, n, C]",
      h: "[T, M]",
      du: "[T, C]",
      dx: "[T, n, C]",
      dh: "[T, M]: zero but for pre",
      "addend?": "[T, n, C]",
    },
    words: { n: "i32", C: "i32" },
  },
  streamWrite: {
    pointers: { x: "[T, n, C]", h: "[T, M]", y: "[T, C]", next: "[T, n, C]" },
    words: { n: "i32", C: "i32" },
  },
  streamWriteGather: { pointers: { h: "[T, M]", g: "[T, n, C]", dy: "[T, C]" }, words: { n: "i32", C: "i32" } },
  streamWriteBackward: {
    pointers: {
      x: "[T, n, C]",
      h: "[T, M]",
      y: "[T, C]",
      g: "[T, n, C]",
      dx: "[T, n, C]",
      dh: "[T, M]: pre is zero",
    },
    words: { n: "i32", C: "i32" },
  },
  streamProjection: {
    pointers: { x: "[R, K]", w: "[K, P], packed", p: "[R, P]", s: "[R]" },
    words: { K: "i32", P: "i32", rows: "i32", epsilon: "f32" },
  },
  streamProjectionBackward: {
    pointers: {
      x: "[R, K]",
      w: "[P, K], packed",
      p: "[R, P]",
      s: "[R]",
      dp: "[R, P]",
      dx: "[R, K]",
      draw: "[R, P]",
      "addend?": "[R, K]",
    },
    words: { K: "i32", P: "i32", rows: "i32" },
  },
  manifoldCoefficients: {
    pointers: { p: "[T, M]", alpha: "[3]", bias: "[M]", h: "[T, M]" },
    words: { n: "i32", iterations: "i32" },
  },
  // ...Form: the bits FORM_... of constants.ts
  manifoldCoefficientsForm: {
    pointers: { p: "[T, M]", alpha: "[3]", bias: "[M]", h: "[T, M]" },
    words: { n: "i32", iterations: "i32", form: "i32", epsilon: "f32", readEpsilon: "f32", writeScale: "f32" },
  },
  manifoldCoefficientsBackward: {
    pointers: {
      p: "[T, M]",
      alpha: "[3]",
      bias: "[M]",
      dh: "[T, M]",
      dp: "[T, M]",
      dalphaPartials: "[tiles, 3]",
      dbiasPartials: "[tiles, M]",
    },
    words: { n: "i32", iterations: "i32", tile: "i32" },
  },
  manifoldCoefficientsFormBackward: {
    pointers: {
      p: "[T, M]",
      alpha: "[3]",
      bias: "[M]",
      dh: "[T, M]",
      dp: "[T, M]",
      dalphaPartials: "[tiles, 3]",
      dbiasPartials: "[tiles, M]",
    },
    words: {
      n: "i32",
      iterations: "i32",
      form: "i32",
      epsilon: "f32",
      readEpsilon: "f32",
      writeScale: "f32",
      tile: "i32",
    },
  },
  hyperCoefficients: {
    pointers: { p: "[T, M]", alpha: "[3]", bias: "[M]", h: "[T, M]" },
    words: { n: "i32", tanh: "i32" },
  },
  hyperCoefficientsBackward: {
    pointers: {
      p: "[T, M]",
      alpha: "[3]",
      bias: "[M]",
      dh: "[T, M]",
      dp: "[T, M]",
      dalphaPartials: "[tiles, 3]",
      dbiasPartials: "[tiles, M]",
    },
    words: { n: "i32", tanh: "i32", tile: "i32" },
  },
} as const;
