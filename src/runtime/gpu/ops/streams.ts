// Question: how does a GPU read and write the streams, and what do their gradients cost?
//
// Forward: a thread for each channel of each token goes through all n streams, so every value is read once. Backward:
// a group of threads for each token; each thread keeps its share of the dot products over the channels, and all are
// summed at once at the end. For few streams everything of a channel lies in registers, and a value of x or g is read
// once; for many, the streams of x are read again for each stream of g.
//
// Bytes a token, in values: read n C + C, write 2 n C + C; backward of read 2 n C + C, and n C more where it adds to a
// gradient that is there already; backward of write 3 n C + 2 C. The coefficients are few beside them.

import type { Tensor } from "../../../graph/tensor.ts";
import { streamReadBackwardOperation, streamReadOperation } from "../../../ops/stream-read.ts";
import { streamWriteBackwardOperation, streamWriteOperation } from "../../../ops/stream-write.ts";
import { streamSizes } from "../../../ops/streams.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { groupReduction, groupSums, WIDTH } from "../rows.ts";

type Context = Parameters<Implementation["lowering"]["lower"]>[1];
type Place = ReturnType<typeof operand>;

/** Streams whose n² sums, and the coefficients, a thread keeps in registers. */
const FEW = 4;

const places = <N extends string>(context: Context, tensors: Record<N, Tensor>): Record<N, Place> =>
  Object.fromEntries(
    Object.entries<Tensor>(tensors).map(([name, tensor]) => [name, operand(context, tensor)]),
  ) as Record<N, Place>;

/** For each of 0 to n − 1, a text. */
const lines = (n: number, line: (j: number) => string): string =>
  Array.from({ length: n }, (_, j) => line(j)).join("\n");

/** For each pair of 0 to n − 1, a text. */
const pairs = (n: number, line: (k: number, j: number) => string): string =>
  lines(n, (k) => lines(n, (j) => line(k, j)));

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
  calls(
    streamReadBackwardOperation,
    ({ x, h, du, dx, dh }, _attributes, context, addend) => {
      const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
      const plus = (j: number): string => (addend ? `addend[at + ${u(j * C)}] + ` : "");
      context.emit(
        kernelCall({
          name: "streamReadBackward",
          reads: { ...places(context, { x, h, du }), ...(addend && places(context, { addend })) },
          writes: places(context, { dx, dh }),
          inPlace: { dx: addend ? "addend" : "x" },
          functions: groupSums("sums", n),
          width: WIDTH,
          groups: tokens,
          body: `
  let t: u32 = group;
${lines(n, (j) => `  let h${j}: f32 = h[t * ${u(M)} + ${u(j)}];\n  var s${j}: f32 = 0.0f;`)}
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = t * ${u(n * C)} + c;
    let g: f32 = du[t * ${u(C)} + c];
${lines(n, (j) => `    s${j} += g * x[at + ${u(j * C)}];`)}
${lines(n, (j) => `    dx[at + ${u(j * C)}] = ${plus(j)}h${j} * g;`)}
  }
${lines(n, (j) => `  sumsValues[lane * ${u(n | 1)} + ${u(j)}] = s${j};`)}
  workgroupBarrier();
  for (var m: u32 = lane; m < ${u(M)}; m += ${u(WIDTH)}) {
    var value: f32 = 0.0f;
    if (m < ${u(n)}) { value = sums(m); }
    dh[t * ${u(M)} + m] = value;
  }`,
        }),
      );
    },
    { accumulates: true },
  ),
  calls(
    streamWriteOperation,
    ({ x, h, y, next }, _attributes, context) => {
      const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
      const result = operand(context, next);
      /** Channels of a thread: two where the result is stored as bfloat16. */
      const own = result.narrow ? 2 : 1;
      const each = (line: (part: number) => string): string => lines(own, line);
      context.emit(
        kernelCall({
          name: "streamWrite",
          reads: places(context, { x, h, y }),
          writes: { next: result },
          inPlace: { next: "x" },
          width: WIDTH,
          groups: Math.ceil((tokens * C) / own / WIDTH),
          body: `
  let i: u32 = (group * ${u(WIDTH)} + lane) * ${u(own)};
  if (i < ${u(tokens * C)}) {
    let t: u32 = i / ${u(C)};
    let at: u32 = t * ${u(n * C)} + i % ${u(C)};
${each((part) => `    let own${part}: f32 = y[i + ${u(part)}];`)}
${lines(n, (j) => each((part) => `    let x${j}_${part}: f32 = x[at + ${u(j * C + part)}];`))}
    for (var k: u32 = 0u; k < ${u(n)}; k += 1u) {
      let row: u32 = t * ${u(M)} + (2u + k) * ${u(n)};
      let post: f32 = h[t * ${u(M)} + ${u(n)} + k];
${each((part) => `      var value${part}: f32 = post * own${part};`)}
${lines(n, (j) => `      let h${j}: f32 = h[row + ${u(j)}];\n${each((part) => `      value${part} += h${j} * x${j}_${part};`)}`)}
      ${result.narrow ? `next[(at + k * ${u(C)}) / 2u] = packed(value0, value1);` : `next[at + k * ${u(C)}] = value0;`}
    }
  }`,
        }),
      );
    },
    { rounds: ({ inputs: [x] }) => streamSizes(x!).channels % 2 === 0 },
  ),
  calls(streamWriteBackwardOperation, ({ x, h, y, g, dx, dy, dh }, _attributes, context) => {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x);
    const few = n <= FEW;
    context.emit(
      kernelCall({
        name: "streamWriteBackward",
        reads: places(context, { x, h, y, g }),
        writes: places(context, { dx, dy, dh }),
        // A thread has read all streams of a channel before it writes one.
        ...(few && { inPlace: { dx: "g" } }),
        functions: few ? groupSums("sums", n * n + n) : groupReduction("fold", (a, b) => `${a} + ${b}`),
        width: WIDTH,
        groups: tokens,
        body: few ? fewBackward(n, C, M) : manyBackward(n, C, M),
      }),
    );
  }),
];

