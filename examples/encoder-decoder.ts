// A small encoder-decoder whose blocks are joined by mHC, trained to put words in the order of the alphabet: the task
// bbh_word_sorting of the generated ones, a word a token. The decoder writes all words at once, one for each place, and
// its attention to the encoder may use every word equally often (Sinkhorn attention), as a list in another order does.
// Run: node examples/encoder-decoder.ts               trains both kinds of attention and compares them
//      node examples/encoder-decoder.ts runs/sorting  the same with run folders; run again, it goes on where it stopped
//
// The order of the words is nowhere in what the model reads: it must learn it. Sinkhorn attention does not fit a decoder
// that writes one word after the other, because what a place attends to depends on all places.
// Legend: B lists, W words of a list, N = B·W, C channels, H heads, V words there are.

import path from "node:path";
import { createParameters, initialise, input, mhc, openRuntime, type ParameterSet, type Tensor } from "birkhoff";
import { exampleAt, examplesOf, type GeneratedExample, parseTasks } from "birkhoff/data";
import {
  broadcast,
  crossAttention,
  crossEntropy,
  embedding,
  gelu,
  matmul,
  mean,
  reshape,
  rmsNorm,
  slice,
} from "birkhoff/ops";
import { trainNet } from "birkhoff/runs";

const [B, W, C, H, layers] = [32, 8, 64, 4, 2];
const N = B * W;
const tasks = parseTasks(`bbh_word_sorting:${W}`);
const heldOut = examplesOf("bbh_word_sorting", W, 512);

/** The words of a question, "…: List: pear apple fig", and of its answer. */
const wordsOf = ({ question, answer }: GeneratedExample): { readonly asked: string[]; readonly sorted: string[] } => ({
  asked: question.slice(question.lastIndexOf(": ") + 2).split(" "),
  sorted: answer.split(" "),
});
/** Numbers of words in the order in which they are first met, which says nothing about the alphabet. */
const numbers = new Map<string, number>();
for (const example of heldOut)
  for (const word of wordsOf(example).asked) if (!numbers.has(word)) numbers.set(word, numbers.size);
const V = numbers.size;
const numbersOf = (words: readonly string[]): number[] => words.map((word) => numbers.get(word)!);

/** Scores of the words for every place, [N, V], of words [N]. */
function network(words_N: Tensor, iterations: number, parameters: ParameterSet): Tensor {
  const connection = mhc({ streams: 4 });
  const table_VC = parameters.create("words", [V, C], { normal: 0.3 }, "embedding");
  const places_WC = parameters.create("places", [W, C], { normal: 0.3 }, "embedding");
  let index = 0;
  /** Blocks between an expansion and a collapse; each is a function of normalised channels [N, C]. */
  const stack = (x_NC: Tensor, blocks: readonly (readonly [name: string, make: Make])[]): Tensor => {
    let state = connection.expand(x_NC);
    for (const [name, make] of blocks) {
      const own = parameters.under(name);
      const block = make(own);
      const norm_C = own.create("norm", [C], { constant: 1 }, "norm");
      const sublayer = connection.sublayer(own.under("connection"), { channels: C, index: index++ });
      state = sublayer.apply(state, (read_NC) => block(rmsNorm(read_NC, norm_C))).state;
    }
    return rmsNorm(connection.collapse(state), parameters.create(`norm${index}`, [C], { constant: 1 }, "norm"));
  };
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const encoded_NC = stack(
    embedding(table_VC, words_N),
    each.flatMap((layer) => [
      [`encoder${layer}.attention`, attention()],
      [`encoder${layer}.feedForward`, feedForward],
    ]),
  );
  const decoded_NC = stack(
    reshape(broadcast(places_WC, [B, W, C]), [N, C]),
    each.flatMap((layer) => [
      [`decoder${layer}.attention`, attention()],
      [`decoder${layer}.cross`, attention(encoded_NC, iterations)],
      [`decoder${layer}.feedForward`, feedForward],
    ]),
  );
  return matmul(decoded_NC, parameters.create("head", [C, V], { normal: 0.1 }, "weight"));
}

type Make = (own: ParameterSet) => (x_NC: Tensor) => Tensor;

