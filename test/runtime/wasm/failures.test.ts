// What goes wrong while a program runs reaches the caller: an index out of range with its place and value, the same on
// every number of threads and on the reference, and a trap of any thread as an error that ends the runtime.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gradients } from "../../../src/ops/gradients.ts";
import { input, parameter } from "../../../src/graph/state.ts";
import { scope, type Tensor } from "../../../src/graph/tensor.ts";
import { cachedAttention } from "../../../src/ops/cached-attention.ts";
import { crossEntropy } from "../../../src/ops/cross-entropy.ts";
import { dispatch } from "../../../src/ops/dispatch.ts";
import { expertRows } from "../../../src/ops/expert-rows.ts";
import { expertSum } from "../../../src/ops/expert-sum.ts";
import { sequenceBalance } from "../../../src/ops/sequence-balance.ts";
import { embedding, gather, scatterAdd } from "../../../src/ops/gather.ts";
import { toIndices } from "../../../src/ops/to-indices.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../../src/runtime/wasm/runtime.ts";

const ROWS = 200;
/** Rows of a table, classes, experts, slots. */
const SIZE = 19;

/** The last value of `ids`, which must name one of SIZE rows, is the one that does not. */
interface Case {
  readonly ids: Tensor;
  readonly y: Tensor;
  readonly advice: string;
}

const ids = (): Tensor => input("ids", [ROWS], "i32");
const pairs = (): Tensor => input("ids", [ROWS / 2, 2], "i32");
const one = (name: string): Tensor => input(name, [ROWS], "i32");

const cases: Readonly<Record<string, () => Case>> = {
  gather: () => {
    const tokens = ids();
    return { ids: tokens, y: gather(parameter("table", [SIZE, 40]), tokens), advice: "check the token ids." };
  },
  scatterAdd: () => {
    const tokens = ids();
    return { ids: tokens, y: scatterAdd(tokens, input("g", [ROWS, 200]), SIZE), advice: "check the token ids." };
  },
  crossEntropy: () => {
    const targets = ids();
    const y = crossEntropy(parameter("x", [ROWS, SIZE]), targets);
    return { ids: targets, y, advice: "check the targets; there is no label for padding." };
  },
  cachedAttention: () => {
    const slots = ids();
    const blocks = input("blocks", [SIZE, 1], "i32");
    const cache = { keys: input("keys", [2, 1, 4, 8]), values: input("values", [2, 1, 8, 4]), blocks };
    const { out } = cachedAttention(
      input("qkv", [ROWS, 12]),
      cache,
      { positions: one("positions"), slots },
      { heads: 1, headSize: 4 },
    );
    return { ids: slots, y: out, advice: "check positions and slots." };
  },
  dispatch: () => {
    const chosen = pairs();
    return { ids: chosen, y: dispatch(chosen, SIZE).load, advice: "check the experts." };
  },
  sequenceBalance: () => {
    const chosen = pairs();
    const y = sequenceBalance(parameter("scores", [ROWS / 2, SIZE]), chosen, 10);
    return { ids: chosen, y, advice: "check the experts." };
  },
};

/** What a call throws. */
function thrown(run: () => void): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

