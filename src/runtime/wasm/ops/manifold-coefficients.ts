// Question: how does the CPU find the coefficients of mHC?
//
// Eight tokens share the lanes of the vectors. The paper's form has kernels of its own.

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import {
  type CoefficientForm,
  manifoldCoefficientsBackwardOperation,
  manifoldCoefficientsOperation,
  streamsOf,
} from "../../../ops/manifold-coefficients.ts";
import { ROW_TILE } from "../constants.ts";
import { type Implementation, implement } from "../implement.ts";
import { coefficientsBackward } from "./hyper-coefficients.ts";
import { formWords, sinkhornWords } from "./sinkhorn.ts";

export const manifoldCoefficients: readonly Implementation[] = [
  implement(manifoldCoefficientsOperation, ({ p, alpha, bias, h }, { read, write, emit }, { iterations, form }) => {
    const call = {
      domain: rowCount(p.shape),
      grain: ROW_TILE,
      operands: {
        p: read(p, "share"),
        alpha: read(alpha, "whole"),
        bias: read(bias, "whole"),
        h: write(h, "share"),
      },
    };
    const words = sinkhornWords(streamsOf(lastAxis(p.shape)), iterations);
    if (form === undefined) emit({ kernel: "manifoldCoefficients", ...call, words });
    else emit({ kernel: "manifoldCoefficientsForm", ...call, words: { ...words, ...gateWords(form) } });
  }),
  implement(manifoldCoefficientsBackwardOperation, (tensors, calls, { iterations, form }) => {
    const words = { ...sinkhornWords(streamsOf(lastAxis(tensors.p.shape)), iterations), tile: ROW_TILE };
    coefficientsBackward(tensors, calls, (rows) =>
      form === undefined
        ? calls.emit({ kernel: "manifoldCoefficientsBackward", ...rows, words })
        : calls.emit({
            kernel: "manifoldCoefficientsFormBackward",
            ...rows,
            words: { ...words, ...gateWords(form) },
          }),
    );
  }),
];

function gateWords({ res, readEpsilon, writeScale }: CoefficientForm): ReturnType<typeof formWords> & {
  readonly readEpsilon: number;
  readonly writeScale: number;
} {
  return { ...formWords(res), readEpsilon, writeScale };
}
