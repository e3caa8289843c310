// A small model behind the API, with a tokenizer of its own.

import { trainTokenizer } from "../../src/data/tokenizer.ts";
import { readChatTemplate } from "../../src/serving/chat-template.ts";
import { createEngine, type EngineOptions } from "../../src/serving/engine.ts";
import { createPromptEncoder } from "../../src/serving/prompt-encoder.ts";
import type { Served } from "../../src/serving/served.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { smallText } from "../e2e/cli.ts";
import { modelOn, tinyConfig } from "../model/tiny.ts";

export async function servedOn(
  runtime: SynchronousRuntime,
  options: Partial<EngineOptions> = {},
  folder: string = import.meta.dirname,
): Promise<Served> {
  const tokenizer = trainTokenizer([smallText(500)], { vocabularySize: 300 });
  const vocabulary = tokenizer.vocabularySize;
  const context = 400;
  const config = tinyConfig("mhc", { vocabulary, context, width: 32, heads: 4, kvHeads: 2 });
  const engine = await createEngine(runtime, modelOn(runtime, config, { seed: 5, noise: 0.2 }), {
    slots: 8,
    queue: 16,
    stretch: 1.5,
    ...options,
  });
  const template = await readChatTemplate(folder);
  return {
    name: "tiny",
    created: 0,
    engine,
    tokenizer,
    encoder: createPromptEncoder(tokenizer),
    template,
    context,
    vocabulary,
  };
}
