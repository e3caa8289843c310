// Question: are the matrix products right to the last bit of float32 that rounding allows, in both
// builds and both panel widths, and are they the same bits however the work is cut?
//
// Needs the built kernels: node scripts/build-kernels.ts.

import { assert, integer, property } from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { roundToBfloat16 } from "../../../src/ops/bfloat16.ts";
import { outerGrid } from "../../../src/runtime/wasm/gemm-grid.ts";
import { instantiate, type KernelExports } from "../../../src/runtime/wasm/module.ts";
import { nodeHost } from "../../../src/runtime/wasm/node/host.ts";
import { probePanelWidth } from "../../../src/runtime/wasm/probe.ts";
import {
  at,
  bits,
  call,
  cube,
  expectProduct,
  floats,
  halves,
  Heap,
  memory,
  packed,
  relaxed,
  scratch,
  variants,
} from "./gemm-harness.ts";

describe.each(variants)("matrix products, $name", ({ build, width }) => {
  let exports: KernelExports;

  beforeAll(async () => {
    exports = instantiate((await nodeHost.loadKernels(build)).module, memory).exports;
    probePanelWidth(exports, memory, scratch);
    exports.setPanelWidth(width);
    expect(exports.panelWidth()).toBe(width);
  });

  it("packB pads the last panel with zeros in both orientations", () => {
    for (const transposed of [false, true]) {
      for (const K of [1, 3, 4, 65]) {
        for (const N of [1, 6, 17, 24]) {
          const store = new Heap();
          const b = store.random(K * N);
          const panels = packed(exports, store, b, { M: 0, N, K }, transposed ? K : N, transposed);
          for (let j = 0; j < Math.ceil(N / width) * width; j++) {
            for (let k = 0; k < K; k++) {
              const value = j < N ? at(b, transposed ? j * K + k : k * N + j) : 0;
              expect(at(panels, Math.floor(j / width) * K * width + k * width + (j % width))).toBe(value);
            }
          }
        }
      }
    }
  });

  it("gemmRows: C = A B and C = A B + C0 over odd shapes, with wider strides", () => {
    for (const [index, shape] of [...cube, { M: 50, N: 24, K: 1700 }, { M: 7, N: 6, K: 769 }].entries()) {
      const { M, N, K } = shape;
      const store = new Heap();
      const [lda, ldb, ldc] = [K + (index % 3), N + (index % 2), N + (index % 4)];
      const transposed = index % 5 < 2;
      const [a, b] = [store.random(M * lda), store.random(transposed ? N * K : K * ldb)];
      const [zero, added, c] = [0, store.random(M * ldc), store.alloc(M * ldc)];
      const panels = packed(exports, store, b, shape, transposed ? K : ldb, transposed);
      for (const c0 of [zero, added]) {
        floats.fill(NaN, c / 4, c / 4 + M * ldc);
        call(exports, "gemmRows", { A: a, B: panels, C0: c0, C: c }, { K, N, lda, ldc }, M, 48);
        expectProduct(
          shape,
          c,
          ldc,
          (i, k) => at(a, i * lda + k),
          (k, j) => at(b, transposed ? j * K + k : k * ldb + j),
          (i, j) => (c0 === 0 ? 0 : at(c0, i * ldc + j)),
        );
      }
    }
  });

  it("gemmOuter: C = Aᵀ B and C += Aᵀ B over odd shapes, with wider strides", () => {
    const shapes = [...cube.filter((_, i) => i % 5 === 0), { M: 24, N: 300, K: 600 }, { M: 270, N: 20, K: 300 }];
    for (const [index, shape] of shapes.entries()) {
      const { M, N, K: T } = shape;
      const store = new Heap();
      const [lda, ldb, ldc] = [M + (index % 3), N + (index % 2), N + (index % 4)];
      const [a, b, c, before] = [
        store.random(T * lda),
        store.random(T * ldb),
        store.alloc(M * ldc),
        store.random(M * ldc),
      ];
      const { down, across } = outerGrid(M, N, 1 + (index % 3));
      for (const c0 of [0, c]) {
        for (let i = 0; i < M * ldc; i++) floats[c / 4 + i] = i % ldc < N && c0 !== 0 ? at(before, i) : NaN;
        const grid = { T, M, N, lda, ldb, ldc, down, across, narrowA: 0, narrowB: 0 };
        call(exports, "gemmOuter", { A: a, B: b, C0: c0, C: c }, grid, down * across, 1);
        expectProduct(
          shape,
          c,
          ldc,
          (i, t) => at(a, t * lda + i),
          (t, j) => at(b, t * ldb + j),
          (i, j) => (c0 === 0 ? 0 : at(before, i * ldc + j)),
        );
      }
    }
  });

  it("gemmBatched: every orientation, shared operands, several tasks a matrix", () => {
    const shapes = [...cube.filter((_, i) => i % 7 === 0), { M: 110, N: 270, K: 260 }];
    for (const [index, shape] of shapes.entries()) {
      const { M, N, K } = shape;
      const store = new Heap();
      const batch = 1 + (index % 3);
      const [transA, transB] = [index % 2 === 1, index % 4 > 1];
      const [strideA, strideB] = [index % 5 === 0 ? 0 : M * K, index % 3 === 0 ? 0 : K * N];
      const [a, b, c] = [store.random(batch * M * K), store.random(batch * K * N), store.alloc(batch * M * N)];
      const rows = [M, 48, 5][index % 3]!;
      floats.fill(NaN, c / 4, c / 4 + batch * M * N);
      const orientation = { transposeA: Number(transA), transposeB: Number(transB) };
      const sizes = { strideA, strideB, strideC: M * N, M, N, K, ...orientation, rowsPerTask: rows };
      call(exports, "gemmBatched", { A: a, B: b, C: c }, sizes, batch * Math.ceil(M / rows), 1);
      for (let n = 0; n < batch; n++) {
        expectProduct(
          shape,
          c + 4 * n * M * N,
          N,
          (i, k) => at(a, n * strideA + (transA ? k * M + i : i * K + k)),
          (k, j) => at(b, n * strideB + (transB ? j * K + k : k * N + j)),
          () => 0,
        );
      }
    }
  });

  it("gives the same bits for any cut of the rows, any grid and in place", () => {
    const size = integer({ min: 1, max: 120 });
    assert(
      property(size, size, integer({ min: 1, max: 900 }), integer({ min: 1, max: 60 }), (M, N, K, grain) => {
        const store = new Heap();
        const [a, b, c0] = [store.random(M * K), store.random(K * N), store.random(M * N)];
        const [c, again] = [store.alloc(M * N), store.alloc(M * N)];
        const panels = packed(exports, store, b, { M, N, K }, N, false);
        const strides = { K, N, lda: K, ldc: N };
        call(exports, "gemmRows", { A: a, B: panels, C0: c0, C: c }, strides, M, M);
        for (const each of [1, grain]) {
          floats.copyWithin(again / 4, c0 / 4, c0 / 4 + M * N);
          call(exports, "gemmRows", { A: a, B: panels, C0: again, C: again }, strides, M, each);
          expect(bits(again, M * N)).toEqual(bits(c, M * N));
        }
        floats.copyWithin(again / 4, c0 / 4, c0 / 4 + M * N);
        const domain = Math.ceil(N / exports.panelWidth());
        call(
          exports,
          "gemmPanels",
          { A: a, B: panels, C0: again, C: again },
          { M, ...strides },
          domain,
          1 + (grain % 4),
        );
        expect(bits(again, M * N)).toEqual(bits(c, M * N));

        const operands = { A: a, B: b, C0: undefined, C: again };
        const sizes = { T: K, M, N, lda: M, ldb: N, ldc: N, narrowA: 0, narrowB: 0 };
        call(exports, "gemmOuter", operands, { ...sizes, down: 1, across: 1 }, 1, 1);
        const whole = bits(again, M * N);
        const { down, across } = outerGrid(M, N, grain);
        call(exports, "gemmOuter", operands, { ...sizes, down, across }, down * across, 1);
        expect(bits(again, M * N)).toEqual(whole);
      }),
      { numRuns: 40 },
    );
  });

  /** The upper halves of rounded float32 values. */
  const narrowed = (store: Heap, from: number, count: number): number => {
    const to = store.alloc(count);
    for (let i = 0; i < count; i++) {
      floats[from / 4 + i] = roundToBfloat16(floats[from / 4 + i]!);
      halves[to / 2 + i] = halves[from / 2 + 2 * i + 1]!;
    }
    return to;
  };

  it("gemmOuter: the same bits from narrow rows as from wide ones, of either operand", () => {
    for (const [index, { M, N, K: T }] of cube.filter((_, i) => i % 3 === 0).entries()) {
      const store = new Heap();
      const [a, b, c] = [store.random(T * M), store.random(T * N), store.alloc(M * N)];
      const [narrowA, narrowB] = [narrowed(store, a, T * M), narrowed(store, b, T * N)];
      const { down, across } = outerGrid(M, N, 1 + (index % 3));
      const product = (A: number, B: number): number[] => {
        const words = {
          T,
          M,
          N,
          lda: M,
          ldb: N,
          ldc: N,
          down,
          across,
          narrowA: Number(A !== a),
          narrowB: Number(B !== b),
        };
        call(exports, "gemmOuter", { A, B, C0: undefined, C: c }, words, down * across, 1);
        return Array.from(bits(c, M * N));
      };
      const wide = product(a, b);
      for (const [A, B] of [
        [narrowA, b],
        [a, narrowB],
        [narrowA, narrowB],
      ] as const)
        expect(product(A, B)).toEqual(wide);
    }
  });

  it("packB and gemv round the weight that they read, whatever its bits", () => {
    for (const { M, N, K } of cube.filter((_, i) => i % 5 === 0)) {
      const store = new Heap();
      const [a, b] = [store.random(Math.min(M, 16) * K), store.random(N * K)];
      floats.set([NaN, Infinity, -Infinity, 3.4e38, 1e-45].slice(0, N * K), b / 4);
      const copy = store.alloc(N * K);
      for (let i = 0; i < N * K; i++) floats[copy / 4 + i] = roundToBfloat16(floats[b / 4 + i]!);
      const width = exports.panelWidth();
      const panels = Math.ceil(N / width);
      const pack = (B: number, rounded: number): number[] => {
        const to = store.alloc(panels * width * K);
        call(exports, "packB", { B, packed: to }, { K, N, ldb: N, transposed: 0, rounded }, panels, 3);
        return Array.from(floats.subarray(to / 4, to / 4 + panels * width * K));
      };
      expect(pack(b, 1)).toEqual(pack(copy, 0));
      const rows = Math.min(M, 16);
      const times = (B: number, rounded: number): number[] => {
        const c = store.alloc(rows * N);
        call(exports, "gemv", { A: a, B, C0: undefined, C: c }, { M: rows, K, N, block: N, rounded }, 1, 1);
        return Array.from(floats.subarray(c / 4, c / 4 + rows * N));
      };
      expect(times(b, 1)).toEqual(times(copy, 0));
    }
  });
});

describe.runIf(relaxed)("panel widths", () => {
  it("8 and 16 give the same bits", async () => {
    const { exports } = instantiate((await nodeHost.loadKernels("relaxed")).module, memory);
    const [M, N, K] = [53, 43, 1000];
    const store = new Heap();
    const [a, b, c] = [store.random(M * K), store.random(K * N), store.alloc(M * N)];
    const results = [8, 16].map((width) => {
      exports.setPanelWidth(width);
      const panels = packed(exports, store, b, { M, N, K }, N, false);
      call(exports, "gemmRows", { A: a, B: panels, C0: undefined, C: c }, { K, N, lda: K, ldc: N }, M, 48);
      return bits(c, M * N);
    });
    expect(results[0]).toEqual(results[1]);
  });
});
