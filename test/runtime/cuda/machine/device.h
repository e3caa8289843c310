// What CUDA C++ has of its own, on a processor. Every kernel's source is compiled with this before it (nvrtc.cc).
//
// The threads of a block are fibres of one thread of the processor. A fibre runs until its thread ends or waits: at a
// barrier of the block or in an exchange of its warp. While no thread waits, one fibre runs one thread after another, so
// that a kernel without barriers costs no switch. Shared memory begins as NaN. If all threads that are left wait for what
// cannot come, the launch fails, as it would hang on a GPU.
#pragma once
#include "scheduler.h"
#include <stddef.h>
#include <string.h>

// Not math.h, which knows other things by the names that CUDA has.
extern "C" {
float fabsf(float) noexcept;
float expf(float) noexcept;
float exp2f(float) noexcept;
float logf(float) noexcept;
float log2f(float) noexcept;
float log1pf(float) noexcept;
float expm1f(float) noexcept;
float sqrtf(float) noexcept;
float floorf(float) noexcept;
float ceilf(float) noexcept;
float truncf(float) noexcept;
float roundf(float) noexcept;
float rintf(float) noexcept;
float sinf(float) noexcept;
float cosf(float) noexcept;
float tanhf(float) noexcept;
float erff(float) noexcept;
float erfcf(float) noexcept;
float cbrtf(float) noexcept;
float fminf(float, float) noexcept;
float fmaxf(float, float) noexcept;
float powf(float, float) noexcept;
float fmodf(float, float) noexcept;
float copysignf(float, float) noexcept;
float fmaf(float, float, float) noexcept;
}

#define BIRKHOFF_ON_PROCESSOR 1
#define __device__
#define __host__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((__noinline__))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("group_shared"), aligned(16)))
#define __constant__ static
#define __grid_constant__

struct uint2 { unsigned x, y; };
struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
struct int2 { int x, y; };
struct int3 { int x, y, z; };
struct __attribute__((aligned(16))) int4 { int x, y, z, w; };
struct __attribute__((aligned(8))) float2 { float x, y; };
struct float3 { float x, y, z; };
struct __attribute__((aligned(16))) float4 { float x, y, z, w; };
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// ---------------------------------------------------------------- what the driver gives each module
extern "C" { __attribute__((visibility("default"), weak)) Scheduler* birkhoffScheduler = nullptr; }
#define threadIdx (birkhoffScheduler->thread)
#define blockIdx (birkhoffScheduler->block)
#define blockDim (birkhoffScheduler->blockSize)
#define gridDim (birkhoffScheduler->grid)
#define warpSize 32
#define DYNAMIC_SHARED(name) unsigned char* name = birkhoffScheduler->dynamicShared;

