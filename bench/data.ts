// Question: does a step wait for its data, and how fast is a text tokenized?
//
// Reading: a file of 2^25 token ids is read shuffled, as training reads it. The thread that reads ahead must give more
// tokens a second than a training step of `nano` takes; and in a loop of such steps the share of the time in which a
// step fetches its batch must be small. Tokenizing: the same addresses with the same tokenizer.json on one thread, here
// and by Hugging Face's two implementations; all must give as many tokens.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createBatches } from "../src/data/batches.ts";
import { readCorpus } from "../src/data/corpus.ts";
import { prepareData } from "../src/data/prepare.ts";
import { readAhead } from "../src/data/stored/read-ahead.ts";
import { writeTokenizer } from "../src/data/tokenizer-file.ts";
import { trainTokenizer } from "../src/data/tokenizer.ts";
import { presets } from "../src/model/config.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import { parseTrainingConfig } from "../src/training/config.ts";
import { createTrainer } from "../src/training/trainer.ts";
import { median } from "../src/basics/numbers.ts";
import { contest, type Entrant, type Result } from "./lib/contest.ts";
import type { Group } from "./lib/group.ts";
import { type Figure, rate, ratio, type Side } from "./lib/report.ts";

const READING = ["data.read.vs_step", "data.wait_share"] as const;
/** The entrant that each figure compares with. */
const TOKENIZING: Readonly<Record<string, string>> = {
  "data.tokenize.vs_tokenizers_js": "tokenizers.js t1",
  "data.tokenize.vs_tokenizers": "tokenizers t1",
};
const scripts: Readonly<Record<string, URL>> = {
  "birkhoff t1": new URL("peers/our-tokenizer.ts", import.meta.url),
  "tokenizers.js t1": new URL("peers/hf-tokenizer.ts", import.meta.url),
  "tokenizers t1": new URL("peers/tokenizing.py", import.meta.url),
};
const names: readonly string[] = [...READING, ...Object.keys(TOKENIZING)];

const VOCABULARY = 2048;
const IDS = 2 ** 25;
const BATCH = 16;
const STEPS = 20;
const ADDRESSES = 60;

type Note = (text: string) => void;

export const data: Group = {
  names,
  async *measure(wanted, { rounds, note }) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-bench-data-"));
    try {
      const documents = (await readCorpus({ kind: "sotu" })).documents.map(({ text }) => text).slice(-ADDRESSES);
      note("training a tokenizer");
      const tokenizer = trainTokenizer(documents, { vocabularySize: VOCABULARY });
      writeTokenizer(path.join(folder, "tokenizer.json"), tokenizer);
      if (READING.some((name) => wanted.includes(name))) yield* reading(folder, wanted, rounds, note);
      yield* tokenizing(folder, documents, wanted, rounds, note);
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  },
};

