// libcublasLt of the machine that the tests have instead of a GPU: products by plain loops, in the stream's turn.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT extern "C" __attribute__((visibility("default")))
extern "C" void fakeOrder(void* stream, void (*what)(void*), void* with);
extern "C" int fakeEnter(const char* name);
extern "C" int fakeIsCurrent(void* stream);
#define BEGIN if (int code = fakeEnter(__func__)) return code

namespace {
enum { invalidValue = 7, executionFailed = 13, notSupported = 15 };
enum { f32 = 0, bf16 = 14 };
struct Layout { int type; uint64_t rows, columns; int64_t leading; int32_t batch = 1; int64_t stride = 0; };
struct Description { int compute, scale; int32_t transposeA = 0, transposeB = 0; };
struct Preference { uint64_t workspace = 0; };
struct Algorithm { uint64_t data[8]; };
struct Result { Algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; };
const uint64_t signature = 0x626972;

float read(const void* p, int type, size_t at) {
  if (type == f32) return ((const float*)p)[at];
  const uint32_t word = (uint32_t)((const uint16_t*)p)[at] << 16;
  float value;
  memcpy(&value, &word, 4);
  return value;
}
void write(void* p, int type, size_t at, float value) {
  if (type == f32) {
    ((float*)p)[at] = value;
    return;
  }
  uint32_t word;
  memcpy(&word, &value, 4);
  ((uint16_t*)p)[at] = value != value ? 0x7fff : (uint16_t)((word + 0x7fffu + (word >> 16 & 1)) >> 16);
}
struct Order {
  Description d;
  Layout a, b, c, r;
  const void *A, *B, *C;
  void* D;
  float alpha, beta;
};
void multiply(void* given) {
  // Not freed: a graph replays it.
  const Order& o = *(Order*)given;
  const uint64_t m = o.r.rows, n = o.r.columns, k = o.d.transposeA ? o.a.rows : o.a.columns;
  for (int batch = 0; batch < o.r.batch; batch++)
    for (uint64_t j = 0; j < n; j++)
      for (uint64_t i = 0; i < m; i++) {
        float sum = 0;
        for (uint64_t q = 0; q < k; q++) {
          const size_t at = batch * o.a.stride + (o.d.transposeA ? q + i * o.a.leading : i + q * o.a.leading);
          const size_t bt = batch * o.b.stride + (o.d.transposeB ? j + q * o.b.leading : q + j * o.b.leading);
          sum += read(o.A, o.a.type, at) * read(o.B, o.b.type, bt);
        }
        float value = o.alpha * sum;
        if (o.beta != 0) value += o.beta * read(o.C, o.c.type, batch * o.c.stride + i + j * o.c.leading);
        write(o.D, o.r.type, batch * o.r.stride + i + j * o.r.leading, value);
      }
}
}  // namespace

EXPORT size_t cublasLtGetVersion() { return 130000; }
EXPORT int cublasLtCreate(void** handle) { BEGIN; *handle = (void*)&signature; return 0; }
EXPORT int cublasLtDestroy(void*) { BEGIN; return 0; }
EXPORT int cublasLtMatmulDescCreate(Description** d, int compute, int scale) {
  BEGIN;
  if (compute != 68 || scale != f32) return notSupported;
  *d = new Description{compute, scale};
  return 0;
}
EXPORT int cublasLtMatmulDescDestroy(Description* d) { BEGIN; delete d; return 0; }
EXPORT int cublasLtMatmulDescSetAttribute(Description* d, int attribute, const void* value, size_t bytes) {
  BEGIN;
  if (bytes != 4) return invalidValue;
  if (attribute == 3) memcpy(&d->transposeA, value, 4);
  else if (attribute == 4) memcpy(&d->transposeB, value, 4);
  else return invalidValue;
  return 0;
}
EXPORT int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  BEGIN;
  if (type != f32 && type != bf16) return notSupported;
  if (leading < (int64_t)rows) return invalidValue;
  *layout = new Layout{type, rows, columns, leading};
  return 0;
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout* layout) { BEGIN; delete layout; return 0; }
EXPORT int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t bytes) {
  BEGIN;
  if (attribute == 5 && bytes == 4) memcpy(&layout->batch, value, 4);
  else if (attribute == 6 && bytes == 8) memcpy(&layout->stride, value, 8);
  else return invalidValue;
  return 0;
}
EXPORT int cublasLtMatmulPreferenceCreate(Preference** p) { BEGIN; *p = new Preference; return 0; }
EXPORT int cublasLtMatmulPreferenceDestroy(Preference* p) { BEGIN; delete p; return 0; }
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value, size_t bytes) {
  BEGIN;
  if (attribute == 1 && bytes == 8) memcpy(&p->workspace, value, 8);
  return 0;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, Description*, Layout* a, Layout*, Layout*, Layout*, Preference*, int wanted, Result* results, int* found) {
  BEGIN;
  if (wanted < 1) return invalidValue;
  results[0] = Result{{{signature, a->rows, a->columns}}, 1024, 0, 1.0f, {}};
  *found = 1;
  return 0;
}
EXPORT int cublasLtMatmul(void*, Description* d, const float* alpha, const void* A, Layout* a, const void* B, Layout* b, const float* beta, const void* C, Layout* c, void* D, Layout* r, const Algorithm* algorithm, void*, size_t workspaceBytes, void* stream) {
  BEGIN;
  if (!fakeIsCurrent(stream)) return executionFailed;
  // An algorithm that was made for another shape, or without its workspace, is refused.
  if (!algorithm || algorithm->data[0] != signature || algorithm->data[1] != a->rows || algorithm->data[2] != a->columns || workspaceBytes < 1024) return invalidValue;
  fakeOrder(stream, multiply, new Order{*d, *a, *b, *c, *r, A, B, C, D, *alpha, *beta});
  return 0;
}
EXPORT const char* cublasLtGetStatusString(int) { return "a status of the fake library"; }
