// Question: does this engine fuse a relaxed multiply-add, that is, round only once?
//
// With a = 1 + 2⁻¹², a · a = 1 + 2⁻¹¹ + 2⁻²⁴. Rounded to float32 the product loses its last bit, so
// a · a − (1 + 2⁻¹¹) is 2⁻²⁴ when it is fused and 0 when it is not.

// prettier-ignore
const BYTES = [
  0, 97, 115, 109, 1, 0, 0, 0, // head
  1, 8, 1, 96, 3, 125, 125, 125, 1, 125, // type: (f32, f32, f32) → f32
  3, 2, 1, 0, // one function of it
  7, 5, 1, 1, 102, 0, 0, // export "f"
  10, 22, 1, 20, 0, // code
  32, 0, 253, 19, 32, 1, 253, 19, 32, 2, 253, 19, // splat each argument
  253, 133, 2, // f32x4.relaxed_madd
  253, 31, 0, // lane 0
  11,
];

export function fusesMultiplyAdd(): boolean {
  const bytes = Uint8Array.from(BYTES);
  if (!WebAssembly.validate(bytes)) return false;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const f = exports.f as (a: number, b: number, c: number) => number;
  const a = 1 + 2 ** -12;
  return f(a, a, -(1 + 2 ** -11)) === 2 ** -24;
}
