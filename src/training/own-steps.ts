// Question: what does a process do in each step of a training that it has to itself?
//
// Its microbatches, then the program that ends the step. Losses are asked for while they are there, and waited for once. Of
// a training that several ranks share see parallel/shared-steps.ts.

import type { Batch, Batches } from "../data/batches.ts";
import { sizeOf } from "../graph/tensor.ts";
import type { TensorValues } from "../runtime/program.ts";
import type { Program, Runtime, TracedCall } from "../runtime/runtime.ts";
import type { BegunStep } from "./ahead.ts";
import { writeBatch } from "./inputs.ts";
import { listenBetween } from "./listen.ts";
import type { TrainingPrograms } from "./programs.ts";
import type { MicroOutputs } from "./step.ts";

/** What a step tells. */
export interface OwnStepTold {
  readonly loss: number;
  readonly gradientNorm: number;
  /** Sums of squares of the gradients, where they were asked for. */
  readonly squares: readonly TensorValues[];
  readonly expertLoad: readonly (readonly number[])[];
}

export interface OwnSteps {
  /**
   * Give all orders of a step, from 1; its schedule is written already. With a signal that is aborted between two
   * microbatches it rejects with the signal's reason, and the step has changed nothing.
   */
  begin(
    step: number,
    wishes: { readonly squares: boolean; readonly signal: AbortSignal | undefined },
  ): Promise<BegunStep<OwnStepTold>>;
  /** The first tensor, in order of execution, that is not finite in a step. */
  findNotFinite(step: number): Promise<string | undefined>;
}

/** So many microbatches are asked for their loss before it is waited for. */
const AWAITED_AT_ONCE = 256;

/** @param accumulate microbatches of a step */
export function createOwnSteps(
  runtime: Runtime,
  { graph, micro, last, single }: Pick<TrainingPrograms, "graph" | "micro" | "last" | "single">,
  batches: Batches,
  accumulate: number,
): OwnSteps {
  const feed = (next: Batch): void => writeBatch(runtime, graph, next);
  /** Empty what the microbatches of a step have added up. */
  const clearSums = (): void => {
    for (const [sum] of graph.programs.update ? (graph.programs.micro.updates ?? []) : [])
      runtime.write(sum, new Float32Array(sizeOf(sum.shape)));
  };
  return {
    async begin(step, { squares: asked, signal }) {
      let loss = 0;
      let expertLoad: readonly (readonly number[])[] = [];
      let parts: Promise<[loss: TensorValues, loads: readonly TensorValues[]]>[] = [];
      const sumParts = async (): Promise<void> => {
        const asked = parts;
        parts = [];
        for (const [[part = NaN], loads] of await Promise.all(asked)) {
          loss += part / accumulate;
          expertLoad = loads.map((load, layer) => Array.from(load, (x, e) => x + (expertLoad[layer]?.[e] ?? 0)));
        }
      };
      const interrupted = listenBetween(signal);
      for (let index = 0; index < accumulate; index++) {
        if (index > 0 && (await interrupted())) {
          clearSums();
          throw signal!.reason;
        }
        if (parts.length === AWAITED_AT_ONCE) await sumParts();
        feed(batches.trainingBatch(step - 1, index));
        micro.run();
        const part = Promise.all([micro.read("loss"), micro.read("loads")]);
        // Whoever sums them hears of it; if the step cannot be begun, its own error is told.
        part.catch(() => undefined);
        parts.push(part);
      }
      if (!single) last.run();
      // Everything is asked for while it is there, and waited for once.
      const told = Promise.all([sumParts(), last.read("clip"), asked ? last.read("squares") : []]).then(
        ([, [gradientNorm = NaN], squares]): OwnStepTold => ({ loss, gradientNorm, squares, expertLoad }),
      );
      return { told };
    },
    async findNotFinite(step) {
      let found: string | undefined;
      for (let index = 0; index < accumulate && found === undefined; index++) {
        feed(batches.trainingBatch(step - 1, index));
        found = await firstNotFinite(micro);
      }
      // Empties the sums of the gradients; they are not finite, so it changes nothing else.
      if (!single) last.run();
      return found;
    },
  };
}

/** The first call of a program, run once more, that writes a value which is not finite. */
export async function firstNotFinite(program: Program<MicroOutputs>): Promise<string | undefined> {
  const bad: TracedCall[] = [];
  await program.trace?.((call, values) => {
    if (call.index < (bad.at(-1)?.index ?? Infinity) && !values.every(Number.isFinite)) bad.push(call);
  });
  return bad.at(-1)?.label;
}
