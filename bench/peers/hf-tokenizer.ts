// Question: how long does Hugging Face's tokenizer for JavaScript take for the same?
//
//   node bench/peers/hf-tokenizer.ts --tokenizer tokenizer.json --texts texts.json

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import { serve, Skip } from "../lib/serve.ts";

function version(): string {
  try {
    const entry = createRequire(import.meta.url).resolve("@huggingface/tokenizers");
    const manifest = `${entry.slice(0, entry.lastIndexOf("/dist/"))}/package.json`;
    return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
  } catch {
    throw new Skip("@huggingface/tokenizers is not installed (npm ci)");
  }
}

await serve("tokenize", async () => {
  const { values } = parseArgs({ options: { tokenizer: { type: "string" }, texts: { type: "string" } } });
  const texts = JSON.parse(readFileSync(values.texts!, "utf8")) as string[];
  const tokenizer = new Tokenizer(JSON.parse(readFileSync(values.tokenizer!, "utf8")) as object, {});
  const count = (): number =>
    texts.reduce((sum, text) => sum + tokenizer.encode(text, { add_special_tokens: false }).ids.length, 0);
  return {
    hello: { peer: "tokenizers.js", versions: { "@huggingface/tokenizers": version() }, threads: 1 },
    run: async () => ({ corner: count() }),
  };
});
