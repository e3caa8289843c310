// Question: what may every kernel in CUDA C++ use?
//
// The functions of WGSL that translated kernels call, and what a hand-made kernel would else write in assembly: packed
// bfloat16, loads that pass the first cache by, products of tensor cores, copies that run beside the work. No header is
// included, so NVRTC needs none. The machine that the tests have instead of a GPU defines BIRKHOFF_ON_PROCESSOR and has
// its own functions in place of those with assembly.

export const prelude = `
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned short bf16;
#define DEVICE __device__ __forceinline__

DEVICE float bitsAs_f32(u32 x) { return __uint_as_float(x); }
DEVICE float bitsAs_f32(int x) { return __int_as_float(x); }
DEVICE float bitsAs_f32(float x) { return x; }
DEVICE u32 bitsAs_u32(float x) { return __float_as_uint(x); }
DEVICE u32 bitsAs_u32(int x) { return (u32)x; }
DEVICE u32 bitsAs_u32(u32 x) { return x; }
DEVICE int bitsAs_i32(float x) { return __float_as_int(x); }
DEVICE int bitsAs_i32(u32 x) { return (int)x; }

DEVICE float4 operator+(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
DEVICE float4 operator-(float4 a, float4 b) { return make_float4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w); }
DEVICE float4 operator*(float4 a, float4 b) { return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); }
DEVICE float4 operator*(float4 a, float b) { return make_float4(a.x * b, a.y * b, a.z * b, a.w * b); }
DEVICE float4 operator*(float a, float4 b) { return b * a; }
DEVICE float4& operator+=(float4& a, float4 b) { return a = a + b; }
DEVICE float2 operator+(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }
DEVICE float2 operator*(float2 a, float b) { return make_float2(a.x * b, a.y * b); }
DEVICE float2& operator+=(float2& a, float2 b) { return a = a + b; }

/* WGSL's own functions. */
namespace wgsl {
template <class T> DEVICE T select(T otherwise, T then, bool condition) { return condition ? then : otherwise; }
DEVICE float select(float otherwise, float then, bool condition) { return condition ? then : otherwise; }
/* What one thread has put into shared memory, for all of them. */
template <class T> DEVICE T workgroupUniformLoad(T* place) { __syncthreads(); T value = *place; __syncthreads(); return value; }
DEVICE float min(float a, float b) { return fminf(a, b); }
DEVICE float max(float a, float b) { return fmaxf(a, b); }
DEVICE u32 min(u32 a, u32 b) { return a < b ? a : b; }
DEVICE u32 max(u32 a, u32 b) { return a > b ? a : b; }
DEVICE int min(int a, int b) { return a < b ? a : b; }
DEVICE int max(int a, int b) { return a > b ? a : b; }
template <class T> DEVICE T clamp(T x, T low, T high) { return min(max(x, low), high); }
DEVICE float abs(float x) { return fabsf(x); }
DEVICE int abs(int x) { return x < 0 ? -x : x; }
DEVICE float exp(float x) { return expf(x); }
DEVICE float exp2(float x) { return exp2f(x); }
DEVICE float log(float x) { return logf(x); }
DEVICE float log2(float x) { return log2f(x); }
DEVICE float sqrt(float x) { return sqrtf(x); }
DEVICE float inverseSqrt(float x) { return rsqrtf(x); }
DEVICE float pow(float x, float y) { return powf(x, y); }
DEVICE float floor(float x) { return floorf(x); }
DEVICE float ceil(float x) { return ceilf(x); }
DEVICE float trunc(float x) { return truncf(x); }
DEVICE float round(float x) { return rintf(x); }
DEVICE float fma(float a, float b, float c) { return fmaf(a, b, c); }
DEVICE float4 fma(float4 a, float4 b, float4 c) { return make_float4(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w)); }
DEVICE float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
DEVICE float sin(float x) { return sinf(x); }
DEVICE float cos(float x) { return cosf(x); }
DEVICE float tanh(float x) { return tanhf(x); }
DEVICE float sign(float x) { return (x > 0.0f) - (x < 0.0f); }
DEVICE u32 countOneBits(u32 x) { return __popc(x); }
}

/* Two bfloat16 in a word, the first in its lower half. */
DEVICE float lowBf16(u32 pair) { return __uint_as_float(pair << 16); }
DEVICE float highBf16(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }
DEVICE float fromBf16(bf16 x) { return __uint_as_float((u32)x << 16); }
DEVICE u32 packBf16(float low, float high);
DEVICE bf16 toBf16(float x) { return (bf16)packBf16(x, 0.0f); }
/* A bfloat16 in memory that kernels take for a float. */
struct Narrow {
  bf16 bits;
  DEVICE operator float() const { return fromBf16(bits); }
  DEVICE Narrow& operator=(float x) { bits = toBf16(x); return *this; }
};

#ifndef BIRKHOFF_ON_PROCESSOR
/* Shared memory whose size is named at the launch. */
#define DYNAMIC_SHARED(name) extern __shared__ uint4 dynamicShared[]; unsigned char* name = (unsigned char*)dynamicShared;
/* Rounded to even. */
DEVICE u32 packBf16(float low, float high) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
/* A load of what is read once, and not written by this kernel. */
DEVICE uint4 loadOnce(const uint4* p) {
  uint4 r;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w) : "l"(p));
  return r;
}
/* A load of what is not written by this kernel. */
DEVICE uint4 loadConstant(const uint4* p) {
  uint4 r;
  asm("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w) : "l"(p));
  return r;
}
/* c (16 by 8) += a (16 by 16) b (16 by 8) by all threads of a warp. */
DEVICE void mmaBf16(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/* c (16 by 8) += a (16 by 8) b (8 by 8); the operands are float32 of which 19 bits count. */
DEVICE void mmaTf32(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/* Two e4m3 in the lower half of a word, rounded to even; what is beyond 448 becomes that. From compute capability 8.9. */
DEVICE u32 packE4m3(float low, float high) {
  unsigned short r;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(high), "f"(low));
  return r;
}
/* c (16 by 8) += a (16 by 32) b (32 by 8), factors of e4m3. From compute capability 8.9. */
DEVICE void mmaE4m3(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/* Four 8 by 8 matrices of 16-bit numbers from shared memory; lane l gives the address of row l % 8 of matrix l / 8. */
DEVICE void ldmatrix4(u32* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"((u32)__cvta_generic_to_shared(row)) : "memory");
}
DEVICE void ldmatrix4Transposed(u32* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"((u32)__cvta_generic_to_shared(row)) : "memory");
}
DEVICE void ldmatrix2(u32* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
      : "=r"(r[0]), "=r"(r[1]) : "r"((u32)__cvta_generic_to_shared(row)) : "memory");
}
DEVICE void ldmatrix2Transposed(u32* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
      : "=r"(r[0]), "=r"(r[1]) : "r"((u32)__cvta_generic_to_shared(row)) : "memory");
}
/* Copies of 16 bytes to shared memory that run beside the work: begun, closed as a group, waited for but the last N. */
DEVICE void copyAsync16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"((u32)__cvta_generic_to_shared(shared)), "l"(global) : "memory");
}
/* The same; where it is not wanted, zeros. */
DEVICE void copyAsync16(void* shared, const void* global, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"((u32)__cvta_generic_to_shared(shared)), "l"(global), "r"(wanted ? 16 : 0) : "memory");
}
DEVICE void copyAsyncGroup() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void copyAsyncWait() { asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"); }
#endif
`;
