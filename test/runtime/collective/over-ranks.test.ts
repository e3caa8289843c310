// A mixture whose experts lie on several ranks computes what one process computes of all their tokens.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createParameters } from "../../../src/graph/parameters.ts";
import { input } from "../../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../../src/graph/tensor.ts";
import { mixtureBlock, type MixtureConfig, type Routing } from "../../../src/model/mixture.ts";
import { multiply } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { sum } from "../../../src/ops/reductions.ts";
import type { Collective } from "../../../src/runtime/collective/collective.ts";
import { overRanks } from "../../../src/runtime/collective/over-ranks.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { initialise } from "../../../src/training/initialise.ts";
import { createWorld, onAll } from "./world.ts";

const [WIDTH, TOKENS, EXPERTS] = [16, 12, 8];
const mixture: MixtureConfig = {
  kind: "moe",
  experts: EXPERTS,
  active: 2,
  shared: 1,
  hidden: 12,
  denseLayers: 0,
  balanceRate: 0.001,
};

const wasm: Runtime[] = [];
beforeAll(async () => {
  for (let rank = 0; rank < 4; rank++) wasm.push(await createWasmRuntime({ threads: 1 }));
});
afterAll(() => wasm.forEach((runtime) => runtime.close()));

/** Rows that all like the same experts where `alike`, so that one rank has all work. */
const tokensOf = (from: number, many: number, alike: boolean): Float32Array =>
  Float32Array.from({ length: many * WIDTH }, (_, i) =>
    Math.fround(
      Math.sin((alike ? i % WIDTH : from * WIDTH + i) * 1.7) + (alike ? 1e-3 * Math.cos(from * WIDTH + i) : 0),
    ),
  );

interface Computed {
  readonly y: TensorValues;
  readonly gradients: ReadonlyMap<string, TensorValues>;
  readonly load: TensorValues;
}

/** Two mixtures, one after another, of some tokens, with the gradients of the sum of squares. */
async function compute(
  runtime: Runtime,
  { from, many, alike }: { from: number; many: number; alike: boolean },
  collective?: Collective,
): Promise<Computed> {
  const sharing = collective && { ranks: collective.size, part: collective.rank };
  const parameters = createParameters();
  const blocks = ["one", "two"].map((name, layer) =>
    mixtureBlock(parameters.under(name), { width: WIDTH, layers: 2 }, mixture, layer, sharing),
  );
  const x = input("x", [many, WIDTH]);
  const routing: Routing[] = [];
  const y = blocks.reduce((z, block) => block(z, { length: many, routing }), x);
  const trained = parameters.all.filter(({ role }) => role !== "balance");
  const wanted = [x, ...trained.map(({ tensor }) => tensor)];
  const made = gradients(sum(multiply(y, y)), wanted);
  const over = collective ? overRanks(runtime, collective) : runtime;
  const program = over.compile({ outputs: { y, made, load: routing[0]!.load_E } });
  initialise(runtime, parameters, 3);
  // Larger weights than a model starts with: gradients that are no noise.
  for (const { tensor } of trained)
    runtime.write(
      tensor,
      Array.from(runtime.readNow!(tensor), (value) => 20 * value),
    );
  runtime.write(x, tokensOf(from, many, alike));
  for (const part of program.parts?.() ?? [program]) await part.run();
  const [values, gradientsRead, load] = [
    await program.read("y"),
    await program.read("made"),
    await program.read("load"),
  ];
  program.release();
  const names = ["x", ...trained.map(({ name }) => name)];
  return { y: values, gradients: new Map(names.map((name, index) => [name, gradientsRead[index]!])), load };
}

/** The gradient of a parameter from all ranks: summed where each has all of it, one after another where they share it. */
function together(all: readonly Computed[], name: string): number[] {
  const lists = all.map((each) => [...each.gradients.get(name)!]);
  if (name === "x" || name.includes(".experts.")) return lists.flat();
  return lists[0]!.map((_, at) => lists.reduce((total, list) => total + list[at]!, 0));
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)));

describe.each([
  ["wasm", 2, false],
  ["wasm", 4, false],
  ["wasm", 4, true],
  ["reference", 2, false],
] as const)("on %s, %d ranks, the same experts for all: %s", (name, size, alike) => {
  test("forward and gradients are those of one process with all tokens, and the same each time", async () => {
    const runtimeOf = (rank: number): Runtime => (name === "wasm" ? wasm[rank]! : createReferenceRuntime());
    const share = TOKENS / size;
    const one = await compute(runtimeOf(0), { from: 0, many: TOKENS, alike });
    const run = (): Promise<Computed[]> =>
      onAll(createWorld(size), (collective) =>
        compute(runtimeOf(collective.rank), { from: collective.rank * share, many: share, alike }, collective),
      );
    const ranks = await run();
    // A product that is cut from the sum it belongs to is rounded once more.
    expect(
      worst(
        ranks.flatMap(({ y }) => [...y]),
        one.y,
      ),
    ).toBeLessThan(1e-6);
    for (const [parameter, expected] of one.gradients) {
      const largest = Math.max(...Array.from(expected, Math.abs));
      expect(largest).toBeGreaterThan(0);
      expect(worst(together(ranks, parameter), expected) / largest, parameter).toBeLessThan(1e-5);
    }
    const loads = [...one.load].map((_, e) => ranks.reduce((total, { load }) => total + load[e]!, 0));
    expect(loads).toEqual([...one.load]);
    if (alike) expect(Math.max(...loads)).toBe(TOKENS);
    expect(await run()).toEqual(ranks);
  });
});

test("a machine alone says that it cannot reach other ranks' experts", () => {
  const x: Tensor = input("x", [4, WIDTH]);
  const parameters = createParameters();
  const block = mixtureBlock(parameters, { width: WIDTH, layers: 1 }, mixture, 0, { ranks: 2, part: 0 });
  expect(sizeOf(parameters.all.find(({ part }) => part === "experts.down")!.tensor.shape)).toBe(
    (EXPERTS / 2) * mixture.hidden * WIDTH,
  );
  const y = block(x, { length: 4, routing: [] });
  expect(() => wasm[0]!.compile({ outputs: { y } })).toThrow("no kernel for expertsSend");
  expect(() =>
    mixtureBlock(createParameters(), { width: WIDTH, layers: 1 }, mixture, 0, { ranks: 3, part: 0 }),
  ).toThrow("8 experts are given, and 3 ranks share them");
});

test("a program of which a part does not fit leaves nothing behind", () => {
  const [many, world] = [4, createWorld(2)[0]!];
  const parameters = createParameters();
  const block = mixtureBlock(parameters, { width: WIDTH, layers: 1 }, mixture, 0, { ranks: 2, part: 0 });
  const y = block(input("x", [many, WIDTH]), { length: many, routing: [] });
  let [compiled, released, fails] = [0, 0, 2];
  const small: Runtime = {
    ...wasm[0]!,
    compile(spec) {
      if (--fails === 0) throw new Error("Out of memory");
      compiled++;
      const program = wasm[0]!.compile(spec);
      return {
        ...program,
        release() {
          released++;
          program.release();
        },
      };
    },
  };
  const over = overRanks(small, world);
  expect(() => over.compile({ outputs: { y } })).toThrow("Out of memory");
  expect([compiled, released]).toEqual([1, 1]);
  fails = 0;
  over.compile({ outputs: { y } }).release();
  expect(released).toBe(compiled);
});