describe.each([1, 2, 3])("on %i threads", (threads) => {
  let runtime: WasmRuntime;
  beforeAll(async () => {
    runtime = await createWasmRuntime({ threads });
  });
  afterAll(() => runtime.close());

  describe.each(Object.entries(cases))("%s", (operation, make) => {
    it.each(operation === "cachedAttention" ? [SIZE, 100_000_000] : [SIZE, 100_000_000, -100])(
      "names index %i, as the reference does, and then runs on",
      (index) => {
        const { ids, y, advice } = make();
        const program = runtime.compile({ outputs: { y } });
        const values = new Int32Array(ROWS);
        values[ROWS - 1] = index;
        runtime.write(ids, values);
        const error = thrown(() => program.run());
        expect(error).toBeInstanceOf(RangeError);
        expect(() => program.readNow("y")).toThrow(/run the program first/);
        expect(error.message).toBe(
          `${operation}: index ${index} at position ${ROWS - 1}; allowed are 0 to ${SIZE - 1}; ${advice}`,
        );

        const reference = createReferenceRuntime();
        const oracle = reference.compile({ outputs: { y } });
        reference.write(ids, values);
        expect(thrown(() => oracle.run()).message).toBe(error.message);

        values[ROWS - 1] = SIZE - 1;
        runtime.write(ids, values);
        program.run();
        program.release();
      },
    );
  });

  it("says where in the model, and of many the first", () => {
    const tokens = input("tokens", [4], "i32");
    const y = scope("embedding", () => embedding(parameter("table", [SIZE, 3]), tokens));
    const program = runtime.compile({ outputs: { y } });
    runtime.write(tokens, [0, 1, -1, SIZE]);
    const message = "gather (in embedding): index -1 at position 2; allowed are 0 to 18; check the token ids.";
    expect(thrown(() => program.run()).message).toBe(message);
    expect(thrown(() => program.profile()).message).toBe(message);
    runtime.write(tokens, [0, 1, 2, SIZE]);
    expect(thrown(() => program.run()).message).toContain("index 19 at position 3;");
  });

  it("reads and writes no memory but its own", () => {
    const tokens = input("tokens", [8], "i32");
    const y = scatterAdd(tokens, input("g", [8, 64]), SIZE);
    const after = parameter("after", [64]);
    const program = runtime.compile({ outputs: { y, after } });
    runtime.write(after, new Float32Array(64).fill(7));
    runtime.write(tokens, [0, -1, -100, SIZE, SIZE + 1, 2 ** 31 - 1, -(2 ** 31), 1]);
    expect(() => program.run()).toThrow(/scatterAdd: index -1 at position 1;/);
    expect(runtime.readNow(after)).toEqual(new Float32Array(64).fill(7));
  });

  it("makes an index of anything", () => {
    const x = input("x", [5]);
    const program = runtime.compile({ outputs: { y: toIndices(x) } });
    runtime.write(x, [NaN, 1e20, -Infinity, 2.5, -2.5]);
    program.run();
    expect([...program.readNow("y")]).toEqual([0, 2 ** 31 - 1, -(2 ** 31), 3, -2]);
  });

  it("checks what an expert's rows are taken from", () => {
    const order = input("order", [ROWS], "i32");
    const position = input("position", [ROWS / 2, 2], "i32");
    const routes = { ...dispatch(pairs(), SIZE), order, position };
    const x = input("x", [ROWS / 2, 8]);
    const rows = runtime.compile({ outputs: { y: expertRows(x, routes) } });
    runtime.write(order, new Int32Array(ROWS).fill(ROWS));
    expect(() => rows.run()).toThrow(/expertRows: index 200 at position 0; allowed are 0 to 199; check the experts/);
    const weights = input("weights", [ROWS / 2, 2]);
    const sums = runtime.compile({ outputs: { y: expertSum(input("y", [ROWS, 8]), routes, weights) } });
    runtime.write(position, new Int32Array(ROWS).fill(-1));
    expect(() => sums.run()).toThrow(/expertSum: index -1 at position 0; allowed are 0 to 199; check the experts/);
  });
});

describe.each([1, 2, 3])("a trap on %i threads", (threads) => {
  it("reaches the caller, and the runtime does nothing any more", async () => {
    for (let round = 0; round < 5; round++) {
      const runtime = await createWasmRuntime({ threads });
      const x = parameter("x", [400, 8]);
      const y = scope("layers.0", () => sum(crossEntropy(x, input("targets", [400], "i32"))));
      const [dx] = gradients(y, [x]);
      const program = runtime.compile({ outputs: { y, dx: dx! } });
      program.run();
      breakPointers(runtime, x);
      const started = performance.now();
      const error = thrown(() => program.run());
      expect(performance.now() - started).toBeLessThan(1000);
      expect(error.message).toMatch(
        /^crossEntropy \(in layers\.0\): a thread of the CPU runtime failed \(memory access out of bounds\); close/,
      );
      for (const use of [
        () => program.run(),
        () => program.readNow("y"),
        () => runtime.compile({ outputs: { y } }),
        () => runtime.write(x, new Float32Array(3200)),
        () => runtime.readNow(x),
        () => runtime.view(x),
      ])
        expect(use).toThrow(/^This runtime has failed and does nothing any more \(crossEntropy \(in layers\.0\): .*\)/);
      program.release();
      runtime.forget(x);
      runtime.close();
      runtime.close();
    }
  });
});

/** Let every call that reads this state read past the end of all memory. */
function breakPointers(runtime: WasmRuntime, state: Tensor): void {
  const { buffer, byteOffset } = runtime.view(state);
  const words = new Int32Array(buffer);
  for (let i = 0; i < words.length; i++) if (words[i] === byteOffset) words[i] = -64;
}
