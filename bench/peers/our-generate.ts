// Question: how long does every token of a text take here, in this library?
//
//   node bench/peers/our-generate.ts --connection mhc --layers 4 --channels 256 --heads 8 \
//       --tokens 256 --vocabulary 1024 --threads 2 --written 128
//
// It has the same protocol and the same model as `serve.py generate`: it reads a prompt of half a window, then writes the
// most likely token again and again, with the generator that `birkhoff sample` uses. More tokens than half a window make
// the window slide.

import { parseArgs } from "node:util";
import { createParameters, parameterCount } from "../../src/graph/parameters.ts";
import { createGenerator } from "../../src/model/generate.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import type { Reply } from "../lib/peer.ts";
import { ourHello } from "../lib/ours.ts";
import { serve, type Work } from "../lib/serve.ts";
import { modelOf, sizeOptions } from "../lib/sizes.ts";

const { values } = parseArgs({ options: { ...sizeOptions, written: { type: "string", default: "128" } } });

async function start(): Promise<Work> {
  const config = modelOf(values);
  const threads = Number(values.threads);
  const runtime = await createWasmRuntime({ threads });
  const parameters = createParameters();
  const generator = createGenerator(runtime, languageModel(config, parameters));
  for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
  const prompt = Array.from({ length: config.context >> 1 }, (_, i) => (7 * i + 3) % config.vocabulary);
  const options = { temperature: 0, maxTokens: Number(values.written), random: () => 0 };

  const run = async (): Promise<Partial<Reply>> => {
    const token_ms: number[] = [];
    let before = performance.now();
    for await (const _ of generator.generate(prompt, options)) {
      const now = performance.now();
      token_ms.push(now - before);
      before = now;
    }
    return { token_ms };
  };
  await run();
  return {
    hello: {
      ...ourHello(runtime, threads),
      parameters: parameterCount(parameters),
    },
    run,
  };
}

await serve("generate", start);
