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
import { type Runtime, runWhole } from "../runtime/runtime.ts";
import type { Instruments } from "../stability/instruments.ts";
import { measureMixing, type ObservedMixing } from "../stability/measure.ts";

type Sublayer = ReturnType<LanguageModel["hidden"]>["sublayers"][number];

/** Reads the instruments of a model's forward pass. */
export interface Observer {
  /** @param tokens_T ids, as many as the observer was made for */
  observe(tokens_T: ArrayLike<number>): Promise<Instruments>;
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
  const observed = sublayers.map(({ coefficients, streams, logits, read_NC, result_NC }) => ({
    activation: sumSquares(read_NC),
    blockOutput: sumSquares(result_NC),
    coefficients,
    logits,
    products: streams && batchedMatmul(streams, streams, { transposeB: true }),
  }));
  const program = runtime.compile({ outputs: { sublayers: observed } });
  const runs = sublayerRuns(model.config);
  return {
    release: () => program.release(),
    async observe(tokens_T) {
      runtime.write(tokens, tokens_T);
      await runWhole(program);
      const seen = await program.read("sublayers");
      const mixing = seen.flatMap(({ coefficients, logits, products }, index): ObservedMixing[] =>
        coefficients ? [{ index, run: runs[index] ?? 0, coefficients, ...given({ logits, products }) }] : [],
      );
      const rootMeanSquares = (name: "activation" | "blockOutput", of: (sublayer: Sublayer) => Tensor): number[] =>
        sublayers.map((sublayer, index) => Math.sqrt((seen[index]?.[name][0] ?? NaN) / sizeOf(of(sublayer).shape)));
      return {
        ...measureMixing(mixing, sublayers.length, length),
        activation: rootMeanSquares("activation", ({ read_NC }) => read_NC),
        blockOutput: rootMeanSquares("blockOutput", ({ result_NC }) => result_NC),
      };
    },
  };
}
