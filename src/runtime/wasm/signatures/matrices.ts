// Question: what are the arguments of the kernels that make mixing matrices, and of their gradients? See ../signatures.ts.

export const matrices = {
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
} as const;