async function* reading(folder: string, wanted: readonly string[], rounds: number, note: Note): AsyncGenerator<Figure> {
  note(`writing ${IDS} ids`);
  const file = path.join(folder, "ids.bin");
  fs.writeFileSync(
    file,
    Uint16Array.from({ length: IDS }, (_, index) => (index * 48271) % VOCABULARY),
  );
  const prepared = await prepareData({
    source: file,
    vocabularySize: VOCABULARY,
    cacheFolder: path.join(folder, "cache"),
  });
  const { train, validation, tokenizer, mixture, summary } = prepared;
  const size = presets.nano;
  const options = {
    batchSize: BATCH,
    contextLength: size.context,
    seed: 1,
    shuffle: { rows: BATCH, mixture: mixture! },
  };
  const batches = createBatches({ ...options, train, validation, byteLengths: tokenizer.byteLengths });
  const config = parseTrainingConfig({
    name: "bench",
    data: { source: file, vocabulary: VOCABULARY },
    model: { ...size, vocabulary: VOCABULARY, connection: { kind: "residual" } },
    batch: BATCH,
    steps: 1e6,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1e6,
    checkpointEvery: 1e6,
  });
  const runtime = await createWasmRuntime();
  const ahead = readAhead(batches, summary.folder, options, 1);
  let waited = 0;
  const watched: typeof batches = {
    ...ahead,
    trainingBatch(step, microbatch) {
      const started = performance.now();
      const batch = ahead.trainingBatch(step, microbatch);
      waited += performance.now() - started;
      return batch;
    },
  };
  const trainer = createTrainer(runtime, config, watched);
  try {
    await trainer.trainStep();
    const tokens = BATCH * size.context;
    const [reads, steps, shares]: [number[], number[], number[]] = [[], [], []];
    note(`reading and training in turns: ${rounds} rounds`);
    for (let round = 0; round < rounds; round++) {
      let started = performance.now();
      for (let step = 0; step < 10 * STEPS; step++) batches.trainingBatch(1000 * (round + 1) + step);
      reads.push((10 * STEPS * tokens * 1000) / (performance.now() - started));
      waited = 0;
      started = performance.now();
      for (let step = 0; step < STEPS; step++) await trainer.trainStep();
      const took = performance.now() - started;
      steps.push((STEPS * tokens * 1000) / took);
      shares.push(waited / took);
    }
    const side = (label: string, unit: string, values: readonly number[]): Side => ({
      label,
      value: median(values),
      unit,
      median: median(values),
      samples: values.length,
    });
    const step = side(`a step of nano takes (${runtime.device.threads} threads)`, "tokens/s", steps);
    const read = side("one thread reads", "tokens/s", reads);
    if (wanted.includes(READING[0])) yield ratio(READING[0], read, step, { higher_is_better: true, bar: 10 });
    const share = side(`${ahead.counts.ahead} batches ahead, ${ahead.counts.late} late`, "of a step", shares);
    if (wanted.includes(READING[1]))
      yield {
        name: READING[1],
        value: share.value,
        unit: "of a step",
        higher_is_better: false,
        bar: 0.01,
        ours: share,
      };
  } finally {
    ahead.close();
    trainer.release();
    runtime.close();
    prepared.close();
  }
}

async function* tokenizing(
  folder: string,
  documents: readonly string[],
  wanted: readonly string[],
  rounds: number,
  note: Note,
): AsyncGenerator<Figure> {
  const texts = path.join(folder, "texts.json");
  fs.writeFileSync(texts, JSON.stringify(documents));
  const bytes = documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const args = ["--tokenizer", path.join(folder, "tokenizer.json"), "--texts", texts];
  const peers = Object.entries(TOKENIZING).filter(([name]) => wanted.includes(name));
  const entrants = Object.fromEntries(
    Object.entries(scripts).map(([name, script]): [string, Entrant] => [
      name,
      { ours: name.startsWith("birkhoff"), script, args, threads: 1 },
    ]),
  );
  const speed = ({ timing }: Result): Side => rate(timing, "best", "MB/s", (ms) => bytes / ms / 1000);
  yield* contest({
    entrants,
    comparisons: peers.map(([name, theirs]) => ({
      name,
      needs: ["birkhoff t1", theirs],
      measure: (of) => ratio(name, speed(of("birkhoff t1")), speed(of(theirs)), { higher_is_better: true }),
    })),
    op: "tokenize",
    count: 1,
    rounds: Math.min(rounds, 4),
    check: expectSameTokens,
    note,
  });
}

function expectSameTokens(results: ReadonlyMap<string, Result>): void {
  const counts = [...results].flatMap(([name, { replies }]) => replies.map(({ corner }) => ({ name, corner })));
  const odd = counts.find(({ corner }) => corner !== counts[0]!.corner);
  if (odd) throw new Error(`${counts[0]!.name} makes ${counts[0]!.corner} tokens, ${odd.name} ${odd.corner}.`);
}
