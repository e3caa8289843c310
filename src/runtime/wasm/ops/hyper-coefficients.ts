// Question: how does the CPU find the coefficients of hyper-connections?

import { lastAxis, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import {
  type HyperCoefficientsAttributes,
  hyperCoefficientsBackwardOperation,
  hyperCoefficientsOperation,
} from "../../../ops/hyper-coefficients.ts";
import { streamSizes } from "../../../ops/streams.ts";
import type { Buffer, Operand } from "../../plan/calls.ts";
import { ROW_TILE } from "../constants.ts";
import type { Pointers } from "../call.ts";
import { type Calls, type Implementation, implement, rowwise, sumPartials } from "../implement.ts";

function sizes(p: Tensor, { tanh }: HyperCoefficientsAttributes): { readonly n: number; readonly tanh: number } {
  return { n: p.shape.at(-2) ?? 1, tanh: tanh ? 1 : 0 };
}

export const hyperCoefficients: readonly Implementation[] = [
  rowwise(hyperCoefficientsOperation, "hyperCoefficients", {
    rows: ({ p }) => streamSizes(p).tokens,
    whole: ["alpha", "bias"],
    words: ({ p }, attributes) => sizes(p, attributes),
  }),
  implement(hyperCoefficientsBackwardOperation, (tensors, calls, attributes) =>
    coefficientsBackward(tensors, calls, (rows) =>
      calls.emit({
        kernel: "hyperCoefficientsBackward",
        ...rows,
        words: { ...sizes(tensors.p, attributes), tile: ROW_TILE },
      }),
    ),
  ),
];

type BackwardTensors = Readonly<Record<"p" | "alpha" | "bias" | "dh" | "dp" | "dalpha" | "dbias", Tensor>>;

/** Where the call finds its rows of tokens. */
interface BackwardRows {
  readonly domain: number;
  readonly grain: number;
  readonly operands: Pointers<"hyperCoefficientsBackward", Operand>;
}

/** (p, alpha, bias, dh) → (dp, dalpha, dbias): the last two are summed over tiles of tokens. */
export function coefficientsBackward(
  { p, alpha, bias, dh, dp, dalpha, dbias }: BackwardTensors,
  calls: Calls,
  emit: (rows: BackwardRows) => void,
): void {
  const { read, write, temporary } = calls;
  const tokens = sizeOf(dh.shape) / lastAxis(dh.shape);
  const tiles = Math.ceil(tokens / ROW_TILE);
  const partialsOf = (sum: Tensor): Buffer => temporary("partials", 4 * tiles * sizeOf(sum.shape));
  const [dalphaPartials, dbiasPartials] = [partialsOf(dalpha), partialsOf(dbias)];
  emit({
    domain: tokens,
    grain: ROW_TILE,
    operands: {
      p: read(p, "share"),
      alpha: read(alpha, "whole"),
      bias: read(bias, "whole"),
      dh: read(dh, "share"),
      dp: write(dp, "share"),
      dalphaPartials: write(dalphaPartials, "whole"),
      dbiasPartials: write(dbiasPartials, "whole"),
    },
  });
  sumPartials(calls, dalphaPartials, dalpha, tiles);
  sumPartials(calls, dbiasPartials, dbias, tiles);
}