static inline void __syncthreads() { birkhoffScheduler->barrier(); }
static inline void __syncwarp(unsigned = 0xffffffffu) { birkhoffScheduler->meet(nullptr, 0); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// ---------------------------------------------------------------- exchanges of a warp
template <class T> static inline T takenFrom(T own, unsigned source) {
  Scheduler& s = *birkhoffScheduler;
  const unsigned char* place = s.slots() + 64 * (source & 31);
  if (!(s.present() >> (source & 31) & 1)) return own;
  T value;
  memcpy(&value, place, sizeof value);
  return value;
}
template <class T> static inline T __shfl_sync(unsigned, T value, int source, int width = 32) {
  const unsigned lane = birkhoffScheduler->lane;
  birkhoffScheduler->meet(&value, sizeof value);
  return takenFrom(value, (lane & ~(width - 1)) | (source & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
  const unsigned lane = birkhoffScheduler->lane;
  birkhoffScheduler->meet(&value, sizeof value);
  const unsigned source = lane ^ mask;
  return (source & ~(width - 1)) > (lane & ~(width - 1)) ? value : takenFrom(value, source);
}
template <class T> static inline T __shfl_down_sync(unsigned, T value, unsigned by, int width = 32) {
  const unsigned lane = birkhoffScheduler->lane;
  birkhoffScheduler->meet(&value, sizeof value);
  return (lane & (width - 1)) + by < (unsigned)width ? takenFrom(value, lane + by) : value;
}
template <class T> static inline T __shfl_up_sync(unsigned, T value, unsigned by, int width = 32) {
  const unsigned lane = birkhoffScheduler->lane;
  birkhoffScheduler->meet(&value, sizeof value);
  return (lane & (width - 1)) >= by ? takenFrom(value, lane - by) : value;
}
static inline unsigned __ballot_sync(unsigned, int predicate) {
  int value = predicate != 0;
  birkhoffScheduler->meet(&value, sizeof value);
  unsigned result = 0;
  for (unsigned l = 0; l < 32; l++) result |= (unsigned)(takenFrom(0, l) != 0) << l;
  return result;
}
static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
static inline unsigned __activemask() { return 0xffffffffu; }

// ---------------------------------------------------------------- numbers
static inline float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
static inline float __int_as_float(int x) { float y; memcpy(&y, &x, 4); return y; }
static inline unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
static inline int __float_as_int(float x) { int y; memcpy(&y, &x, 4); return y; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fdividef(float a, float b) { return a / b; }
#define __expf expf
#define __logf logf
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
  unsigned char bytes[8];
  memcpy(bytes, &a, 4);
  memcpy(bytes + 4, &b, 4);
  unsigned r = 0;
  for (int i = 0; i < 4; i++) r |= (unsigned)bytes[s >> 4 * i & 7] << 8 * i;
  return r;
}
static inline unsigned umulhi32(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
#define __umulhi umulhi32
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline T __ldcg(const T* p) { return *p; }
template <class T> static inline void __stcs(T* p, T v) { *p = v; }
template <class T> static inline void __stcg(T* p, T v) { *p = v; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }

// ---------------------------------------------------------------- what the prelude has by assembly
static inline unsigned short roundedBf16(float x) {
  const unsigned word = __float_as_uint(x);
  if (x != x) return 0x7fff;
  return (unsigned short)((word + 0x7fffu + (word >> 16 & 1)) >> 16);
}
static inline unsigned packBf16(float low, float high) { return roundedBf16(low) | (unsigned)roundedBf16(high) << 16; }
static inline uint4 loadOnce(const uint4* p) { return *p; }
static inline uint4 loadConstant(const uint4* p) { return *p; }

struct Fragments { unsigned a[4], b[2]; };
// Fragments of m16n8k16: a0 holds row g, columns 2t and 2t + 1; a1 row g + 8; a2 row g, columns 2t + 8; a3 row g + 8 of
// these; b0 rows 2t and 2t + 1 of column g, b1 rows 2t + 8; c0, c1 row g, columns 2t and 2t + 1, c2, c3 row g + 8; g is
// the lane's number / 4, t the rest.
static inline void mmaBf16(float* c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
  Fragments own = {{a0, a1, a2, a3}, {b0, b1}};
  const unsigned lane = birkhoffScheduler->lane, g = lane / 4, t = lane % 4;
  birkhoffScheduler->meet(&own, sizeof own);
  const unsigned char* slots = birkhoffScheduler->slots();
  auto of = [&](unsigned source) { return (const Fragments*)(slots + 64 * source); };
  auto half = [](unsigned pair, unsigned k) { return __uint_as_float(k % 2 ? pair & 0xffff0000u : pair << 16); };
  for (unsigned r = 0; r < 4; r++) {
    const unsigned row = g + 8 * (r / 2), column = 2 * t + r % 2;
    float sum = c[r];
    for (unsigned k = 0; k < 16; k++) {
      const unsigned high = k / 8, at = k % 8;
      const float a = half(of(4 * (row % 8) + at / 2)->a[2 * high + row / 8], at);
      const float b = half(of(4 * column + at / 2)->b[high], at);
      sum += a * b;
    }
    c[r] = sum;
  }
}
// m16n8k8 of tf32: a0 row g, column t; a1 row g + 8; a2 row g, column t + 4; a3 row g + 8 of it; b0 row t of column g,
// b1 row t + 4.
static inline void mmaTf32(float* c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
  Fragments own = {{a0, a1, a2, a3}, {b0, b1}};
  const unsigned lane = birkhoffScheduler->lane, g = lane / 4, t = lane % 4;
  birkhoffScheduler->meet(&own, sizeof own);
  const unsigned char* slots = birkhoffScheduler->slots();
  auto of = [&](unsigned source) { return (const Fragments*)(slots + 64 * source); };
  auto cut = [](unsigned word) { return __uint_as_float(word & 0xffffe000u); };
  for (unsigned r = 0; r < 4; r++) {
    const unsigned row = g + 8 * (r / 2), column = 2 * t + r % 2;
    float sum = c[r];
    for (unsigned k = 0; k < 8; k++)
      sum += cut(of(4 * (row % 8) + k % 4)->a[2 * (k / 4) + row / 8]) * cut(of(4 * column + k % 4)->b[k / 4]);
    c[r] = sum;
  }
}
// e4m3: a sign, 4 bits of exponent (of 2^-6 to 2^8), 3 of the rest; 0x7f is NaN.
static inline float fromE4m3(unsigned code) {
  const unsigned exponent = code >> 3 & 15, rest = code & 7;
  float value = exponent == 0 ? rest * 0.001953125f : (8 + rest) * __uint_as_float((exponent + 117u) << 23);
  if ((code & 0x7f) == 0x7f) value = __uint_as_float(0x7fc00000u);
  return code & 0x80 ? -value : value;
}
static inline unsigned toE4m3(float x) {
  const unsigned sign = __float_as_uint(x) >> 31 << 7;
  const float size = fabsf(x);
  if (size != size) return sign | 0x7f;
  if (size >= 448.0f) return sign | 0x7e;
  int exponent = (int)(__float_as_uint(size) >> 23) - 127;
  if (exponent < -6) exponent = -6;
  const float step = __uint_as_float((unsigned)(exponent - 3 + 127) << 23);
  // From 8 to 16 steps, or fewer where there is no hidden bit; 16 is 8 of the next exponent.
  const unsigned steps = (unsigned)rintf(size / step);
  return sign | ((unsigned)(exponent + 6) * 8 + steps);
}
static inline unsigned packE4m3(float low, float high) { return toE4m3(low) | toE4m3(high) << 8; }
// m16n8k32 of e4m3: as m16n8k16 of 16-bit numbers, each of which is two neighbours along the inner index.
static inline void mmaE4m3(float* c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
  Fragments own = {{a0, a1, a2, a3}, {b0, b1}};
  const unsigned lane = birkhoffScheduler->lane, g = lane / 4, t = lane % 4;
  birkhoffScheduler->meet(&own, sizeof own);
  const unsigned char* slots = birkhoffScheduler->slots();
  auto of = [&](unsigned source) { return (const Fragments*)(slots + 64 * source); };
  for (unsigned r = 0; r < 4; r++) {
    const unsigned row = g + 8 * (r / 2), column = 2 * t + r % 2;
    float sum = c[r];
    for (unsigned k = 0; k < 32; k++) {
      const unsigned high = k / 16, at = k % 16;
      const unsigned a = of(4 * (row % 8) + at / 4)->a[2 * high + row / 8] >> 8 * (at % 4);
      const unsigned b = of(4 * column + at / 4)->b[high] >> 8 * (at % 4);
      sum += fromE4m3(a & 255) * fromE4m3(b & 255);
    }
    c[r] = sum;
  }
}
static inline void ldmatrix(unsigned* r, const void* row, unsigned matrices, bool transposed) {
  const unsigned short* own = (const unsigned short*)row;
  const unsigned lane = birkhoffScheduler->lane;
  birkhoffScheduler->meet(&own, sizeof own);
  const unsigned char* slots = birkhoffScheduler->slots();
  auto at = [&](unsigned m, unsigned i, unsigned j) {
    const unsigned short* p;
    memcpy(&p, slots + 64 * (8 * m + i), sizeof p);
    return (unsigned)p[j];
  };
  const unsigned g = lane / 4, t = lane % 4;
  for (unsigned m = 0; m < matrices; m++)
    r[m] = transposed ? at(m, 2 * t, g) | at(m, 2 * t + 1, g) << 16 : at(m, g, 2 * t) | at(m, g, 2 * t + 1) << 16;
}
static inline void ldmatrix4(unsigned* r, const void* row) { ldmatrix(r, row, 4, false); }
static inline void ldmatrix4Transposed(unsigned* r, const void* row) { ldmatrix(r, row, 4, true); }
static inline void ldmatrix2(unsigned* r, const void* row) { ldmatrix(r, row, 2, false); }
static inline void ldmatrix2Transposed(unsigned* r, const void* row) { ldmatrix(r, row, 2, true); }
static inline void copyAsync16(void* shared, const void* global) { memcpy(shared, global, 16); }
static inline void copyAsync16(void* shared, const void* global, bool wanted) {
  if (wanted) memcpy(shared, global, 16); else memset(shared, 0, 16);
}
static inline void copyAsyncGroup() {}
template <int N> static inline void copyAsyncWait() {}

// ---------------------------------------------------------------- entries
namespace entries {
template <size_t... I> struct Indices {};
template <size_t N, size_t... I> struct Count : Count<N - 1, N - 1, I...> {};
template <size_t... I> struct Count<0, I...> { using type = Indices<I...>; };
template <class... A, size_t... I> static inline void call(void (*kernel)(A...), void** values, Indices<I...>) { kernel(*(A*)values[I]...); }
template <class... A> static inline void call(void (*kernel)(A...), void** values) { call(kernel, values, typename Count<sizeof...(A)>::type{}); }
template <class... A> static constexpr unsigned count(void (*)(A...)) { return sizeof...(A); }
}
/** Declares what the driver launches a kernel by. */
#define BIRKHOFF_ENTRY(name) \
  extern "C" __attribute__((visibility("default"))) void entry_##name(void** values) { entries::call(name, values); } \
  extern "C" __attribute__((visibility("default"))) const unsigned parameters_##name = entries::count(name);
extern "C" {
extern unsigned char __start_group_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_group_shared[] __attribute__((weak, visibility("hidden")));
}
/** All shared memory of the module becomes NaN. */
extern "C" __attribute__((visibility("default"))) void birkhoffForget() {
  if (__start_group_shared) memset(__start_group_shared, 0xff, (size_t)(__stop_group_shared - __start_group_shared));
}
