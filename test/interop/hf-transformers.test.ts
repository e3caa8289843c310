// The transformers library makes tiny models and says their logits; the import reads the same models. And each default
// in the table of fields is that library's.

import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { fields } from "../../src/interop/hf/fields.ts";
import { type HuggingFaceModel, readHuggingFaceModel } from "../../src/interop/hf/weights.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { findPeer } from "./peer.ts";

const script = fileURLToPath(new URL("tiny-models.py", import.meta.url));
const peer = findPeer("hf-transformers.test.ts", "from transformers import DeepseekV3Config", "transformers");
const { place } = peer;

interface Made {
  readonly tokens: readonly (readonly number[])[];
  readonly logits: Readonly<Record<string, readonly number[]>>;
  readonly defaults: Readonly<Record<keyof typeof fields, Readonly<Record<string, unknown>>>>;
}

describe.skipIf(!peer.found)("transformers", () => {
  let made: Made;
  beforeAll(() => {
    made = JSON.parse(peer.ask(script, [place])) as Made;
  }, 300_000);

  test("computes what the import reads, whatever its files leave out", () => {
    for (const [index, [name, theirs]] of Object.entries(made.logits).entries()) {
      const ours = logitsOf(readHuggingFaceModel(path.join(place, String(index)), made.tokens[0]!.length), made.tokens);
      expect(theirs.length, name).toBe(ours.length);
      const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));
      expect(largest(theirs), name).toBeGreaterThan(1);
      expect(largest(theirs.map((value, i) => value - ours[i]!)) / largest(theirs), name).toBeLessThan(3e-5);
    }
  });

  test("has the defaults of the table", () => {
    for (const [type, table] of Object.entries(fields) as [keyof typeof fields, (typeof fields)["llama"]][]) {
      for (const [field, { absent }] of Object.entries(table)) {
        const theirs = made.defaults[type];
        // It fills these in from other fields, or has them only in the code of the released checkpoints.
        const derived = ["head_dim", "num_key_value_heads", "rope_parameters", "rope_scaling", "rope_theta"];
        if (derived.includes(field) || !Object.hasOwn(theirs, field)) continue;
        expect(theirs[field], `${type} ${field}`).toEqual(absent);
      }
    }
    expect(made.defaults.mistral["num_key_value_heads"]).toBe(fields.mistral["num_key_value_heads"]!.absent);
  });
});

function logitsOf({ model: config, tensors }: HuggingFaceModel, rows: Made["tokens"]): number[] {
  const runtime = peer.runtime();
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const tokens = input("tokens", [rows.length, config.context], "i32");
  const program = runtime.compile({ outputs: { logits: model.logits(model.hidden(tokens).hidden_NC) } });
  const values = new Map(tensors.map(({ name, data }) => [name, data]));
  for (const { name, tensor } of parameters.all) runtime.write(tensor, values.get(name)!);
  runtime.write(tokens, Int32Array.from(rows.flat()));
  program.run();
  return [...program.readNow("logits")];
}
