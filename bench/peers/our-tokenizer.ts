// Question: how long does this library take to tokenize some texts on one thread?
//
//   node bench/peers/our-tokenizer.ts --tokenizer tokenizer.json --texts texts.json
//
// `corner` in a reply is the number of tokens, by which engines are compared.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { readTokenizer } from "../../src/data/tokenizer-file.ts";
import { serve } from "../lib/serve.ts";

await serve("tokenize", async () => {
  const { values } = parseArgs({ options: { tokenizer: { type: "string" }, texts: { type: "string" } } });
  const texts = JSON.parse(readFileSync(values.texts!, "utf8")) as string[];
  const tokenizer = readTokenizer(values.tokenizer!);
  const count = (): number => texts.reduce((sum, text) => sum + tokenizer.encode(text).length, 0);
  return { hello: { peer: "birkhoff", versions: {}, threads: 1 }, run: async () => ({ corner: count() }) };
});
