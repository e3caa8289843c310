// Question: how are a model's instruments read, while it trains or afterwards?
//
// By a program of its own: the forward pass of one sequence, which keeps what is looked at and nothing else
// of it: coefficients, logits of H_res, the inner products of the streams (n² numbers a token instead of
// nC), sums of squares. The training step knows nothing of it, so it costs nothing in the steps between.
//
// Legend: T tokens, n streams, C channels, M = n² + 2n, S logits.

import { given } from "../basics/given.ts";
import { input } from "../graph/state.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { sublayerRuns } from "../model/overrides.ts";
import type { LanguageModel } from "../model/language-model.ts";
import { sumSquares } from "../ops/sum-squares.ts";
import { batchedMatmul } from "../ops/batched-matmul.ts";
import type { Runtime } from "../runtime/program.ts";
import type { Instruments } from "../stability/instruments.ts";
import { measureMixing, type ObservedMixing } from "../stability/measure.ts";

/** Reads the instruments of a model's forward pass. */
export interface Observer {
  /** @param tokens_T ids, as many as the observer was made for */
  observe(tokens_T: ArrayLike<number>): Instruments;
  /** Give back its program. */
  release(): void;
}

/**
 * Compile a program that observes a model with the parameters as they are whenever it is asked.
 *
 * @param length T, at most the model's context
 */
export function createObserver(runtime: Runtime, model: LanguageModel, length: number): Observer {
  const tokens = input("observed.tokens", [1, length], "i32");
  const { sublayers } = model.hidden(tokens);
  const outputs: Record<string, Tensor> = {};
  for (const [index, { coefficients, streams, logits, read_NC, result_NC }] of sublayers.entries()) {
    outputs[`activation.${index}`] = sumSquares(read_NC);
    outputs[`blockOutput.${index}`] = sumSquares(result_NC);
    if (coefficients) outputs[`coefficients.${index}`] = coefficients;
    if (logits) outputs[`logits.${index}`] = logits;
    if (streams) outputs[`products.${index}`] = batchedMatmul(streams, streams, { transposeB: true });
  }
  const program = runtime.compile({ outputs });
  const runs = sublayerRuns(model.config);
  const read = (name: string): Float32Array | Float64Array | undefined =>
    name in outputs ? program.read(name) : undefined;
  const rootMeanSquare = (name: string, of: Tensor): number => Math.sqrt(read(name)![0]! / sizeOf(of.shape));
  return {
    release: () => program.release(),
    observe(tokens_T) {
      runtime.write(tokens, tokens_T);
      program.run();
      const mixing = sublayers.flatMap((_, index): ObservedMixing[] => {
        const coefficients = read(`coefficients.${index}`);
        if (!coefficients) return [];
        const [logits, products] = [read(`logits.${index}`), read(`products.${index}`)];
        return [{ index, run: runs[index]!, coefficients, ...given({ logits, products }) }];
      });
      return {
        ...measureMixing(mixing, sublayers.length, length),
        activation: sublayers.map(({ read_NC }, index) => rootMeanSquare(`activation.${index}`, read_NC)),
        blockOutput: sublayers.map(({ result_NC }, index) => rootMeanSquare(`blockOutput.${index}`, result_NC)),
      };
    },
  };
}
