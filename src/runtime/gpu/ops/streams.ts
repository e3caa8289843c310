// Question: how does a GPU read and write the streams, and what do their gradients cost?
//
// Forward: a thread for each channel of each token goes through all n streams, so every value is read once. Backward:
// a group of threads for each token; the dot products over the channels are then summed by all of them. For few
// streams the sums of a thread lie in registers.

import type { Tensor } from "../../../graph/tensor.ts";
import { streamReadBackwardOperation, streamReadOperation } from "../../../ops/stream-read.ts";
import { streamWriteBackwardOperation, streamWriteOperation } from "../../../ops/stream-write.ts";
import { streamSizes } from "../../../ops/streams.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { groupReduction, WIDTH } from "../rows.ts";

type Context = Parameters<Implementation["lowering"]["lower"]>[1];
type Place = ReturnType<typeof operand>;

const sum = groupReduction("fold", (a, b) => `${a} + ${b}`);
const places = <N extends string>(context: Context, tensors: Record<N, Tensor>): Record<N, Place> =>
  Object.fromEntries(
    Object.entries<Tensor>(tensors).map(([name, tensor]) => [name, operand(context, tensor)]),
  ) as Record<N, Place>;

/** For each of 0 to n − 1, a text. */
const lines = (n: number, line: (j: number) => string): string =>
  Array.from({ length: n }, (_, j) => line(j)).join("\n");

/** A thread for each channel of each token: `t`, `c`, and the place of stream j there, `at + j C`. */
const channelBody = (tokens: number, C: number, n: number, body: string): string => `
  let i: u32 = group * ${u(WIDTH)} + lane;
  if (i < ${u(tokens * C)}) {
    let t: u32 = i / ${u(C)};
    let c: u32 = i % ${u(C)};
    let at: u32 = t * ${u(n * C)} + c;
${body}
  }`;

export const streams: readonly Implementation[] = [
  calls(streamReadOperation, ({ x, h, u: read }, _attributes, context) => {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
    context.emit(
      kernelCall({
        name: "streamRead",
        reads: places(context, { x, h }),
        writes: { y: operand(context, read) },
        width: WIDTH,
        groups: Math.ceil((tokens * C) / WIDTH),
        body: channelBody(
          tokens,
          C,
          n,
          `    var value: f32 = 0.0f;
${lines(n, (j) => `    value += h[t * ${u(M)} + ${u(j)}] * x[at + ${u(j * C)}];`)}
    y[i] = value;`,
        ),
      }),
    );
  }),
  calls(streamReadBackwardOperation, ({ x, h, du, dx, dh }, _attributes, context) => {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
    context.emit(
      kernelCall({
        name: "streamReadBackward",
        reads: places(context, { x, h, du }),
        writes: places(context, { dx, dh }),
        inPlace: { dx: "x" },
        functions: sum,
        width: WIDTH,
        groups: tokens,
        body: `
  let t: u32 = group;
${lines(n, (j) => `  let h${j}: f32 = h[t * ${u(M)} + ${u(j)}];\n  var s${j}: f32 = 0.0f;`)}
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = t * ${u(n * C)} + c;
    let g: f32 = du[t * ${u(C)} + c];
${lines(n, (j) => `    s${j} += g * x[at + ${u(j * C)}];`)}
${lines(n, (j) => `    dx[at + ${u(j * C)}] = h${j} * g;`)}
  }
${lines(n, (j) => `  let d${j}: f32 = fold(s${j}, lane);`)}
  for (var m: u32 = lane; m < ${u(M)}; m += ${u(WIDTH)}) {
    var value: f32 = 0.0f;
${lines(n, (j) => `    if (m == ${u(j)}) { value = d${j}; }`)}
    dh[t * ${u(M)} + m] = value;
  }`,
      }),
    );
  }),
  calls(streamWriteOperation, ({ x, h, y, next }, _attributes, context) => {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
    context.emit(
      kernelCall({
        name: "streamWrite",
        reads: places(context, { x, h, y }),
        writes: places(context, { next }),
        inPlace: { next: "x" },
        width: WIDTH,
        groups: Math.ceil((tokens * C) / WIDTH),
        body: channelBody(
          tokens,
          C,
          n,
          `    let own: f32 = y[i];
${lines(n, (j) => `    let x${j}: f32 = x[at + ${u(j * C)}];`)}
    for (var k: u32 = 0u; k < ${u(n)}; k += 1u) {
      let row: u32 = t * ${u(M)} + (2u + k) * ${u(n)};
      var value: f32 = h[t * ${u(M)} + ${u(n)} + k] * own;
${lines(n, (j) => `      value += h[row + ${u(j)}] * x${j};`)}
      next[at + k * ${u(C)}] = value;
    }`,
        ),
      }),
    );
  }),
  calls(streamWriteBackwardOperation, ({ x, h, y, g, dx, dy, dh }, _attributes, context) => {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
    const [read, written] = [places(context, { x, h, y, g }), places(context, { dx, dy, dh })];
    // dh_k needs all of x, so x may be overwritten only once its sums are made: these come first.
    context.emit(
      kernelCall({
        name: "streamWriteBackward",
        reads: read,
        writes: written,
        functions: sum,
        width: WIDTH,
        groups: tokens,
        body: `
  let t: u32 = group;
  for (var m: u32 = lane; m < ${u(n)}; m += ${u(WIDTH)}) { dh[t * ${u(M)} + m] = 0.0f; }
  for (var k: u32 = 0u; k < ${u(n)}; k += 1u) {
    var post: f32 = 0.0f;
${lines(n, (j) => `    var s${j}: f32 = 0.0f;`)}
    for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
      let at: u32 = t * ${u(n * C)} + c;
      let value: f32 = g[at + k * ${u(C)}];
      post += value * y[t * ${u(C)} + c];
${lines(n, (j) => `      s${j} += value * x[at + ${u(j * C)}];`)}
    }
    let first: u32 = t * ${u(M)} + (2u + k) * ${u(n)};
    let allPost: f32 = fold(post, lane);
    if (lane == 0u) { dh[t * ${u(M)} + ${u(n)} + k] = allPost; }
${lines(n, (j) => `    let d${j}: f32 = fold(s${j}, lane);\n    if (lane == 0u) { dh[first + ${u(j)}] = d${j}; }`)}
  }
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = t * ${u(n * C)} + c;
${lines(n, (j) => `    var x${j}: f32 = 0.0f;`)}
    var own: f32 = 0.0f;
    for (var k: u32 = 0u; k < ${u(n)}; k += 1u) {
      let value: f32 = g[at + k * ${u(C)}];
      let row: u32 = t * ${u(M)} + (2u + k) * ${u(n)};
      own += h[t * ${u(M)} + ${u(n)} + k] * value;
${lines(n, (j) => `      x${j} += h[row + ${u(j)}] * value;`)}
    }
    dy[t * ${u(C)} + c] = own;
${lines(n, (j) => `    dx[at + ${u(j * C)}] = x${j};`)}
  }`,
      }),
    );
  }),
];
