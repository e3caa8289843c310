// Question: what are the arguments of the kernels that copy, combine and reduce elements and rows? See ../signatures.ts.

export const elements = {
  copy: { pointers: { from: "[bytes]", to: "[bytes]" }, words: { bytes: "i32" } },
  sumPartials: { pointers: { partials: "[count, size]", y: "[size]" }, words: { count: "i32", size: "i32" } },

  // elementwise.ts; a task makes elements [begin · item, end · item) of `all`; `saved` is the curve's operand or result
  add: { pointers: { a: "[...]", b: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  subtract: { pointers: { a: "[...]", b: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  multiply: { pointers: { a: "[...]", b: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  divide: { pointers: { a: "[...]", b: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  exp: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  log: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  tanh: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  sigmoid: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  silu: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  gelu: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  relu: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  square: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  sqrt: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  reciprocal: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32" } },
  expBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  logBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  tanhBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  sigmoidBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  siluBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  geluBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  reluBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  squareBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  sqrtBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  reciprocalBackward: { pointers: { saved: "[...]", g: "[...]", dx: "[...]" }, words: { item: "i32", all: "i32" } },
  affine: { pointers: { x: "[...]", y: "[...]" }, words: { item: "i32", all: "i32", factor: "f32", offset: "f32" } },
  fill: { pointers: { y: "[...]" }, words: { item: "i32", all: "i32", value: "f32" } },

  // copying.ts
  broadcast: { pointers: { x: "[size]", y: "[...]" }, words: { item: "i32", all: "i32", size: "i32" } },
  broadcastLast: { pointers: { x: "[rows]", y: "[rows, size]" }, words: { size: "i32" } },
  permute: {
    pointers: { x: "[...]", y: "[...sizes]" },
    words: { rank: "i32", "...sizes": "i32", "...strides": "i32" },
  },
  slice: {
    pointers: { x: "[rows, period]", y: "[rows, chunk]" },
    words: { item: "i32", all: "i32", period: "i32", before: "i32", chunk: "i32" },
  },
  place: {
    pointers: { x: "[rows, chunk]", y: "[rows, period]" },
    words: { item: "i32", all: "i32", period: "i32", before: "i32", chunk: "i32" },
  },
  concat: {
    pointers: { y: "[rows, period]", "...parts": "[rows, chunk]" },
    words: { item: "i32", all: "i32", period: "i32", "...chunks": "i32" },
  },
  gather: { pointers: { table: "[V, C]", indices: "[N]", y: "[N, C]" }, words: { V: "i32", C: "i32" } },
  scatterAdd: {
    pointers: { indices: "[N]", g: "[N, C]", "addend?": "[V, C]", y: "[V, C]" },
    words: { N: "i32", C: "i32", V: "i32" },
  },

  // reductions.ts, finite.ts, gradient-norm.ts
  sumLast: { pointers: { x: "[rows, size]", y: "[rows]" }, words: { size: "i32" } },
  sumBlocks: { pointers: { x: "[all]", partials: "[blocks]" }, words: { block: "i32", all: "i32" } },
  sumRows: { pointers: { x: "[rows, size]", partials: "[tiles, size]" }, words: { size: "i32", tile: "i32" } },
  countNotFinite: { pointers: { x: "[all]", partials: "[blocks]" }, words: { block: "i32", all: "i32" } },
  sumSquares: { pointers: { x: "[all]", partials: "[blocks]" }, words: { block: "i32", all: "i32" } },
  clipScale: { pointers: { clip: "[2]: norm, factor", "...sums": "[]" }, words: { limit: "f32" } },

  // select.ts
  select: {
    pointers: { condition: "[...]", a: "[...]", b: "[...]", y: "[...]" },
    words: { item: "i32", all: "i32" },
  },
  maxLast: { pointers: { x: "[rows, size]", y: "[rows]" }, words: { size: "i32" } },
  toFloats: { pointers: { indices: "[...]", x: "[...]" }, words: { item: "i32", all: "i32" } },
  toIndices: { pointers: { x: "[...]", indices: "[...]" }, words: { item: "i32", all: "i32" } },

  // softmax.ts
  softmax: { pointers: { x: "[rows, size]", y: "[rows, size]" }, words: { size: "i32" } },
  softmaxBackward: {
    pointers: { y: "[rows, size]", g: "[rows, size]", dx: "[rows, size]" },
    words: { size: "i32" },
  },
  crossEntropy: {
    pointers: { logits: "[rows, size]", targets: "[rows]", loss: "[rows]", lse: "[rows]" },
    words: { size: "i32" },
  },
  crossEntropyBackward: {
    pointers: {
      logits: "[rows, size]",
      targets: "[rows]",
      lse: "[rows]",
      g: "[rows]",
      s: "[rows]: the gradients of loss and lse together",
      dlogits: "[rows, size]",
    },
    words: { size: "i32" },
  },

  // weighted-sum.ts
  weightedSum: { pointers: { weights: "[T, k]", y: "[T, C]", "...sources": "[T, C]" }, words: { k: "i32", C: "i32" } },
  weightedSumBackward: {
    pointers: {
      weights: "[T, k]",
      g: "[T, C]",
      dWeights: "[T, k]",
      "...pairs": "[T, C]: each source and its gradient",
    },
    words: { k: "i32", C: "i32" },
  },
} as const;
