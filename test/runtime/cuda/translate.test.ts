// The rules by which a kernel in WGSL's subset becomes CUDA C++, one by one: text by text, without a compiler. That the
// translated kernels compute the right values is tested with all operations (operations.test.ts).

import { describe, expect, test } from "vitest";
import { translate } from "../../../src/runtime/cuda/translate.ts";
import type { KernelWork } from "../../../src/runtime/gpu/work.ts";

const operands: KernelWork["operands"] = [
  { name: "x", type: "f32" },
  { name: "ids", type: "i32" },
  { name: "words", type: "u32" },
  { name: "half", type: "bf16" },
];
const work = (body: string, functions: readonly string[] = []): KernelWork => ({
  kind: "kernel",
  operands,
  functions,
  body,
  width: 64,
  groups: 1,
});
/** One space for any white space, none beside signs. */
const plain = (text: string): string =>
  text
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?([^\w ]) ?/g, "$1")
    .trim();
const bodyOf = (body: string): string => plain(translate(work(body)).body);

describe("a body", () => {
  test.each([
    ["let", "let a: f32 = 1.0f;", "const float a = 1.0f;"],
    ["let without a type", "let a = 2u;", "const auto a = 2u;"],
    ["const", "const n: u32 = 4u;", "constexpr u32 n = 4u;"],
    ["var", "var i: i32 = 3;", "int i = 3;"],
    ["var that begins as zero", "var b: bool;", "bool b = {};"],
    ["an array", "var a: array<f32, 4>;", "float a[4] = {};"],
    ["an array of arrays", "var a: array<array<u32, 3u>, 4u>;", "u32 a[4][3] = {};"],
    ["a vector", "var v: vec4<f32> = vec4<f32>(1, 2, 3, 4);", "float4 v = make_float4(1, 2, 3, 4);"],
    ["vectors of whole numbers", "let v: vec2<u32> = vec2<u32>(1u, 2u);", "const uint2 v = make_uint2(1u, 2u);"],
    ["a number without f", "let a: f32 = 1.5 + 2e3 + .5 + 1e-3f;", "const float a = 1.5f + 2e3f + .5f + 1e-3f;"],
    ["hexadecimal numbers, whose e is a digit", "let a: u32 = 0x7fe0u;", "const u32 a = 0x7fe0u;"],
    [
      "casts",
      "let a: f32 = f32(i) + f32(u32(j)) + f32(i32(k));",
      "const float a = float(i) + float(u32(j)) + float(int(k));",
    ],
    ["bits", "let a: f32 = bitcast<f32>(bitcast<u32>(b) & 15u);", "const float a = bitsAs_f32(bitsAs_u32(b) & 15u);"],
    ["operands", "x[i + 1u] = x[words[i]] + f32(ids[i]);", "of_x[i + 1u] = of_x[of_words[i]] + float(of_ids[i]);"],
    [
      "a variable of an operand's name is none",
      "let half: u32 = 2u; let y: u32 = half / x;",
      "const u32 half = 2u; const u32 y = half / x;",
    ],
    [
      "built-in functions",
      "let a: f32 = select(0.0f, exp(b), c) + abs(d);",
      "const float a = wgsl::select(0.0f, wgsl::exp(b), c) + wgsl::abs(d);",
    ],
    [
      "names of built-in functions that are variables",
      "let min: f32 = 1.0f; let y: f32 = min * 2.0f;",
      "const float min = 1.0f; const float y = min * 2.0f;",
    ],
    ["a function of the kernel's own", "let a: f32 = fold(b, lane);", "const float a = fold(b, lane);"],
    ["barriers", "workgroupBarrier(); storageBarrier();", "__syncthreads(); __threadfence_block();"],
    [
      "a uniform load",
      "let a: u32 = workgroupUniformLoad(&shared);",
      "const u32 a = wgsl::workgroupUniformLoad(&shared);",
    ],
    [
      "words that C++ keeps for itself",
      "let double: f32 = 1.0f; let new: f32 = double;",
      "const float double_ = 1.0f; const float new_ = double_;",
    ],
    [
      "loops",
      "for (var i: u32 = 0u; i < 4u; i += 1u) { if (i == 2u) { continue; } break; }",
      "for (u32 i = 0u; i < 4u; i += 1u) { if (i == 2u) { continue; } break; }",
    ],
    ["loops without an end", "loop { break; }", "for (;;) { break; }"],
    ["while", "while (a < b) { a <<= 1u; }", "while (a < b) { a <<= 1u; }"],
    ["comments are left out", "// nothing = 1; \n return; // more", "return;"],
    [
      "signs of two characters stay whole",
      "a = (b >> 2u) != 0u && !(c >= d) || e == f;",
      "a = (b >> 2u) != 0u && !(c >= d) || e == f;",
    ],
  ])("%s", (_, body, expected) => {
    expect(bodyOf(body)).toBe(plain(expected));
  });
});

