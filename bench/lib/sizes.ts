// Question: which model do the options of our peers describe?

import { type ConnectionKind, defaultConnection } from "../../src/connections/table.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";

/** The same options as those of `serve.py`. */
export const sizeOptions = {
  connection: { type: "string", default: "residual" },
  layers: { type: "string", default: "4" },
  channels: { type: "string", default: "256" },
  heads: { type: "string", default: "8" },
  tokens: { type: "string", default: "256" },
  vocabulary: { type: "string", default: "1024" },
  threads: { type: "string", default: "2" },
} as const;

const kinds: readonly ConnectionKind[] = ["residual", "hc", "mhc"];

/** The model that these options ask for; its feed-forward is 8/3 as wide, in whole 64s. */
export function modelOf(values: Readonly<Record<keyof typeof sizeOptions, string>>): ModelConfig {
  const kind = kinds.find((each) => each === values.connection);
  if (kind === undefined) throw new Error(`--connection ${values.connection} is unknown; use ${kinds.join(", ")}.`);
  const [width, heads] = [Number(values.channels), Number(values.heads)];
  return modelSchema.parse({
    vocabulary: Number(values.vocabulary),
    context: Number(values.tokens),
    width,
    layers: Number(values.layers),
    heads,
    kvHeads: heads,
    hidden: 64 * Math.ceil((8 * width) / 3 / 64),
    connection: defaultConnection(kind),
  });
}
