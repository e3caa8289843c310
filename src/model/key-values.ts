// Question: how do attention layers pass their keys and values on to later ones?
//
// Value residual (Zhou et al. 2024, arXiv 2410.17897) mixes the values of every layer with those of the first. Here any
// connection carries them: n streams of keys and values run beside the n streams of channels, and each attention layer
// reads them, mixes in its own, and writes the difference back. With mHC, whose H_res is doubly stochastic:
//
//   c_l = x_l W_kv                      the keys and values that the layer computes itself
//   r_l = H_pre z_l                     what earlier layers left
//   u_l = r_l + g (c_l − r_l)           what the layer attends to; g = σ(θ), one learned number for keys, one for values
//   z_{l+1} = H_res z_l + H_postᵀ g (c_l − r_l)                          z_1: copies of c_0 in all streams, u_0 = c_0
//
// Because the difference is written and not the sum, nothing grows with depth: with the residual connection u_l and
// z_{l+1} are the same convex combination of c_0 … c_l for any g, so that no key or value becomes longer than the
// longest of them. Keys pass on before they are turned by their position. Everything is of one token, so a cache keeps
// what it always keeps.
//
// Legend: N tokens, K key heads, D columns of a head, E = K D for values alone, 2 K D for keys and values; n streams.

import { z } from "zod";
import type { Sequences, State } from "../connections/connection.ts";
import { type ConnectionConfig, connectionSchema, createConnection } from "../connections/table.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { concat } from "../ops/concat.ts";
import { add, multiply, sigmoid, subtract } from "../ops/elementwise.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";

/** What passes from one attention layer to the next. */
export const carriedParts = ["values", "both"] as const;

/** A connection of the keys and values of all attention layers. */
export interface KeyValuesConfig {
  /** The values alone, or keys and values. Default "values". */
  readonly of: (typeof carriedParts)[number];
  /** How they pass on; "residual" is a moving mean over the layers. */
  readonly connection: ConnectionConfig;
}

export const keyValuesSchema: z.ZodType<KeyValuesConfig> = z.strictObject({
  of: z.enum(carriedParts).default("values"),
  connection: connectionSchema,
});

/** What does not go with it, or undefined. */
export function keyValuesMisfit({ connection }: KeyValuesConfig): string | undefined {
  if (connection.kind === "mhc" && connection.residualMap === "learned-slack")
    return "the residual map learned-slack is trained with a loss and a share of its own, which keys and values do not have; take another one";
  const collapseOf = (config: object): unknown => (config as { readonly collapse?: unknown }).collapse;
  const collapse = collapseOf(connection);
  return collapse === collapseOf(connectionSchema.parse({ kind: connection.kind }))
    ? undefined
    : `collapse is ${JSON.stringify(collapse)}, but streams of keys and values do not join at the end: the last layer reads them like any other; leave it out`;
}

/** Where the keys and values are after some attention layers; nowhere before the first. */
export interface CarriedKeyValues {
  keyValues?: State;
}

/** The last E columns of rows [N, …] are a layer's own keys and values → the same rows with those it attends to. */
export type CarryKeyValues = (qkv_NE: Tensor, carried: CarriedKeyValues, sequences: Sequences) => Tensor;

/**
 * What one attention layer does with the keys and values of earlier ones.
 *
 * @param parameters under which it makes `shares` and its connection; those of the first layer make none
 * @param columns K D
 */
export function carryKeyValues(
  parameters: ParameterSet,
  { of, connection: config }: KeyValuesConfig,
  { layer, columns }: { readonly layer: number; readonly columns: number },
): CarryKeyValues {
  const connection = createConnection(config);
  const parts = of === "both" ? 2 : 1;
  const size = parts * columns;
  const own = (qkv_NE: Tensor): readonly [queries: Tensor, own: Tensor] => {
    const rest = qkv_NE.shape[1]! - size;
    return [slice(qkv_NE, 1, 0, rest), slice(qkv_NE, 1, rest, size)];
  };
  if (layer === 0)
    return (qkv_NE, carried) => {
      carried.keyValues = connection.expand(own(qkv_NE)[1]);
      return qkv_NE;
    };
  const shares = parameters.create("shares", [parts], { constant: 0 }, "connection");
  const wiring = connection.sublayer(parameters.under("connection"), { channels: size, index: layer - 1 });
  return (qkv_NE, carried, sequences) => {
    const [queries, own_NE] = own(qkv_NE);
    const N = rowCount(own_NE.shape);
    const share = (part: number): Tensor => broadcast(reshape(slice(sigmoid(shares), 0, part, 1), []), [N, columns]);
    const shares_NE = concat(
      Array.from({ length: parts }, (_, part) => share(part)),
      1,
    );
    let used: Tensor | undefined;
    const { state } = wiring.apply(
      carried.keyValues!,
      (read_NE) => {
        const change = multiply(shares_NE, subtract(own_NE, read_NE));
        used = add(read_NE, change);
        return change;
      },
      undefined,
      sequences,
    );
    if (!used) throw new Error(`${connection.name}: its sublayer did not call the block it was given.`);
    carried.keyValues = state;
    return concat([queries, used], 1);
  };
}
