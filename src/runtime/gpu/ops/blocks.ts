// Question: how does a GPU do SwiGLU, rotary positions and a step of AdamW? Element by element.

import { lastAxis, rowCount, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { adamwOperation } from "../../../ops/adamw.ts";
import { rotaryOperation } from "../../../ops/rotary.ts";
import { swigluBackwardOperation, swigluOperation } from "../../../ops/swiglu.ts";
import { calls, elementCall, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";
import { float } from "../work.ts";

type Read = Parameters<typeof elementCall>[0]["reads"][number];
type Context = Parameters<Implementation["lowering"]["lower"]>[1];

/** Elements of a thread in a step of AdamW: what does not depend on the element is found once for them. */
const STEPS_OF_THREAD = 8;

/** A tensor of floats read at an index. */
const at = (context: Context, name: string, tensor: Tensor, index: string): Read => ({
  ...operand(context, tensor),
  name,
  index,
});

export const blocks: readonly Implementation[] = [
  calls(swigluOperation, ({ x, y }, _attributes, context) => {
    const H = lastAxis(y.shape);
    const gate = `(i / ${u(H)}) * ${u(2 * H)} + i % ${u(H)}`;
    context.emit(
      elementCall({
        name: "swiglu",
        reads: [at(context, "a", x, gate), at(context, "v", x, `${gate} + ${u(H)}`)],
        write: operand(context, y),
        value: "silu(a) * v",
        size: sizeOf(y.shape),
      }),
    );
  }),
  calls(swigluBackwardOperation, ({ x, g, dx }, _attributes, context) => {
    const H = lastAxis(g.shape);
    const gate = `(i / ${u(2 * H)}) * ${u(2 * H)} + i % ${u(H)}`;
    context.emit(
      elementCall({
        name: "swigluBackward",
        reads: [
          at(context, "a", x, gate),
          at(context, "v", x, `${gate} + ${u(H)}`),
          at(context, "g", g, `(i / ${u(2 * H)}) * ${u(H)} + i % ${u(H)}`),
        ],
        write: operand(context, dx),
        value: `select(g * silu(a), g * v * siluSlope(a), i % ${u(2 * H)} < ${u(H)})`,
        size: sizeOf(dx.shape),
      }),
    );
  }),
  calls(rotaryOperation, ({ x, table, y }, { heads, headSize, inverse }, context) => {
    const [E, R, rows] = [lastAxis(x.shape), lastAxis(table.shape), rowCount(table.shape)];
    const half = R / 2;
    // The column, its place in its head, and whether it turns; the lower half pairs with the upper.
    const column = `(i % ${u(E)})`;
    const place = `(${column} % ${u(headSize)})`;
    const turns = `(${column} < ${u(heads * headSize)} && ${place} < ${u(R)})`;
    const lower = `(${place} < ${u(half)})`;
    const row = `((i / ${u(E)}) % ${u(rows)})`;
    const angle = `${row} * ${u(R)} + min(${place}, ${u(R - 1)}) % ${u(half)}`;
    context.emit(
      elementCall({
        name: "rotary",
        reads: [
          at(context, "own", x, "i"),
          at(context, "pair", x, `select(i, select(i - ${u(half)}, i + ${u(half)}, ${lower}), ${turns})`),
          at(context, "cosine", table, angle),
          at(context, "sine", table, `${angle} + ${u(half)}`),
        ],
        write: operand(context, y),
        value: `select(own, own * cosine + select(pair, -pair, ${lower}) * ${inverse ? "-sine" : "sine"}, ${turns})`,
        size: sizeOf(x.shape),
      }),
    );
  }),
  calls(adamwOperation, ({ param, gradient, m, v, schedule, clip, newParam, newM, newV }, attributes, context) => {
    const { beta1, beta2, epsilon, weightDecay, learningRateScale } = attributes;
    const size = sizeOf(param.shape);
    const place = (tensor: Tensor): ReturnType<typeof operand> => operand(context, tensor);
    context.emit(
      kernelCall({
        name: "adamw",
        reads: {
          param: place(param),
          gradient: place(gradient),
          m: place(m),
          v: place(v),
          schedule: place(schedule),
          clip: place(clip),
        },
        writes: { newParam: place(newParam), newM: place(newM), newV: place(newV) },
        inPlace: { newParam: "param", newM: "m", newV: "v" },
        numbers: { size },
        width: WIDTH,
        groups: Math.ceil(size / (WIDTH * STEPS_OF_THREAD)),
        body: `
  // A step whose gradients have no finite norm is not taken.
  let taken: bool = (bitcast<u32>(clip[0]) & 0x7f800000u) != 0x7f800000u;
  let factor: f32 = clip[1];
  let rate: f32 = schedule[0] * ${float(learningRateScale)};
  let meanShare: f32 = schedule[1];
  let squareShare: f32 = schedule[2];
  let end: u32 = min((group + 1u) * ${u(WIDTH * STEPS_OF_THREAD)}, size);
  for (var i: u32 = group * ${u(WIDTH * STEPS_OF_THREAD)} + lane; i < end; i += ${u(WIDTH)}) {
    let p: f32 = param[i];
    let first: f32 = m[i];
    let second: f32 = v[i];
    let g: f32 = factor * gradient[i];
    let mean: f32 = ${float(beta1)} * first + ${float(1 - beta1)} * g;
    let square: f32 = ${float(beta2)} * second + ${float(1 - beta2)} * (g * g);
    let step: f32 = mean / meanShare / (sqrt(square / squareShare) + ${float(epsilon)});
    newParam[i] = select(p, p - rate * (step + ${float(weightDecay)} * p), taken);
    newM[i] = select(first, mean, taken);
    newV[i] = select(second, square, taken);
  }`,
      }),
    );
  }),
];
