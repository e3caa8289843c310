// Question: how are matrices multiplied by cuBLASLt?
//
// Once for each shape the library is asked which algorithm it would take, and that one is kept: it answers by rules, not
// by timing, so the bits of a run do not depend on the day. Partial sums of a product are joined in float32 and in a
// fixed order. The library counts columns first; a matrix that lies row by row is the transpose of such, so
// C = A B is asked for as Cᵀ = Bᵀ Aᵀ.

import type { Cache } from "./cache.ts";
import { CudaError } from "./errors.ts";
import type { Argument, Cell, Native } from "./native.ts";
import type { ProductType, ProductWork } from "./work.ts";

const signatures = {
  cublasLtCreate: "uint64_t handle",
  cublasLtDestroy: "uint64_t handle",
  cublasLtMatmulDescCreate: "uint64_t description, int compute, int scale",
  cublasLtMatmulDescDestroy: "uint64_t description",
  cublasLtMatmulDescSetAttribute: "uint64_t description, int attribute, uint64_t value, size_t bytes",
  cublasLtMatrixLayoutCreate: "uint64_t layout, int type, uint64_t rows, uint64_t columns, int64_t leading",
  cublasLtMatrixLayoutDestroy: "uint64_t layout",
  cublasLtMatrixLayoutSetAttribute: "uint64_t layout, int attribute, uint64_t value, size_t bytes",
  cublasLtMatmulPreferenceCreate: "uint64_t preference",
  cublasLtMatmulPreferenceDestroy: "uint64_t preference",
  cublasLtMatmulPreferenceSetAttribute: "uint64_t preference, int attribute, uint64_t value, size_t bytes",
  cublasLtMatmulAlgoGetHeuristic:
    "uint64_t handle, uint64_t description, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t preference, int wanted, uint64_t results, uint64_t found",
  cublasLtMatmul:
    "uint64_t handle, uint64_t description, uint64_t alpha, uint64_t A, uint64_t a, uint64_t B, uint64_t b, uint64_t beta, uint64_t C, uint64_t c, uint64_t D, uint64_t d, uint64_t algorithm, uint64_t workspace, size_t workspaceBytes, uint64_t stream",
} as const;

type ProductCall = keyof typeof signatures;

/** All calls that the runtime makes of the library. */
export const productCalls: readonly ProductCall[] = Object.keys(signatures) as ProductCall[];

/** cudaDataType_t. */
const types: Readonly<Record<ProductType, number>> = { f32: 0, bf16: 14 };
/** CUBLAS_COMPUTE_32F: sums in float32, and products of float32 exact to it. */
const COMPUTE_FLOAT32 = 68;
/** cublasLtMatmulDescAttributes_t, cublasLtMatrixLayoutAttribute_t, cublasLtMatmulPreferenceAttributes_t. */
const attributes = { transposeA: 3, transposeB: 4, batch: 5, stride: 6, workspace: 1, reduction: 3 } as const;
/** CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE: parts of a sum are kept in float32, and added in order. */
const REDUCTION_IN_FLOAT32 = 2;
/** Of cublasLtMatmulAlgo_t, and of cublasLtMatmulHeuristicResult_t. */
const [ALGORITHM_BYTES, RESULT_BYTES] = [64, 96];
const STATUS_NOT_SUPPORTED = 15;

/** What every product may use beside its operands; all products of a stream share it. */
export const WORKSPACE_BYTES: number = 32 * 2 ** 20;

/** A shape of product that is ready to be done. */
export interface PreparedProduct {
  readonly work: ProductWork;
  readonly description: number;
  readonly layouts: readonly [a: number, b: number, c: number];
  /** At its address: the algorithm. */
  readonly algorithm: Cell;
}

export interface ProductPlaces {
  readonly a: number;
  readonly b: number;
  readonly addend?: number;
  readonly c: number;
}

export interface Products {
  readonly file: string;
  /** Such as 130000. */
  readonly version: number;
  /** @throws CudaError when there is no way to multiply these shapes */
  prepare(work: ProductWork, label: string): PreparedProduct;
  multiply(product: PreparedProduct, places: ProductPlaces, workspace: number, stream: number, label: string): void;
  close(): void;
}

/**
 * @param device what an algorithm was chosen for, beside the library's version
 * @param makeCurrent makes the context of the GPU the thread's
 */
