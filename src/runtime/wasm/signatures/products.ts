// Question: what are the arguments of the kernels that multiply matrices? See ../signatures.ts.

export const products = {
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
} as const;
