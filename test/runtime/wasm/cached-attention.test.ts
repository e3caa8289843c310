// Question: does a row get the same bits alone and in a run of rows, also when the engine has optimised the kernel?
//
// A text is read row by row in code that is not optimised yet, and then again and again in runs of other lengths, in which
// queries go together by four. Blocks are used in another order than they lie in.

import { expect, test } from "vitest";
import { input, persistent } from "../../../src/graph/state.ts";
import { cachedAttention } from "../../../src/ops/cached-attention.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";

const TEXT = 60;
const [BLOCK, BLOCKS] = [16, 4];

const cases = [
  { heads: 2, kvHeads: 2, headSize: 32, valueSize: 32 },
  { heads: 6, kvHeads: 2, headSize: 48, valueSize: 48 },
  { heads: 4, kvHeads: 1, headSize: 16, valueSize: 16 },
  { heads: 4, kvHeads: 2, headSize: 21, valueSize: 32 },
];

test.each(cases)("$heads heads with $kvHeads keys of $headSize and values of $valueSize columns", async (sizes) => {
  const { heads, kvHeads, headSize, valueSize } = sizes;
  const runtime = await createWasmRuntime({ threads: 1 });
  const E = (heads + kvHeads) * headSize + kvHeads * valueSize;
  const keys = persistent("keys", [BLOCKS, kvHeads, headSize, BLOCK]);
  const values = persistent("values", [BLOCKS, kvHeads, BLOCK, valueSize]);
  const qkv_TE = Float32Array.from({ length: TEXT * E }, (_, i) => 1.5 * Math.sin(12.9898 * i));
  const read = (rows: number): ((times: number) => Float32Array) => {
    const [qkv, blocks] = [input("qkv", [rows, E]), input("blocks", [1, BLOCKS], "i32")];
    const [positions, slots] = [input("positions", [rows], "i32"), input("slots", [rows], "i32")];
    const done = cachedAttention(qkv, { keys, values, blocks }, { positions, slots }, sizes);
    const updates = [
      [keys, done.keys],
      [values, done.values],
    ] as const;
    const program = runtime.compile({ outputs: { out: done.out }, updates });
    runtime.write(blocks, Int32Array.of(2, 0, 3, 1));
    runtime.write(slots, new Int32Array(rows));
    return (times) => {
      const parts: number[] = [];
      for (let from = 0; from < TEXT; from += rows) {
        runtime.write(qkv, qkv_TE.slice(from * E, (from + rows) * E));
        runtime.write(
          positions,
          Int32Array.from({ length: rows }, (_, row) => from + row),
        );
        for (let time = 0; time < times; time++) program.run();
        parts.push(...program.readNow("out"));
      }
      return Float32Array.from(parts);
    };
  };
  try {
    const alone = read(1);
    const expected = alone(1);
    for (const rows of [60, 5, 10, 12]) expect(read(rows)(200), `${rows} rows at a time`).toEqual(expected);
    expect(alone(20), "alone again").toEqual(expected);
  } finally {
    runtime.close();
  }
});
