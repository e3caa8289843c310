// Recomputation: what `checkpoint` saves, what `keep` keeps, and that they change no bit of a gradient.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Connection, State } from "../../src/connections/connection.ts";
import { hc } from "../../src/connections/hc.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { residual } from "../../src/connections/residual.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters, type ParameterSet } from "../../src/graph/parameters.ts";
import { constant, input } from "../../src/graph/state.ts";
import { ancestors, checkpoint, keep, type Node, type Tensor } from "../../src/graph/tensor.ts";
import { attention } from "../../src/ops/attention.ts";
import { multiply, silu, square, tanh } from "../../src/ops/elementwise.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { mean, sum } from "../../src/ops/reductions.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { rmsNorm } from "../../src/ops/rms-norm.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmProgram, WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { relativeError } from "../ops/harness.ts";
import type { TensorValues } from "../../src/runtime/program.ts";

const [BATCH, TOKENS, WIDTH, HIDDEN, LAYERS] = [2, 200, 24, 96, 8];

let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 2 })));
afterAll(() => runtime.close());

const connections: Readonly<Record<string, () => Connection>> = { residual, hc, mhc };
type Wrap = <R extends State>(build: () => R) => R;

interface Stack {
  readonly parameters: ParameterSet;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly x_TC: Tensor;
}

interface Form {
  readonly sublayers?: number;
  /** Sublayers wrapped together. */
  readonly group?: number;
  /** What computes a block's result from the normalised read. */
  readonly result?: Wrap;
}

/** Attention and wide blocks in turns, joined by a connection, each group of sublayers wrapped as given. */
function stack(connection: Connection, wrap: Wrap, form: Form = {}): Stack {
  const { sublayers = LAYERS, group = 1, result = (build) => build() } = form;
  const parameters = createParameters();
  const x_TC = input("x", [TOKENS, WIDTH]);
  const attend = (qkv: Tensor): Tensor =>
    reshape(attention(reshape(qkv, [BATCH, TOKENS / BATCH, HIDDEN]), { heads: 4, kvHeads: 2, headSize: HIDDEN / 8 }), [
      TOKENS,
      HIDDEN / 2,
    ]);
  const sublayer = (layer: number): ((state: State) => State) => {
    const own = parameters.under(`layers.${layer}`);
    const wiring = connection.sublayer(own, { channels: WIDTH, index: layer });
    const weight_C = own.create("norm", [WIDTH], { constant: 1 }, "norm");
    const up_CH = own.create("up", [WIDTH, HIDDEN], { normal: 0.3 }, "weight");
    const [inner, size] = layer % 2 === 0 ? [attend, HIDDEN / 2] : [silu, HIDDEN];
    const down_HC = own.create("down", [size, WIDTH], { normal: 0.3 }, "weight");
    const block = (x: Tensor): Tensor => {
      const normal = rmsNorm(x, weight_C, 1e-6);
      return result(() => matmul(inner(matmul(normal, up_CH)), down_HC));
    };
    return (state) => wiring.apply(state, block).state;
  };
  const all = Array.from({ length: sublayers }, (_, layer) => sublayer(layer));
  let state = connection.expand(x_TC);
  for (let start = 0; start < sublayers; start += group) {
    const before = state;
    state = wrap(() => all.slice(start, start + group).reduce((x, next) => next(x), before));
  }
  const loss = mean(square(connection.collapse(state)));
  const found = gradients(
    loss,
    parameters.all.map(({ tensor }) => tensor),
  );
  return {
    parameters,
    x_TC,
    outputs: { loss, ...Object.fromEntries(parameters.all.map(({ name }, i) => [name, found[i]!])) },
  };
}

function write(to: SynchronousRuntime, { parameters, x_TC }: Stack): void {
  for (const parameter of parameters.all) to.write(parameter.tensor, initialValues(parameter, 3));
  to.write(
    x_TC,
    Float32Array.from({ length: TOKENS * WIDTH }, (_, i) => Math.sin(1.7 * i)),
  );
}

function run(graph: Stack): { program: WasmProgram<Record<string, Tensor>>; values: Record<string, TensorValues> } {
  const { outputs } = graph;
  const program = runtime.compile({ outputs });
  write(runtime, graph);
  program.run();
  return { program, values: Object.fromEntries(Object.keys(outputs).map((name) => [name, program.readNow(name)])) };
}

describe.each(Object.entries(connections))("%s", (_name, connection) => {
  test("same bits with and without, in less memory", () => {
    const stored = run(stack(connection(), (build) => build()));
    const recomputed = run(stack(connection(), checkpoint));
    expect(recomputed.values).toEqual(stored.values);
    expect(stored.values["layers.0.up"]!.some((value) => Math.abs(value) > 1e-4)).toBe(true);
    expect(recomputed.program.plan.arena.bytes).toBeLessThan(stored.program.plan.arena.bytes / 2);
  });
});

/** The nodes of a program's graph that multiply matrices, and those that compute again. */
function work({ outputs }: Stack): { products: Node[]; again: Node[] } {
  const nodes = ancestors(Object.values(outputs));
  return { products: nodes.filter(({ op }) => op.name === "matmul"), again: nodes.filter((node) => node.again) };
}

