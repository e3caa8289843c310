// Question: how is nano mHC trained on a text?
//
// The same lines run in a page, in a worker and in Node: only the runtime differs.

import {
  createBatches,
  createTrainer,
  defaultConnection,
  parseTrainingConfig,
  prepareTexts,
  presets,
  type Runtime,
  samplingRandom,
} from "birkhoff/browser";

/** What is trained, and how long. */
export interface Wishes {
  readonly text: string;
  readonly steps: number;
  /** Tokens of a sequence, and sequences of a batch. */
  readonly context?: number;
  readonly batch?: number;
  /** Blocks of the model; default: those of nano, 4. */
  readonly layers?: number;
  /** Tokens that the model writes at the end. */
  readonly tokens?: number;
}

/** What the training tells: a step, and at the end what the model writes. */
export type News = { readonly step: number; readonly loss: number } | { readonly sample: string };

export async function* train(runtime: Runtime, wishes: Wishes): AsyncGenerator<News> {
  const { text, steps, context = 64, batch = 8, layers = presets.nano.layers, tokens = 80 } = wishes;
  const { tokenizer, train: training, validation } = prepareTexts([{ name: "text", text }], { vocabularySize: 512 });
  const { vocabularySize: vocabulary, byteLengths } = tokenizer;
  const config = parseTrainingConfig({
    name: "nano-mhc",
    data: { source: "text", vocabulary },
    model: { ...presets.nano, layers, context, vocabulary, connection: defaultConnection("mhc") },
    batch,
    steps,
    optimizer: { learningRate: 3e-3, warmup: Math.ceil(steps / 20), schedule: { kind: "cosine" } },
    evaluateEvery: steps,
    checkpointEvery: steps,
  });
  const batches = createBatches({
    train: training,
    validation,
    byteLengths,
    batchSize: batch,
    contextLength: context,
    seed: config.seed,
  });
  const trainer = createTrainer(runtime, config, batches);
  while (trainer.step < steps) {
    const { step, loss } = await trainer.trainStep();
    yield { step, loss };
  }
  const write = async (): Promise<string> => {
    const prompt = text.slice(0, 20);
    const written: number[] = [];
    const wanted = { maxTokens: tokens, temperature: 0.8, random: samplingRandom(1) };
    for await (const token of trainer.generate([...tokenizer.encode(prompt)], wanted)) written.push(token);
    return prompt + tokenizer.decode(written);
  };
  yield { sample: tokens === 0 ? "" : await write() };
  trainer.release();
}
