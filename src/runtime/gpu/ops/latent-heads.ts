// Question: how does a GPU lay out the heads of latent attention? Element by element, as ops/latent-heads.ts.

import { sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { latentHeadsBackwardOperation, latentHeadsOperation } from "../../../ops/latent-heads.ts";
import { calls, elementCall, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";

type Context = Parameters<Implementation["lowering"]["lower"]>[1];
type Read = Parameters<typeof elementCall>[0]["reads"][number];

const read = (context: Context, name: string, tensor: Tensor, index: string): Read => ({
  ...operand(context, tensor),
  name,
  index,
});

export const latentHeads: readonly Implementation[] = [
  calls(
    latentHeadsOperation,
    ({ q, kv, r, qkv }, { heads: H, rotarySize: R, contentSize: K, valueSize: V }, context) => {
      const [D, E] = [R + K, H * (2 * (R + K) + V)];
      const [row, column] = [`(i / ${u(E)})`, `(i % ${u(E)})`];
      const isQuery = `${column} < ${u(H * D)}`;
      const isValue = `${column} >= ${u(2 * H * D)}`;
      /** Columns of the keys, and of the values; 0 elsewhere. */
      const key = `(max(${column}, ${u(H * D)}) - ${u(H * D)})`;
      const value = `(max(${column}, ${u(2 * H * D)}) - ${u(2 * H * D)})`;
      const inKey = `(min(${key}, ${u(H * D - 1)}) % ${u(D)})`;
      const ofKey = `(min(${key}, ${u(H * D - 1)}) / ${u(D)}) * ${u(K + V)} + max(${inKey}, ${u(R)}) - ${u(R)}`;
      const ofValue = `(${value} / ${u(V)}) * ${u(K + V)} + ${u(K)} + ${value} % ${u(V)}`;
      context.emit(
        elementCall({
          name: "latentHeads",
          reads: [
            read(context, "query", q, `${row} * ${u(H * D)} + min(${column}, ${u(H * D - 1)})`),
            read(context, "pair", kv, `${row} * ${u(H * (K + V))} + select(${ofKey}, ${ofValue}, ${isValue})`),
            read(context, "rotated", r, `${row} * ${u(R)} + min(${inKey}, ${u(R - 1)})`),
          ],
          write: operand(context, qkv),
          value: `select(select(pair, rotated, !(${isValue}) && ${inKey} < ${u(R)}), query, ${isQuery})`,
          size: sizeOf(qkv.shape),
        }),
      );
    },
  ),
  calls(
    latentHeadsBackwardOperation,
    ({ g, dq, dkv, dr }, { heads: H, rotarySize: R, contentSize: K, valueSize: V }, context) => {
      const [D, E, pair] = [R + K, H * (2 * (R + K) + V), K + V];
      const move = (name: string, y: Tensor, width: number, column: string): void =>
        context.emit(
          elementCall({
            name,
            reads: [read(context, "g", g, `(i / ${u(width)}) * ${u(E)} + ${column}`)],
            write: operand(context, y),
            value: "g",
            size: sizeOf(y.shape),
          }),
        );
      move("latentQueries", dq, H * D, `i % ${u(H * D)}`);
      const [head, inPair] = [`((i % ${u(H * pair)}) / ${u(pair)})`, `(i % ${u(pair)})`];
      move(
        "latentPairs",
        dkv,
        H * pair,
        `select(${u(2 * H * D)} + ${head} * ${u(V)} + max(${inPair}, ${u(K)}) - ${u(K)}, ${u(H * D + R)} + ${head} * ${u(D)} + ${inPair}, ${inPair} < ${u(K)})`,
      );
      context.emit(
        kernelCall({
          name: "latentRotated",
          reads: { g: operand(context, g) },
          writes: { dr: operand(context, dr) },
          width: WIDTH,
          groups: Math.ceil(sizeOf(dr.shape) / WIDTH),
          body: `
  let i: u32 = group * ${u(WIDTH)} + lane;
  if (i < ${u(sizeOf(dr.shape))}) {
    var value: f32 = 0.0f;
    let first: u32 = (i / ${u(R)}) * ${u(E)} + ${u(H * D)} + i % ${u(R)};
    for (var head: u32 = 0u; head < ${u(H)}; head += 1u) { value += g[first + head * ${u(D)}]; }
    dr[i] = value;
  }`,
        }),
      );
    },
  ),
];