describe.each(Object.entries(connections))(
  "%s: the state stored every so many sublayers, blocks kept",
  (_name, connection) => {
    test.each([7, 8])("%i sublayers: the same bits for every number, no product of matrices twice", (sublayers) => {
      const stored = stack(connection(), (build) => build(), { sublayers });
      const expected = run(stored).values;
      expect(expected["layers.0.up"]!.some((value) => Math.abs(value) > 1e-4)).toBe(true);
      for (let group = 1; group <= sublayers + 2; group++) {
        const selective = stack(connection(), checkpoint, { sublayers, group, result: keep });
        expect(run(selective).values, `every ${group}`).toEqual(expected);
        const { products, again } = work(selective);
        expect(products.length).toBe(work(stored).products.length);
        expect(again.length).toBeGreaterThan(0);
        expect(new Set(again.map(({ again: what }) => what!.of)).size).toBe(again.length);
        expect(again.some(({ again: what }) => what!.of.kept || what!.of.op.name === "attention")).toBe(false);
      }
    });

    test("in float64 too, and near it in float32", () => {
      const sublayers = 5;
      const selective = stack(connection(), checkpoint, { sublayers, group: 2, result: keep });
      const reference = (graph: Stack): Record<string, Float64Array> => {
        const program = createReferenceRuntime();
        const compiled = program.compile({ outputs: graph.outputs });
        write(program, graph);
        compiled.run();
        return Object.fromEntries(
          Object.keys(graph.outputs).map((name) => [name, compiled.readNow(name) as Float64Array]),
        );
      };
      const exact = reference(selective);
      expect(reference(stack(connection(), (build) => build(), { sublayers }))).toEqual(exact);
      const { values } = run(selective);
      for (const [name, wanted] of Object.entries(exact))
        expect(relativeError(values[name]!, wanted), name).toBeLessThan(1e-4);
    });
  },
);

test("recomputing all but the blocks takes less memory than storing everything, more than recomputing everything", () => {
  const bytes = (wrap: Wrap, form: Form): number =>
    runtime.compile({ outputs: stack(mhc(), wrap, form).outputs }).plan.arena.bytes;
  const stored = bytes((build) => build(), {});
  const selective = bytes(checkpoint, { group: 3, result: keep });
  const everything = bytes(checkpoint, { group: 3 });
  expect(selective).toBeLessThan(0.8 * stored);
  expect(everything).toBeLessThan(selective);
});

test("keep is nothing outside a checkpoint, and ends where it ends", () => {
  const x = input("x", [3]);
  expect(keep(() => square(x)).node.kept).toBe(false);
  const [inside, after] = checkpoint(() => [keep(() => square(x)), square(x)] as const);
  expect([inside.node.kept, after.node.kept]).toEqual([true, false]);
  expect(square(x).node.segment).toBeUndefined();
});

test("a state tensor made within a checkpoint is not made again", () => {
  const x = input("x", [2]);
  const loss = checkpoint(() => sum(tanh(multiply(square(x), constant([2, 3], [2])))));
  const reference = createReferenceRuntime();
  const program = reference.compile({ outputs: { gradient: gradients(loss, [x])[0]! } });
  reference.write(x, [0.5, -0.25]);
  program.run();
  const expected = [2, 3].map((c, i) => (1 - Math.tanh(c * [0.5, -0.25][i]! ** 2) ** 2) * 2 * c * [0.5, -0.25][i]!);
  expect(relativeError(program.readNow("gradient"), expected)).toBeLessThan(1e-12);
  expect(ancestors([gradients(loss, [x])[0]!]).filter((node) => node.op.name === "state").length).toBe(2);
});

test("several results may leave a segment, and be used outside more than once", () => {
  const x = input("x", [7]);
  const build = (wrap: (build: () => [Tensor, Tensor]) => [Tensor, Tensor]): Tensor => {
    const [a, b] = wrap(() => {
      const inner = tanh(multiply(x, x));
      return [multiply(inner, x), square(inner)];
    });
    return sum(multiply(multiply(a, b), a));
  };
  const reference = createReferenceRuntime();
  const gradientOf = (loss: Tensor): TensorValues => {
    const program = reference.compile({ outputs: { gradient: gradients(loss, [x])[0]! } });
    reference.write(x, [0.3, -0.8, 1.1, 0, 2, -0.1, 0.7]);
    program.run();
    return program.readNow("gradient");
  };
  expect(gradientOf(build(checkpoint))).toEqual(gradientOf(build((plain) => plain())));
});

test("segments cannot be nested, and an error ends its segment", () => {
  const x = input("x", [3]);
  expect(() => checkpoint(() => checkpoint(() => square(x)))).toThrow(
    "checkpoint: segments cannot be nested; end the outer checkpoint first.",
  );
  expect(() => checkpoint(() => matmul(x, x))).toThrow("matmul");
  expect(checkpoint(() => square(x)).shape).toEqual([3]);
});