/** dh, dx and dy of a token whose sums lie in registers: r_k = g_k · y, s_kj = g_k · x_j. */
function fewBackward(n: number, C: number, M: number): string {
  const sums = n * n + n;
  const stride = sums | 1;
  return `
  let t: u32 = group;
${lines(n, (k) => `  let post${k}: f32 = h[t * ${u(M)} + ${u(n + k)}];\n  var r${k}: f32 = 0.0f;`)}
${pairs(n, (k, j) => `  let h${k}${j}: f32 = h[t * ${u(M)} + ${u((2 + k) * n + j)}];\n  var s${k}${j}: f32 = 0.0f;`)}
  for (var c: u32 = lane; c < ${u(C)}; c += ${u(WIDTH)}) {
    let at: u32 = t * ${u(n * C)} + c;
    let own: f32 = y[t * ${u(C)} + c];
${lines(n, (j) => `    let x${j}: f32 = x[at + ${u(j * C)}];\n    let g${j}: f32 = g[at + ${u(j * C)}];`)}
${lines(n, (k) => `    r${k} += g${k} * own;`)}
${pairs(n, (k, j) => `    s${k}${j} += g${k} * x${j};`)}
    dy[t * ${u(C)} + c] = ${Array.from({ length: n }, (_, k) => `post${k} * g${k}`).join(" + ")};
${lines(n, (j) => `    dx[at + ${u(j * C)}] = ${Array.from({ length: n }, (_, k) => `h${k}${j} * g${k}`).join(" + ")};`)}
  }
${lines(n, (k) => `  sumsValues[lane * ${u(stride)} + ${u(k)}] = r${k};`)}
${pairs(n, (k, j) => `  sumsValues[lane * ${u(stride)} + ${u(n + k * n + j)}] = s${k}${j};`)}
  workgroupBarrier();
  for (var m: u32 = lane; m < ${u(M)}; m += ${u(WIDTH)}) {
    var value: f32 = 0.0f;
    if (m >= ${u(n)}) { value = sums(m - ${u(n)}); }
    dh[t * ${u(M)} + m] = value;
  }`;
}

/** The same, stream by stream of g. dh_k needs all of x, so the sums come first. */
function manyBackward(n: number, C: number, M: number): string {
  return `
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
  }`;
}
