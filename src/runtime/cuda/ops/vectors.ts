// Question: how do hand-made kernels read and write rows of float32 or bfloat16, 16 bytes at a time?
//
// A thread takes N values that follow one another, as floats, whatever they are kept in: 16 bytes for each four float32 or
// eight bfloat16. N is 8 where an operand is bfloat16, else 4. Rows must be whole multiples of N; buffers begin at
// multiples of 256 bytes.

import type { CudaType } from "../work.ts";

/** Values that a thread takes at a time from operands of these types. */
export function chunkOf(...types: readonly CudaType[]): 4 | 8 {
  return types.includes("bf16") ? 8 : 4;
}

/** The declarations: `load` what is read once, `loadOwn` what this kernel may write, `store`, and sums of a warp. */
export const vectors = `
#define FULL 0xffffffffu
DEVICE void widen(uint4 w, float* v) {
  v[0] = lowBf16(w.x); v[1] = highBf16(w.x); v[2] = lowBf16(w.y); v[3] = highBf16(w.y);
  v[4] = lowBf16(w.z); v[5] = highBf16(w.z); v[6] = lowBf16(w.w); v[7] = highBf16(w.w);
}
DEVICE void spread(uint4 w, float* v) {
  v[0] = __uint_as_float(w.x); v[1] = __uint_as_float(w.y); v[2] = __uint_as_float(w.z); v[3] = __uint_as_float(w.w);
}
template <int N> DEVICE void load(const bf16* p, float* v) {
#pragma unroll
  for (int q = 0; q < N / 8; q++) widen(loadOnce((const uint4*)p + q), v + 8 * q);
}
template <int N> DEVICE void load(const float* p, float* v) {
#pragma unroll
  for (int q = 0; q < N / 4; q++) spread(loadOnce((const uint4*)p + q), v + 4 * q);
}
template <int N> DEVICE void loadOwn(const bf16* p, float* v) {
#pragma unroll
  for (int q = 0; q < N / 8; q++) widen(((const uint4*)p)[q], v + 8 * q);
}
template <int N> DEVICE void loadOwn(const float* p, float* v) {
#pragma unroll
  for (int q = 0; q < N / 4; q++) spread(((const uint4*)p)[q], v + 4 * q);
}
template <int N> DEVICE void store(bf16* p, const float* v) {
#pragma unroll
  for (int q = 0; q < N / 8; q++)
    ((uint4*)p)[q] = make_uint4(packBf16(v[8 * q], v[8 * q + 1]), packBf16(v[8 * q + 2], v[8 * q + 3]),
                                packBf16(v[8 * q + 4], v[8 * q + 5]), packBf16(v[8 * q + 6], v[8 * q + 7]));
}
template <int N> DEVICE void store(float* p, const float* v) {
#pragma unroll
  for (int q = 0; q < N / 4; q++) ((float4*)p)[q] = make_float4(v[4 * q], v[4 * q + 1], v[4 * q + 2], v[4 * q + 3]);
}
/* A few numbers that many threads read; at a multiple of 16 bytes where there are fours of them. */
template <int N> DEVICE void loadFew(const float* p, float* v) {
  if (N % 4 == 0) {
#pragma unroll
    for (int q = 0; q < N / 4; q++) spread(loadConstant((const uint4*)p + q), v + 4 * q);
  } else {
#pragma unroll
    for (int k = 0; k < N; k++) v[k] = p[k];
  }
}
/* The sum over the lanes of a warp, which each of them gets: halves to halves. */
DEVICE float warpSum(float v) {
#pragma unroll
  for (int s = 16; s > 0; s >>= 1) v += __shfl_xor_sync(FULL, v, s);
  return v;
}
#undef FULL
`;
