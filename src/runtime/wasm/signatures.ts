// Question: what are the arguments of every kernel?
//
// The arguments of a call are 32-bit words in memory: the pointers of its signature, then its scalars, in the order
// given here. The host gives them by name (call.ts), and kernels read them by name: `npm run build:kernels` writes a
// class for each signature to kernels/arguments.ts. A name that is missing or misspelled compiles on neither side.
//
// Beside a pointer stands the shape of what it points at. "name?" may be null. "...name" is a list: of pointers it
// ends with a null pointer, of words the kernel knows its length.

/** How a scalar lies among the words of a call; an f64 takes two of them. */
export type WordType = "i32" | "f32" | "f64";

export interface Signature {
  readonly pointers: Readonly<Record<string, string>>;
  readonly words: Readonly<Record<string, WordType>>;
}

/** Every kernel that a program calls. Plain literals, so that the types of the names follow from them. */
export const signatures = {
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

  // gemm.ts and its relatives; strides (lda, ...) are in elements
  // packB: ldb is the stride of B as it lies, [K, N] or transposed [N, K]; `rounded` packs it as bfloat16 values
  packB: {
    pointers: { B: "[K, N], or [N, K] if transposed", packed: "[panels, K, panel width]" },
    words: { K: "i32", N: "i32", ldb: "i32", transposed: "i32", rounded: "i32" },
  },
  gemmRows: {
    pointers: { A: "[M, K]", B: "as packB leaves it", "C0?": "[M, N]; C itself is allowed", C: "[M, N]" },
    words: { K: "i32", N: "i32", lda: "i32", ldc: "i32" },
  },
  gemmPanels: {
    pointers: { A: "[M, K]", B: "as packB leaves it", "C0?": "[M, N]; C itself is allowed", C: "[M, N]" },
    words: { M: "i32", K: "i32", N: "i32", lda: "i32", ldc: "i32" },
  },
  // gemv: `block` columns a task
  gemv: {
    pointers: { A: "[M, K]", B: "[K, N]", "C0?": "[M, N]; C itself is allowed", C: "[M, N]" },
    words: { M: "i32", K: "i32", N: "i32", block: "i32", rounded: "i32" },
  },
  // gemmOuter: `narrowA` and `narrowB` say that they are bfloat16
  gemmOuter: {
    pointers: { A: "[T, M]", B: "[T, N]", "C0?": "[M, N]; C itself is allowed", C: "[M, N]" },
    words: {
      T: "i32",
      M: "i32",
      N: "i32",
      lda: "i32",
      ldb: "i32",
      ldc: "i32",
      down: "i32",
      across: "i32",
      narrowA: "i32",
      narrowB: "i32",
    },
  },
  // gemmBatched: a stride is from one matrix to the next, 0 for one that all share
  gemmBatched: {
    pointers: { A: "[batch, M, K]", B: "[batch, K, N]", C: "[batch, M, N]" },
    words: {
      strideA: "i32",
      strideB: "i32",
      strideC: "i32",
      M: "i32",
      N: "i32",
      K: "i32",
      transposeA: "i32",
      transposeB: "i32",
      rowsPerTask: "i32",
    },
  },
  packExperts: {
    pointers: { B: "[E, K, N], or [E, N, K] if transposed", packed: "[E, panels, K, panel width]" },
    words: { K: "i32", N: "i32", transposed: "i32", rounded: "i32" },
  },
  gemmExperts: {
    pointers: { A: "[P, K]", B: "as packExperts leaves it", offsets: "[E + 1]", C: "[P, N]" },
    words: { K: "i32", N: "i32", E: "i32" },
  },
  // outerExperts: with an order, `active` pairs share a row of the matrix
  outerExperts: {
    pointers: {
      A: "[P, M]; with an order [T, M]",
      "orderA?": "[P]",
      "weightsA?": "[P]",
      B: "[P, N]; with an order [T, N]",
      "orderB?": "[P]",
      "weightsB?": "[P]",
      offsets: "[E + 1]",
      "C0?": "[E, M, N]; C itself is allowed",
      C: "[E, M, N]",
    },
    words: { M: "i32", N: "i32", down: "i32", across: "i32", activeA: "i32", activeB: "i32" },
  },

  // rms-norm.ts, swiglu.ts
  rmsNorm: { pointers: { x: "[rows, C]", w: "[C]", y: "[rows, C]" }, words: { C: "i32", epsilon: "f32" } },
  rmsNormBackward: {
    pointers: {
      x: "[rows, C]",
      w: "[C]",
      g: "[rows, C]",
      "addend?": "[rows, C]",
      dx: "[rows, C]",
      dwPartials: "[tiles, C]",
    },
    words: { C: "i32", epsilon: "f32", tile: "i32" },
  },
  swiglu: { pointers: { x: "[rows, 2H]: a | u", y: "[rows, H]" }, words: { H: "i32" } },
  swigluBackward: { pointers: { x: "[rows, 2H]", g: "[rows, H]", dx: "[rows, 2H]" }, words: { H: "i32" } },

  // rotary.ts, latent-heads.ts, attention*.ts, cached-attention.ts
  // rotaryTable: ratio = theta^(−2 / R)
  rotaryTable: { pointers: { table: "[T, R]: cos | sin" }, words: { R: "i32", ratio: "f64" } },
  rotary: {
    pointers: { x: "[rows, E]", table: "[T, R]", y: "[rows, E]" },
    words: { T: "i32", R: "i32", E: "i32", heads: "i32", headSize: "i32", inverse: "i32" },
  },
  latentHeads: {
    pointers: { q: "[rows, H (R + K)]", kv: "[rows, H (K + V)]", r: "[rows, R]", qkv: "[rows, E]" },
    words: { heads: "i32", rotary: "i32", content: "i32", value: "i32" },
  },
  latentHeadsBackward: {
    pointers: { g: "[rows, E]", dq: "[rows, H (R + K)]", dkv: "[rows, H (K + V)]", dr: "[rows, R]" },
    words: { heads: "i32", rotary: "i32", content: "i32", value: "i32" },
  },
  attention: {
    pointers: { qkv: "[B, T, E]", out: "[B, T, H V]", lse: "[B, H, T]" },
    words: {
      length: "i32",
      heads: "i32",
      kvHeads: "i32",
      headSize: "i32",
      scale: "f32",
      width: "i32",
      valueSize: "i32",
    },
  },
  attentionBackward: {
    pointers: {
      qkv: "[B, T, E]",
      out: "[B, T, H V]",
      lse: "[B, H, T]",
      g: "[B, T, H V]",
      dqkv: "[B, T, E]",
    },
    words: {
      length: "i32",
      heads: "i32",
      kvHeads: "i32",
      headSize: "i32",
      scale: "f32",
      width: "i32",
      valueSize: "i32",
    },
  },
  cachedAttention: {
    pointers: {
      qkv: "[R, E]",
      keys: "[P, kvHeads, D, B]",
      values: "[P, kvHeads, B, V]",
      blocks: "[S, N]",
      positions: "[R]",
      slots: "[R]",
      out: "[R, H V]",
      newKeys: "[P, kvHeads, D, B]",
      newValues: "[P, kvHeads, B, V]",
    },
    words: {
      slotCount: "i32",
      rows: "i32",
      blockCount: "i32",
      blockSize: "i32",
      blocksOfText: "i32",
      heads: "i32",
      kvHeads: "i32",
      headSize: "i32",
      valueSize: "i32",
      scale: "f32",
    },
  },

  // adamw.ts
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

  // sinkhorn*.ts and the other choices for H_res
  sinkhorn: { pointers: { logits: "[R, n, n]", h: "[R, n, n]" }, words: { n: "i32", iterations: "i32" } },
  sinkhornBackward: {
    pointers: { logits: "[R, n, n]", g: "[R, n, n]", dlogits: "[R, n, n]" },
    words: { n: "i32", iterations: "i32" },
  },
  sinkhornForm: {
    pointers: { logits: "[R, n, n]", h: "[R, n, n]" },
    words: { n: "i32", iterations: "i32", form: "i32", epsilon: "f32" },
  },
  sinkhornFormBackward: {
    pointers: { logits: "[R, n, n]", g: "[R, n, n]", dlogits: "[R, n, n]" },
    words: { n: "i32", iterations: "i32", form: "i32", epsilon: "f32" },
  },
  sinkhornUntil: {
    pointers: { logits: "[R, n, n]", h: "[R, n, n]" },
    words: { n: "i32", most: "i32", tolerance: "f32" },
  },
  sinkhornUntilBackward: {
    pointers: { logits: "[R, n, n]", g: "[R, n, n]", dlogits: "[R, n, n]" },
    words: { n: "i32", most: "i32", tolerance: "f32" },
  },
  birkhoffProjection: { pointers: { logits: "[R, n, n]", p: "[R, n, n]" }, words: { n: "i32" } },
  entropicBackward: { pointers: { r: "[R, n, n]", g: "[R, n, n]", dlogits: "[R, n, n]" }, words: { n: "i32" } },
  cayley: { pointers: { logits: "[R, m (m − 1) / 2]", q: "[R, m, m]" }, words: { m: "i32" } },
  cayleyBackward: {
    pointers: { q: "[R, m, m]", g: "[R, m, m]", dlogits: "[R, m (m − 1) / 2]" },
    words: { m: "i32" },
  },

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
