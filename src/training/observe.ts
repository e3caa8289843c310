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
import type { ModelConfig } from "../model/config.ts";
import type { LanguageModel, ObservedSublayer } from "../model/language-model.ts";
import { sumSquares } from "../ops/sum-squares.ts";
import { batchedMatmul } from "../ops/batched-matmul.ts";
import { type Runtime, runWhole } from "../runtime/runtime.ts";
import { type HeadUse, measureHeads } from "../stability/heads.ts";
import type { Instruments } from "../stability/instruments.ts";
import { measureMixing, type ObservedMixing } from "../stability/measure.ts";

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
  const program = runtime.compile({ outputs: { sublayers: observedOf(sublayers) } });
  const sizes = sublayers.map(sizesOf);
  return {
    release: () => program.release(),
    async observe(tokens_T) {
      runtime.write(tokens, tokens_T);
      await runWhole(program);
      const seen = await program.read("sublayers");
      return instrumentsOf(
        model.config,
        seen.map((each, index) => ({ ...given(each), ...sizes[index]! })) as SeenSublayer[],
        length,
      );
    },
  };
}

/** What is looked at of each sublayer. */
export const observedOf = (sublayers: readonly ObservedSublayer[]): ObservedOutputs[] =>
  sublayers.map(({ coefficients, streams, logits, read_NC, result_NC, heads }) => ({
    activation: sumSquares(read_NC),
    blockOutput: sumSquares(result_NC),
    coefficients,
    logits,
    products: streams && batchedMatmul(streams, streams, { transposeB: true }),
    headValues: heads?.values,
    headLogits: heads?.logits,
  }));

/** Sums of squares, which every sublayer has, and what some have. */
const always = ["activation", "blockOutput"] as const;
const sometimes = ["coefficients", "logits", "products", "headValues", "headLogits"] as const;
export const observedFields: readonly (keyof ObservedOutputs)[] = [...always, ...sometimes];

export type ObservedOutputs = Readonly<
  Record<(typeof always)[number], Tensor> & Record<(typeof sometimes)[number], Tensor | undefined>
>;

/** How many numbers a sublayer reads and returns. */
export const sizesOf = ({ read_NC, result_NC }: ObservedSublayer): Pick<SeenSublayer, "readSize" | "resultSize"> => ({
  readSize: sizeOf(read_NC.shape),
  resultSize: sizeOf(result_NC.shape),
});

/** What was seen of a sublayer: sums of squares [1], and what its connection shows where it mixes streams. */
export interface SeenSublayer {
  readonly activation: ArrayLike<number>;
  readonly blockOutput: ArrayLike<number>;
  readonly readSize: number;
  readonly resultSize: number;
  readonly coefficients?: ArrayLike<number>;
  readonly logits?: ArrayLike<number>;
  readonly products?: ArrayLike<number>;
  /** How its heads mix values, [T, kvHeads, kvHeads], and scores, [T, heads, heads]. */
  readonly headValues?: ArrayLike<number>;
  readonly headLogits?: ArrayLike<number>;
}

/** The instruments of a forward pass. @param seen all sublayers, in order of depth */
export function instrumentsOf(config: ModelConfig, seen: readonly SeenSublayer[], length: number): Instruments {
  const runs = sublayerRuns(config);
  const mixing = seen.flatMap(({ coefficients, logits, products }, index): ObservedMixing[] =>
    coefficients ? [{ index, run: runs[index] ?? 0, coefficients, ...given({ logits, products }) }] : [],
  );
  return {
    ...measureMixing(mixing, seen.length, length),
    activation: seen.map(({ activation, readSize }) => Math.sqrt((activation[0] ?? NaN) / readSize)),
    blockOutput: seen.map(({ blockOutput, resultSize }) => Math.sqrt((blockOutput[0] ?? NaN) / resultSize)),
    ...headInstruments(config, seen),
  };
}

type HeadInstruments = Pick<Instruments, "headRowError" | "headColumnError" | "headSecond" | "headOwn">;

/** Those of sublayers whose heads mix; none where no heads do. */
function headInstruments({ heads, kvHeads }: ModelConfig, seen: readonly SeenSublayer[]): HeadInstruments {
  const uses = seen.map(({ headValues, headLogits }) => {
    const matrices = [
      ...(headValues ? [[headValues, kvHeads] as const] : []),
      ...(headLogits ? [[headLogits, heads] as const] : []),
    ];
    return matrices.length > 0 ? measureHeads(matrices) : undefined;
  });
  if (uses.every((use) => use === undefined)) return {};
  const each = (name: keyof HeadUse): (number | null)[] => uses.map((use) => use?.[name] ?? null);
  return {
    headRowError: each("rowError"),
    headColumnError: each("columnError"),
    headSecond: each("second"),
    headOwn: each("own"),
  };
}
