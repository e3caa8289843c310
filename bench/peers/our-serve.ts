// Question: how long do the clients of our server wait for their tokens?
//
//   node bench/peers/our-serve.ts --connection mhc --clients 16 --prompt 32 --written 64 --turns 4 --warm 4 \
//       --layers 4 --channels 256 --heads 8 --tokens 256 --vocabulary 1024 --threads 2
//
// All clients ask at once, by HTTP, for a stream of the likeliest tokens after a prompt of their own, and read it to its
// end; so many turns are one piece of work. They are in a thread of their own (serve-clients.ts), on the same cores, so
// their work counts too. Before, the server warms up as it always does, and the clients ask for so many seconds.

import { once } from "node:events";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { trainTokenizer } from "../../src/data/tokenizer.ts";
import { createParameters, parameterCount } from "../../src/graph/parameters.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { readChatTemplate } from "../../src/serving/chat-template.ts";
import { createEngine } from "../../src/serving/engine.ts";
import { listenForApi } from "../../src/serving/listen.ts";
import { createPromptEncoder } from "../../src/serving/prompt-encoder.ts";
import { warmUp } from "../../src/serving/warm-up.ts";
import { initialValues } from "../../src/training/initialise.ts";
import type { Reply } from "../lib/peer.ts";
import { ourHello } from "../lib/ours.ts";
import { serve, type Work } from "../lib/serve.ts";
import { modelOf, sizeOptions } from "../lib/sizes.ts";
import type { Asked, Read } from "./serve-clients.ts";

const { values } = parseArgs({
  options: {
    ...sizeOptions,
    clients: { type: "string", default: "16" },
    prompt: { type: "string", default: "32" },
    written: { type: "string", default: "64" },
    turns: { type: "string", default: "1" },
    warm: { type: "string", default: "0" },
    pace: { type: "string", default: "0" },
  },
});

async function start(): Promise<Work> {
  const config = modelOf(values);
  const { context, vocabulary } = config;
  const [threads, clients, written] = [values.threads, values.clients, values.written].map(Number) as [
    number,
    number,
    number,
  ];
  // Words enough for as many tokens as the model has.
  const words = Array.from({ length: 20_000 }, (_, i) => `w${(i * 7919) % 10_007}`).join(" ");
  const tokenizer = trainTokenizer([words], { vocabularySize: vocabulary });
  if (tokenizer.vocabularySize !== vocabulary) throw new Error(`The tokenizer has ${tokenizer.vocabularySize} tokens.`);
  const runtime = await createWasmRuntime({ threads });
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
  const engine = await createEngine(runtime, model, { slots: Math.max(16, clients), queue: 64, stretch: 1.5 });
  const template = await readChatTemplate(import.meta.dirname);
  const served = {
    name: "bench",
    created: 0,
    engine,
    tokenizer,
    encoder: createPromptEncoder(tokenizer),
    template,
    context,
    vocabulary,
  };
  await warmUp(served);
  const { url, stop } = await listenForApi(served, {
    host: "127.0.0.1",
    port: 0,
    deadline: 600,
    pace: Number(values.pace),
  });

  const crowd = new Worker(new URL("serve-clients.ts", import.meta.url));
  const ask = async (asked: Asked): Promise<readonly Read[]> => {
    crowd.postMessage(asked);
    const [read] = (await once(crowd, "message")) as [readonly Read[]];
    return read;
  };
  let turn = 0;
  const oneTurn = async (): Promise<readonly Read[]> => {
    // Prompts of which no place of the cache holds the beginning.
    const first = (31 * clients * turn++) % vocabulary;
    const prompts = Array.from({ length: clients }, (_, client) =>
      Array.from({ length: Number(values.prompt) }, (_, i) => (7 * i + 3 + 31 * client + first) % vocabulary),
    );
    return ask({ url, prompts, written });
  };
  const run = async (): Promise<Partial<Reply>> => {
    const texts: Read[] = [];
    for (let count = 0; count < Number(values.turns); count++) texts.push(...(await oneTurn()));
    return {
      first_ms: texts.map(({ ms }) => ms[0]!),
      token_ms: texts.flatMap(({ ms }) => ms.slice(1).map((time, index) => time - ms[index]!)),
      written: texts.reduce((sum, text) => sum + text.written, 0),
    };
  };
  const warm = performance.now() + 1000 * Number(values.warm);
  do await oneTurn();
  while (performance.now() < warm);
  return {
    hello: {
      ...ourHello(runtime, threads),
      parameters: parameterCount(parameters),
    },
    run,
    async close() {
      await crowd.terminate();
      await stop(0);
      runtime.close();
    },
  };
}

await serve("serve", start);
