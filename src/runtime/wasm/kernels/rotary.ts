// Question: how do heads turn by the angles of their positions, and where do the angles come from?
//
//   y_i = x_i cos φ − x_{i+R/2} sin φ,  y_{i+R/2} = x_{i+R/2} cos φ + x_i sin φ,  φ = t · ratio^i
//
// rotaryTable  row-wise, rows are positions
// rotary       row-wise; y may be x

import { RotaryTableArguments, RotaryArguments } from "./arguments";
import { fma } from "./simd";

export function rotaryTable(args: RotaryTableArguments, begin: i32, end: i32, scratch: usize): void {
  const table = args.table;
  const R = args.R, ratio = args.ratio;
  const half = <usize>(R << 1);
  for (let t = begin; t < end; t++) {
    let cos = table + <usize>(R << 2) * <usize>t;
    let frequency: f64 = 1;
    for (let i = 0; i < R >> 1; i++) {
      storeCosSin(<f64>t * frequency, cos, cos + half);
      frequency *= ratio;
      cos += 4;
    }
  }
}

/**
 * Cosine and sine of x >= 0 in float64 (fdlibm's polynomials on [−π/4, π/4]): the angles of late
 * positions would lose their fraction in float32. π/2 in two parts is exact enough to x = 2^31.
 */
function storeCosSin(x: f64, cos: usize, sin: usize): void {
  const turns = nearest<f64>(x * 0.6366197723675814);
  const r = x - turns * 1.5707963267341256 - turns * 6.077100506506192e-11;
  const z = r * r;
  const s = r + r * z * (-1.66666666666666324348e-1 + z * (8.33333333332248946124e-3 + z * (-1.98412698298579493134e-4
    + z * (2.75573137070700676789e-6 + z * (-2.50507602534068634195e-8 + z * 1.58969099521155010221e-10)))));
  const c = 1 - 0.5 * z + z * z * (4.16666666666666019037e-2 + z * (-1.38888888888741095749e-3 + z * (2.48015872894767294178e-5
    + z * (-2.75573143513906633035e-7 + z * (2.08757232129817482790e-9 + z * -1.13596475577881948265e-11)))));
  const quarter = <i32>(<i64>turns & 3);
  const crossed = (quarter & 1) == 1;
  const a = crossed ? s : c, b = crossed ? c : s;
  store<f32>(cos, <f32>(quarter == 1 || quarter == 2 ? -a : a));
  store<f32>(sin, <f32>(quarter >= 2 ? -b : b));
}

export function rotary(args: RotaryArguments, begin: i32, end: i32, scratch: usize): void {
  const x = args.x, table = args.table, y = args.y;
  const T = args.T, R = args.R, E = args.E;
  const heads = args.heads, headSize = args.headSize;
  const sign: f32 = args.inverse ? -1 : 1;
  const still = <usize>(headSize - R) << 2;
  const headBytes = <usize>headSize << 2, rowBytes = <usize>E << 2;
  const turning = headBytes * <usize>heads;
  for (let row = begin; row < end; row++) {
    const angles = table + <usize>(R << 2) * <usize>(row % T);
    const from = x + rowBytes * <usize>row, to = y + rowBytes * <usize>row;
    for (let head: usize = 0; head < turning; head += headBytes) {
      turn(from + head, to + head, angles, R >> 1, sign);
      if (still && x != y) memory.copy(to + head + (<usize>R << 2), from + head + (<usize>R << 2), still);
    }
    if (x != y) memory.copy(to + turning, from + turning, rowBytes - turning);
  }
}

function turn(x: usize, y: usize, angles: usize, half: i32, sign: f32): void {
  const across = <usize>half << 2;
  const signs = f32x4.splat(sign);
  let i: usize = 0;
  for (; i + 32 <= across; i += 32) {
    const a0 = v128.load(x + i), a1 = v128.load(x + i, 16);
    const b0 = v128.load(x + across + i), b1 = v128.load(x + across + i, 16);
    const c0 = v128.load(angles + i), c1 = v128.load(angles + i, 16);
    const s0 = f32x4.mul(v128.load(angles + across + i), signs), s1 = f32x4.mul(v128.load(angles + across + i, 16), signs);
    v128.store(y + i, f32x4.sub(f32x4.mul(a0, c0), f32x4.mul(b0, s0)));
    v128.store(y + i, f32x4.sub(f32x4.mul(a1, c1), f32x4.mul(b1, s1)), 16);
    v128.store(y + across + i, fma(b0, c0, f32x4.mul(a0, s0)));
    v128.store(y + across + i, fma(b1, c1, f32x4.mul(a1, s1)), 16);
  }
  for (; i < across; i += 4) {
    const a = load<f32>(x + i), b = load<f32>(x + across + i);
    const c = load<f32>(angles + i), s = load<f32>(angles + across + i) * sign;
    store<f32>(y + i, a * c - b * s);
    store<f32>(y + across + i, b * c + a * s);
  }
}