/** Attention to the same sequence, or to what an encoder made of another. */
function attention(encoded_NC?: Tensor, iterations = 0): Make {
  return (own) => {
    const query_CC = own.create("query", [C, C], { normal: 0.12 }, "weight");
    const keyValue_CE = own.create("keyValue", [C, 2 * C], { normal: 0.12 }, "weight");
    const output_CC = own.create("output", [C, C], { normal: 0.1 }, "weight");
    const rows = (x: Tensor): Tensor => reshape(x, [B, W, C]);
    return (x_NC) => {
      const keyValue_NE = matmul(encoded_NC ?? x_NC, keyValue_CE);
      const [k, v] = [0, C].map((from) => rows(slice(keyValue_NE, 1, from, C))) as [Tensor, Tensor];
      const seen_BWC = crossAttention(rows(matmul(x_NC, query_CC)), k, v, { heads: H, iterations });
      return matmul(reshape(seen_BWC, [N, C]), output_CC);
    };
  };
}

const feedForward: Make = (own) => {
  const up = own.create("up", [C, 4 * C], { normal: 0.12 }, "weight");
  const down = own.create("down", [4 * C, C], { normal: 0.06 }, "weight");
  return (x_NC) => matmul(gelu(matmul(x_NC, up)), down);
};

/** Of the held-out lists: the share of words that stand in their place, and of lists that are right as a whole. */
export interface Sorted {
  readonly words: number;
  readonly lists: number;
}

/**
 * Train one and let it sort held-out lists.
 *
 * @param iterations of Sinkhorn in the attention to the encoder; 0 is the softmax
 * @param folder for checkpoints, from which it goes on; absent: none
 */
export async function train(iterations: number, steps: number, seed: number, folder?: string): Promise<Sorted> {
  const parameters = createParameters();
  const [words, places] = [input("words", [N], "i32"), input("places", [N], "i32")];
  const scores = network(words, iterations, parameters);
  const loss = mean(crossEntropy(scores, places));
  const batchOf = (examples: readonly GeneratedExample[]) => {
    const lists = examples.map(wordsOf);
    return [
      [words, lists.flatMap(({ asked }) => numbersOf(asked))],
      [places, lists.flatMap(({ sorted }) => numbersOf(sorted))],
    ] as const;
  };
  const runtime = await openRuntime();
  initialise(runtime, parameters, seed);
  await trainNet(
    runtime,
    { parameters, loss },
    {
      steps,
      batch: (step) => batchOf(Array.from({ length: B }, (_, row) => exampleAt(tasks, seed, step * B + row, "train"))),
      learningRate: 2e-3,
      warmup: 50,
      schedule: "cosine",
      weightDecay: 0,
      ...(folder === undefined ? {} : { out: folder, existing: "resume", connection: "mhc" }),
    },
  );
  const look = runtime.compile({ outputs: { scores } });
  let [right, whole] = [0, 0];
  for (let first = 0; first < heldOut.length; first += B) {
    const examples = heldOut.slice(first, first + B);
    for (const [tensor, values] of batchOf(examples)) runtime.write(tensor, values);
    look.run();
    const found = await look.read("scores");
    for (const [list, example] of examples.entries()) {
      const correct = numbersOf(wordsOf(example).sorted).filter((word, place) => {
        const row = found.subarray((list * W + place) * V, (list * W + place + 1) * V);
        return row.indexOf(Math.max(...row)) === word;
      }).length;
      right += correct;
      whole += correct === W ? 1 : 0;
    }
  }
  runtime.close();
  return { words: right / (heldOut.length * W), lists: whole / heldOut.length };
}

/** By the kind of attention from the decoder to the encoder. */
export const sorted: Record<string, Sorted> = {};
const out = process.argv[2];
for (const [name, iterations] of [
  ["softmax", 0],
  ["sinkhorn", 5],
] as const) {
  const started = performance.now();
  const found = await train(
    iterations,
    +(process.env.STEPS ?? 1500),
    1,
    out === undefined ? undefined : path.join(out, name),
  );
  sorted[name] = found;
  process.stdout.write(
    `${name}: ${(100 * found.words).toFixed(1)} % of the words in their place, ${(100 * found.lists).toFixed(1)} % of ` +
      `${heldOut.length} held-out lists right, ${((performance.now() - started) / 1000).toFixed(0)} s\n`,
  );
}
