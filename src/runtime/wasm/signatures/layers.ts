// Question: what are the arguments of the kernels of norms, gates and attention? See ../signatures.ts.

export const layers = {
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
} as const;
