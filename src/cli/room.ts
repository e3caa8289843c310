// Question: is there memory for the trainings that a command line asks for, and when is that said?
//
// Before the text is read, for the vocabulary that is asked for. A short text may give fewer tokens; so what does not fit
// is refused then only if it would not fit with the smallest vocabulary either. Once the text is there, models that are not
// those that were asked for are planned anew: their vocabulary is another, or they were brought to equal sizes.

import { given } from "../basics/given.ts";
import { memoryLimits } from "../planning/here/memory-limit.ts";
import { expectMemory, type MemoryWording, type Trainings } from "../planning/here/training-memory.ts";
import { largestSample } from "../runs/write-sample.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "../training/config.ts";
import type { MemoryOption } from "./options.ts";

/** The smallest vocabulary that a tokenizer of bytes has. */
const LEAST_VOCABULARY = 256;

/** Looks whether trainings fit; throws RangeError with what would make them fit. */
export interface TrainingRoom {
  /**
   * @param configs what is asked for, before the text is read
   * @param writes whether a text is written, too
   * @param known whether the vocabulary is that of a tokenizer which is there already
   */
  before(configs: readonly TrainingConfig[], writes: boolean, known: boolean): void;
  /** @param configs the same, as they are trained */
  after(configs: readonly TrainingConfig[], writes: boolean): void;
}

/** @param wording what may be changed, in the words of the command; of a training that processes share, this one's place */
export function trainingRoom(
  { machine, device }: Pick<Runtime, "machine" | "device">,
  { memory }: MemoryOption,
  { place, spread, ...wording }: MemoryWording & Pick<Trainings, "place" | "spread">,
): TrainingRoom {
  const check = (configs: readonly TrainingConfig[], writes: boolean): void => {
    const sample = writes ? largestSample : undefined;
    if (machine)
      expectMemory({ configs, sample, ...given({ place, spread }) }, machine, memoryLimits(device, memory), wording);
  };
  const modelsOf = (configs: readonly TrainingConfig[]): string => JSON.stringify(configs.map(({ model }) => model));
  let fitting: string | undefined;
  return {
    before(configs, writes, known) {
      try {
        check(configs, writes);
        fitting = modelsOf(configs);
      } catch (error) {
        if (known) throw error;
        try {
          check(configs.map(withLeastVocabulary), writes);
        } catch {
          throw error;
        }
      }
    },
    after(configs, writes) {
      if (modelsOf(configs) !== fitting) check(configs, writes);
    },
  };
}

/** A training as small as any text can make it. */
export function withLeastVocabulary(config: TrainingConfig): TrainingConfig {
  return { ...config, model: { ...config.model, vocabulary: LEAST_VOCABULARY } };
}