describe("what stands beside the body", () => {
  const functions = [
    "var<workgroup> tile: array<f32, 64>;",
    "var<workgroup> first: u32;",
    "var<private> kept: array<f32, 2>;",
    "const LIMIT: u32 = 8u;",
    "fn twice(a: f32, n: u32) -> f32 { var b: f32 = a; if (n > 1u) { b += a; } return b; }",
    "fn wait() { workgroupBarrier(); }",
  ];
  const { outside, members, parameters } = translate(work("return;", functions));

  test("shared memory and constants lie outside of a thread, and shared memory begins as it is", () => {
    expect(outside.map(plain)).toEqual(
      ["__shared__ float tile[64];", "__shared__ u32 first;", "static constexpr u32 LIMIT = 8u;"].map(plain),
    );
  });
  test("a thread's own memory begins as zero, and functions are its methods", () => {
    expect(members.map(plain)).toEqual(
      [
        "float kept[2] = {};",
        "__device__ __forceinline__ float twice(float a, u32 n) { float b = a; if (n > 1u) { b += a; } return b; }",
        "__device__ __forceinline__ void wait() { __syncthreads(); }",
      ].map(plain),
    );
  });
  test("operands are pointers of their types, under names that no text has", () => {
    expect(parameters).toEqual([
      ["float*", "of_x"],
      ["int*", "of_ids"],
      ["u32*", "of_words"],
      ["Narrow*", "of_half"],
    ]);
  });
});

describe("what is refused, and where", () => {
  test.each([
    ["a sign that is none", "let a: f32 = b # c;", 'the sign "#" is unknown, near "# c;"'],
    ["a type that is none", "let a: f64 = 1.0f;", "the type f64 is unknown"],
    ["a vector of what there is none of", "var v: vec4<bool>;", "a vector of bool is unknown"],
    ["a constructor of an array", "let a: f32 = array<f32, 2>(1.0f, 2.0f)[0];", "arrays have no constructor"],
    ["shared memory within a body", "var<workgroup> a: f32;", "a body declares variables of its threads alone"],
    ["a declaration without a name", "let 3: f32 = 1.0f;", '"3" is no name'],
    ["a declaration without an end", "let a: f32 = 1.0f", "the text ends too early"],
    ["another sign", "var a: array<f32; 4>;", '"," is expected and ";" is there'],
  ])("%s", (_, body, message) => {
    expect(() => translate(work(body))).toThrow(`translate: ${message}`);
  });
  test.each([
    ["a statement outside of functions", "return;", '"return" cannot begin a declaration'],
    ["memory that a kernel does not have", "var<storage> a: f32;", "a variable in storage memory is unknown"],
    ["arrays as values", "fn f(a: array<f32, 2>) { }", "functions take and give no arrays"],
  ])("%s", (_, declaration, message) => {
    expect(() => translate(work("return;", [declaration]))).toThrow(message);
  });
});
