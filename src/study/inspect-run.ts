// Question: what do the instruments show for a run's checkpoint, and what is in its tensors?
//
// The checkpoint is measured on the beginning of a text, as many tokens as the model's context has. The text is a
// file, or the one that validates the run.

import path from "node:path";
import { openPrepared } from "../data/prepare.ts";
import { readTokenizer } from "../data/tokenizer-file.ts";
import { reason } from "../files/errors.ts";
import { inPrecision } from "../runtime/precision.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Checkpoint } from "../runs/checkpoint.ts";
import type { Instruments } from "../stability/instruments.ts";
import type { TrainingConfig } from "../training/config.ts";
import { inspectCheckpoint } from "./inspect.ts";
import { readBeginning } from "../files/read.ts";

/** The text that a checkpoint is measured on. */
export interface RunText {
  /** The file, or "the validation text". */
  readonly name: string;
  readonly tokens: ArrayLike<number>;
}

/** The instruments' values for a checkpoint, and the text that they were measured on. */
export interface MeasuredRun {
  readonly step: number;
  readonly text: string;
  /** How many tokens of the text were read. */
  readonly length: number;
  readonly instruments: Instruments;
}

/** A tensor of a checkpoint, and how its values are distributed. */
export interface TensorSpread {
  readonly name: string;
  readonly shape: readonly number[];
  readonly mean: number;
  readonly deviation: number;
  /** The largest absolute value. */
  readonly largest: number;
}

/**
 * The beginning of a run's validation text.
 *
 * @throws Error when its tokens are gone, or belong to another text
 */
export function validationText({ data: { prepared }, model }: TrainingConfig): RunText {
  if (!prepared) throw new Error("its configuration does not say where the tokens are stored");
  const { validation, close } = openPrepared(prepared.folder, { text: prepared.text });
  try {
    const tokens = new Int32Array(Math.min(model.context, validation.length));
    validation.read(0, tokens.length, tokens);
    return { name: "the validation text", tokens };
  } finally {
    close();
  }
}

/** So many bytes of a text give at least one token; the longest of usual tokenizers have 128. */
const BYTES_A_TOKEN = 256;

/**
 * The beginning of a file, in the tokens of a run.
 *
 * @throws Error when the file cannot be read or is empty
 */
export function textOfFile(file: string, runFolder: string, { model }: TrainingConfig): RunText {
  let text: string;
  try {
    text = readBeginning(file, BYTES_A_TOKEN * model.context);
  } catch (error) {
    throw new Error(`cannot read ${file}: ${reason(error)}`, { cause: error });
  }
  const tokenizer = readTokenizer(path.join(runFolder, "tokenizer.json"));
  const tokens = Int32Array.from([...tokenizer.before, ...tokenizer.encode(text)].slice(0, model.context));
  if (text === "") throw new Error(`${file} is empty; give a text of at least one character.`);
  return { name: file, tokens };
}

/** Read the instruments of a run's checkpoint on a text. */
export async function measureRun(
  runtime: Runtime,
  { model, precision }: TrainingConfig,
  checkpoint: Pick<Checkpoint, "step" | "model">,
  { name, tokens }: RunText,
): Promise<MeasuredRun> {
  const instruments = await inspectCheckpoint(inPrecision(runtime, precision), model, checkpoint, tokens);
  return { step: checkpoint.step, text: name, length: tokens.length, instruments };
}

/** How the values of each of a checkpoint's tensors are distributed. */
export function tensorSpreads({ model }: Pick<Checkpoint, "model">): TensorSpread[] {
  return model.map(({ name, shape, data }) => ({ name, shape, ...spreadOf(data) }));
}

function spreadOf(data: Float32Array): Pick<TensorSpread, "mean" | "deviation" | "largest"> {
  let [sum, squares, largest] = [0, 0, 0];
  for (const value of data) {
    sum += value;
    squares += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  const mean = sum / data.length;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / data.length - mean * mean)), largest };
}
