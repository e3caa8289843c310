// Question: does a text get other tokens when others are written beside it?
//
// Texts of random lengths, prompts and rules are written alone, and then again in groups of 1 to 32 that come at the same
// time and share beginnings. A token differs if its number or its log-probability does, by any bit.

import { createParameters } from "../../src/graph/parameters.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { createEngine, type Engine } from "../../src/serving/engine.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { uniform } from "../../test/ops/harness.ts";
import { alone, readAll, requestOf } from "../../test/serving/texts.ts";
import type { Figure } from "./report.ts";
import { modelOf } from "./sizes.ts";

const SIZES = { layers: "2", channels: "64", heads: "4", tokens: "128", vocabulary: "512", connection: "mhc" };
const [TOKENS, MOST_TEXTS] = [100_000, 32];

/** How many of 100,000 tokens differ. */
export async function countDiffering(name: string, threads: number): Promise<Figure> {
  const runtime = await createWasmRuntime({ threads });
  try {
    const config = modelOf({ ...SIZES, threads: `${threads}` });
    const parameters = createParameters();
    const model = languageModel(config, parameters);
    for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));
    const open = (): Promise<Engine> =>
      createEngine(runtime, model, { slots: MOST_TEXTS, queue: MOST_TEXTS, stretch: 1.5 });
    const [single, mixed] = [await open(), await open()];
    const random = uniform(17);
    let [tokens, differing] = [0, 0];
    for (let seed = 0; tokens < TOKENS;) {
      const count = 1 + Math.floor(MOST_TEXTS * random());
      const requests = Array.from({ length: count }, (_, index) => {
        const { prompt, ...request } = requestOf(seed + index, config);
        // Every other text begins like the first of its group.
        const like = index % 2 === 1 ? requestOf(seed, config).prompt.slice(0, prompt.length - 1) : [];
        return { ...request, prompt: [...like, ...prompt.slice(like.length)] };
      });
      seed += count;
      const together = await Promise.all(mixed.submit(requests).map(readAll));
      for (const [index, request] of requests.entries()) {
        const { events } = await alone(single, request);
        const others = together[index]!.events;
        tokens += events.length;
        differing += events.filter((event, at) => JSON.stringify(event) !== JSON.stringify(others[at])).length;
      }
    }
    return { name, value: differing, unit: `of ${tokens}`, higher_is_better: false, bar: 0 };
  } finally {
    runtime.close();
  }
}