export function openProducts(
  native: Native,
  file: string,
  cache: Cache,
  device: string,
  makeCurrent: () => void,
): Products {
  const library = native.open(file);
  const raw = Object.fromEntries(productCalls.map((call) => [call, library.code(call, signatures[call])])) as Record<
    ProductCall,
    ReturnType<typeof library.code>
  >;
  const call = (name: ProductCall, ...values: Argument[]): void => expectDone(name, raw[name](...values));
  const cell = native.cell(16);
  const address = (name: ProductCall, ...values: Argument[]): number => {
    call(name, cell.address, ...values);
    return Number(cell.view.getBigUint64(0, true));
  };
  const set32 = (name: ProductCall, of: number, attribute: number, value: number): void => {
    cell.view.setInt32(0, value, true);
    call(name, of, attribute, cell.address, 4);
  };
  const set64 = (name: ProductCall, of: number, attribute: number, value: number): void => {
    cell.view.setBigUint64(0, BigInt(value), true);
    call(name, of, attribute, cell.address, 8);
  };
  makeCurrent();
  const version = library.number("cublasLtGetVersion", "")();
  const handle = address("cublasLtCreate");
  /** Factors of the product and of the addend. */
  const factors = native.cell(16);
  factors.view.setFloat32(0, 1, true);
  factors.view.setFloat32(4, 0, true);
  const known = new Map<string, PreparedProduct>();

  /** A matrix of `rows` by `columns` that lies row by row. */
  const layoutOf = (type: ProductType, rows: number, columns: number, batch: number): number => {
    const layout = address("cublasLtMatrixLayoutCreate", types[type], columns, rows, columns);
    set32("cublasLtMatrixLayoutSetAttribute", layout, attributes.batch, batch);
    set64("cublasLtMatrixLayoutSetAttribute", layout, attributes.stride, rows * columns);
    return layout;
  };
  const choose = (description: number, [a, b, c]: PreparedProduct["layouts"], label: string): Uint8Array => {
    const preference = address("cublasLtMatmulPreferenceCreate");
    set64("cublasLtMatmulPreferenceSetAttribute", preference, attributes.workspace, WORKSPACE_BYTES);
    set32("cublasLtMatmulPreferenceSetAttribute", preference, attributes.reduction, REDUCTION_IN_FLOAT32);
    const results = native.cell(RESULT_BYTES);
    const name = "cublasLtMatmulAlgoGetHeuristic";
    // Bᵀ is the first operand: see above.
    const code = raw[name](handle, description, b, a, c, c, preference, 1, results.address, cell.address);
    const found = cell.view.getInt32(0, true);
    call("cublasLtMatmulPreferenceDestroy", preference);
    expectDone(name, code === 0 && found === 0 ? STATUS_NOT_SUPPORTED : code, label);
    return new Uint8Array(results.view.buffer.slice(0, ALGORITHM_BYTES));
  };

  return {
    file,
    version,
    prepare(work, label) {
      const { batch, rows, inner, columns, transposeA, transposeB, types: of, accumulates } = work;
      const shape = [batch, rows, inner, columns, +transposeA, +transposeB, of.a, of.b, of.c, +accumulates].join(" ");
      const before = known.get(shape);
      if (before) return before;
      makeCurrent();
      const description = address("cublasLtMatmulDescCreate", COMPUTE_FLOAT32, types.f32);
      set32("cublasLtMatmulDescSetAttribute", description, attributes.transposeA, +transposeB);
      set32("cublasLtMatmulDescSetAttribute", description, attributes.transposeB, +transposeA);
      const a = transposeA ? layoutOf(of.a, inner, rows, batch) : layoutOf(of.a, rows, inner, batch);
      const b = transposeB ? layoutOf(of.b, columns, inner, batch) : layoutOf(of.b, inner, columns, batch);
      const layouts = [a, b, layoutOf(of.c, rows, columns, batch)] as const;
      const key = `product of ${shape} by cuBLASLt ${version} on ${device}`;
      const kept = cache.get(key);
      const chosen = kept?.length === ALGORITHM_BYTES ? kept : choose(description, layouts, label);
      if (chosen !== kept) cache.put(key, chosen);
      const algorithm = native.cell(ALGORITHM_BYTES);
      new Uint8Array(algorithm.view.buffer).set(chosen);
      const prepared = { work, description, layouts, algorithm };
      known.set(shape, prepared);
      return prepared;
    },
    multiply({ work, description, layouts: [a, b, c], algorithm }, places, workspace, stream, label) {
      makeCurrent();
      const beta = factors.address + (work.accumulates ? 0 : 4);
      const addend = places.addend ?? places.c;
      const code = raw.cublasLtMatmul(
        handle,
        description,
        factors.address,
        places.b,
        b,
        places.a,
        a,
        beta,
        addend,
        c,
        places.c,
        c,
        algorithm.address,
        workspace,
        WORKSPACE_BYTES,
        stream,
      );
      expectDone("cublasLtMatmul", code, label);
    },
    close() {
      makeCurrent();
      for (const { description, layouts } of known.values()) {
        raw.cublasLtMatmulDescDestroy(description);
        for (const layout of layouts) raw.cublasLtMatrixLayoutDestroy(layout);
      }
      known.clear();
      raw.cublasLtDestroy(handle);
    },
  };
}

function expectDone(call: string, code: number, doing?: string): void {
  if (code !== 0) throw new CudaError("products", call, code, doing);
}
