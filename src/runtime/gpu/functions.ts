// Question: which functions do kernels of a GPU share?
//
// Each is a text of its own, named by its last function, and says which others it needs by calling them: a kernel
// lists those that it uses, and `withNeeded` adds what these use.

/** By the name that kernels call it by. */
const texts = {
  /** A float of these bits; the one way to write an infinity or NaN. */
  fromBits: `fn fromBits(word: u32) -> f32 { return bitcast<f32>(word); }`,
  /** By its bits: compilers of shaders may take it that there are no NaNs. */
  isNaN: `fn isNaN(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }`,
  /** The larger one; NaN if one of them is. */
  larger: `fn larger(a: f32, b: f32) -> f32 {
  if (isNaN(a)) { return a; }
  if (isNaN(b)) { return b; }
  return max(a, b);
}`,
  /** The smaller one; NaN if one of them is. */
  smaller: `fn smaller(a: f32, b: f32) -> f32 {
  if (isNaN(a)) { return a; }
  if (isNaN(b)) { return b; }
  return min(a, b);
}`,
  /** e^x; NaN stays NaN, which exp itself does not promise. */
  exponential: `fn exponential(x: f32) -> f32 { return select(exp(x), x, isNaN(x)); }`,
  /** ln x; NaN of NaN and below 0, which log itself does not promise. */
  logarithm: `fn logarithm(x: f32) -> f32 { return select(log(x), fromBits(0x7fc00000u), x < 0.0f || isNaN(x)); }`,
  /** √x; NaN of NaN and below 0, which sqrt itself does not promise. */
  root: `fn root(x: f32) -> f32 { return select(sqrt(x), fromBits(0x7fc00000u), x < 0.0f || isNaN(x)); }`,
  /** The upper half of a float32, rounded to even; NaN stays NaN. */
  toBfloat16: `fn toBfloat16(x: f32) -> u32 {
  let word: u32 = bitcast<u32>(x);
  if (isNaN(x)) { return (word >> 16u) | 0x40u; }
  return (word + 0x7fffu + ((word >> 16u) & 1u)) >> 16u;
}`,
  /** Rounded to e4m3 in a block with this largest magnitude, by its bits; see ops/float8.ts. */
  toFloat8: `fn toFloat8(x: f32, largest: f32) -> f32 {
  let word: u32 = bitcast<u32>(x);
  let top: u32 = bitcast<u32>(largest);
  let down: u32 = select(14u << 23u, 13u << 23u, (top & 0x7fffffu) > 0x600000u);
  let power: u32 = top & 0x7f800000u;
  let least: u32 = select(0u, power - down, power > down);
  if (top >= 0x71800000u || least <= (3u << 23u)) { return x; }
  if ((word & 0x7f800000u) >= least) { return fromBits((word + 0x7ffffu + ((word >> 20u) & 1u)) & 0xfff00000u); }
  let step: u32 = least - (3u << 23u);
  let count: f32 = abs(x) * fromBits((254u << 23u) - step);
  let below: f32 = floor(count);
  let up: bool = count - below > 0.5f || (count - below == 0.5f && (u32(below) & 1u) == 1u);
  let value: f32 = select(below, below + 1.0f, up) * fromBits(step);
  return select(value, -value, x < 0.0f);
}`,
  /** The float32 of the bfloat16 at an index, whose word is given. */
  widened: `fn widened(word: u32, at: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (at & 1u) == 1u));
}`,
  /** The nearest bfloat16. */
  rounded: `fn rounded(x: f32) -> f32 { return bitcast<f32>(toBfloat16(x) << 16u); }`,
  /** Two values as bfloat16 in a word, the first in its lower half. */
  packed: `fn packed(first: f32, second: f32) -> u32 { return toBfloat16(first) | (toBfloat16(second) << 16u); }`,
  /** 1 / (1 + e^−x) without an overflow on the way. */
  logistic: `fn logistic(x: f32) -> f32 {
  let e: f32 = exponential(-abs(x));
  let s: f32 = 1.0f / (1.0f + e);
  return select(e * s, s, x >= 0.0f);
}`,
  /** tanh x; near 0 by its series, which does not lose its digits there. */
  hyperbolicTangent: `fn hyperbolicTangent(x: f32) -> f32 {
  let e: f32 = exponential(-2.0f * abs(x));
  let far: f32 = (1.0f - e) / (1.0f + e);
  let near: f32 = x - x * x * x * (0.33333334f - 0.13333334f * x * x);
  return select(select(far, -far, x < 0.0f), near, abs(x) < 0.1f);
}`,
  /** x σ(x); far to the left x eˣ, which does not lose its digits there. */
  silu: `fn silu(x: f32) -> f32 { return select(x * logistic(x), 0.0f, x < -1.0e30f); }`,
  /** σ(x) (1 + x (1 − σ(x))), with its limits. */
  siluSlope: `fn siluSlope(x: f32) -> f32 {
  let s: f32 = logistic(x);
  return select(s * (1.0f + x * (1.0f - s)), s, abs(x) > 1.0e30f);
}`,
} as const;

export type FunctionName = keyof typeof texts;

const names = Object.keys(texts) as FunctionName[];

/** The texts of the functions that a text calls, and of those that these call; each after what it needs. */
export function functionsFor(text: string): string[] {
  const found: FunctionName[] = [];
  const visit = (caller: string): void => {
    for (const name of names) {
      if (found.includes(name) || !new RegExp(`\\b${name}\\(`).test(caller) || caller === texts[name]) continue;
      visit(texts[name]);
      if (!found.includes(name)) found.push(name);
    }
  };
  visit(text);
  return found.map((name) => texts[name]);
}
