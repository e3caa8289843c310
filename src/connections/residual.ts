// Question: what is the plain residual connection?
//
// The plain residual connection (He et al. 2015, arXiv 1512.03385): x_{l+1} = x_l + F(x_l).

import { expectFields } from "../basics/fields.ts";
import { add } from "../ops/elementwise.ts";
import type { Tensor } from "../graph/tensor.ts";
import { CHANNELS_FORM, type Connection, expectSublayer } from "./connection.ts";
import type { Configuration, ConnectionEntry } from "./entry.ts";

/** x + F(x) (He et al. 2015, arXiv 1512.03385). State [T, C]; one stream, no parameters, no coefficients, no options. */
export function residual(options: Readonly<Record<string, never>> = {}): Connection<Tensor> {
  expectFields("residual", options, {});
  return {
    name: "residual",
    form: CHANNELS_FORM,
    expand: (x_TC) => x_TC,
    sublayer(_, sublayer) {
      expectSublayer("residual", sublayer);
      return { apply: (x_TC, block) => ({ state: add(x_TC, block(x_TC)) }) };
    },
    collapse: (x_TC) => x_TC,
  };
}

/** The plain residual as plain data. */
export type ResidualConfig = Configuration<"residual", object>;

export const residualEntry: ConnectionEntry<ResidualConfig> = { kind: "residual", options: {}, make: () => residual() };
