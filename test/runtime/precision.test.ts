// What a precision does to a graph: which values it rounds, that all machines round at the same points, and that
// operations do the same with rounded operands everywhere.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createParameters, trainedParameters } from "../../src/graph/parameters.ts";
import { input, stateOf } from "../../src/graph/state.ts";
import { ancestors, type Node, type Tensor } from "../../src/graph/tensor.ts";
import {
  roundToBfloat16,
  toBfloat16,
  toBfloat16Operation,
  toFloat32,
  toFloat32Operation,
} from "../../src/ops/bfloat16.ts";
import { add, addOperation, multiply } from "../../src/ops/elementwise.ts";
import { embedding } from "../../src/ops/gather.ts";
import { roundToFloat8Operation } from "../../src/ops/float8.ts";
import { modelSchema } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { matmul, matmulOperation } from "../../src/ops/matmul.ts";
import { sum } from "../../src/ops/reductions.ts";
import { swiglu } from "../../src/ops/swiglu.ts";
import { ruleOf } from "../../src/ops/precision.ts";
import { primitives } from "../../src/ops/primitives.ts";
import { inPrecision, programInPrecision } from "../../src/runtime/precision.ts";
import { resultsOf } from "../../src/runtime/program.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { implementations } from "../../src/runtime/wasm/ops/table.ts";
import { cases } from "../ops/cases/all.ts";
import { buildCase, normal, relativeError, runCase, uniform } from "../ops/harness.ts";

let wasm: WasmRuntime;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 2 });
});
afterAll(() => wasm.close());

/** y = swiglu(x W) V, and the gradients of Σ y². */
function network() {
  const parameters = createParameters();
  const table = parameters.create("table", [7, 6], { normal: 1 }, "embedding");
  const w = parameters.create("w", [6, 8], { normal: 1 }, "weight");
  const v = parameters.create("v", [4, 6], { normal: 1 }, "weight");
  const ids = input("ids", [7], "i32");
  return { parameters, table, w, v, ids };
}

/** The network on rows of the table, which are activations. */
function networkSpec() {
  const { table, w, v, ids, parameters } = network();
  const y = matmul(swiglu(matmul(embedding(table, ids), w)), v);
  const loss = sum(multiply(y, y));
  const found = gradients(loss, [table, w, v]);
  return { spec: { outputs: { y, loss, found } }, parameters, ids, w, v, table };
}

const casts = (targets: readonly Tensor[]): Node[] =>
  ancestors(targets).filter(({ op }) => (op as unknown) === toBfloat16Operation);

test("float32 is the graph itself", () => {
  const { spec } = networkSpec();
  expect(programInPrecision(spec, "float32")).toBe(spec);
  expect(inPrecision(wasm, "float32")).toBe(wasm);
});

test("another precision is refused by its name", () => {
  const { spec } = networkSpec();
  expect(() => programInPrecision(spec, "bfloat" as never)).toThrow(
    'inPrecision: precision is "bfloat"; it must be one of float32, bfloat16, fp8. Did you mean "bfloat16"?',
  );
  expect(() => inPrecision(wasm, "half" as never)).toThrow(/inPrecision: precision is "half"/);
});

test("a weight is rounded once for all its uses, and its gradient not at all", () => {
  const { spec, w, v } = networkSpec();
  const { outputs } = programInPrecision(spec, "bfloat16");
  const nodes = casts(resultsOf({ outputs }));
  for (const weight of [w, v]) expect(nodes.filter(({ inputs }) => inputs[0] === weight)).toHaveLength(1);
  const products = ancestors(resultsOf({ outputs })).filter(({ op }) => (op as unknown) === matmulOperation);
  expect(products).toHaveLength(6);
  for (const { inputs } of products) for (const { node } of inputs) expect(node.op.name).toBe("toFloat32");
  const [, dw] = outputs.found;
  expect(dw!.dtype).toBe("f32");
  expect(nodes.map(({ inputs }) => inputs[0])).not.toContain(dw);
});

test("fp8 rounds the factors of products with weights, not those of the head, of attention or of the router", () => {
  const config = modelSchema.parse({
    vocabulary: 40,
    context: 8,
    width: 16,
    layers: 2,
    heads: 2,
    kvHeads: 2,
    hidden: 24,
    connection: { kind: "mhc" },
    attention: { kind: "mla", rank: 8, rotarySize: 4, contentSize: 8, valueSize: 8 },
    feedForward: { kind: "moe", experts: 4, active: 2, shared: 1, hidden: 12, denseLayers: 1 },
  });
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  const [tokens, targets] = [input("tokens", [2, 8], "i32"), input("targets", [2, 8], "i32")];
  const loss = model.loss(model.hidden(tokens).hidden_NC, targets);
  const found = gradients(
    loss,
    trainedParameters(parameters).map(({ tensor }) => tensor),
  );
  const { outputs } = programInPrecision({ outputs: { loss, found } }, "fp8");
  const nodes = ancestors(resultsOf({ outputs }));
  const isRounding = ({ node }: Tensor): boolean => (node.op as unknown) === roundToFloat8Operation;
  // Stored as bfloat16, which is exact, and widened.
  const isRounded = ({ node: { op, inputs } }: Tensor): boolean => {
    const [narrow] = inputs;
    return (op as unknown) === toFloat32Operation && isRounding(narrow!.node.inputs[0]!);
  };
  const byScope = new Map<string, Set<boolean>>();
  for (const { op, inputs, scope } of nodes.filter((node) => /matmul|expertMatmul|expertOuter/i.test(node.op.name))) {
    const both = inputs.slice(0, 2).map(isRounded);
    expect(both[0], `${scope}:${op.name}`).toBe(both[1]);
    const place = scope.replace(".gradient", "");
    byScope.set(place, (byScope.get(place) ?? new Set()).add(both[0]!));
  }
  expect(byScope.get("head")).toEqual(new Set([false]));
  expect(byScope.get("layers.0.feedForward")!.has(true)).toBe(true);
  const names = (list: readonly Node[]): string[] => list.map(({ inputs }) => stateOf(inputs[0]!)?.name ?? "");
  const inEight = names(nodes.filter(({ outputs: [y] }) => y && isRounding(y)));
  const weights = parameters.all.filter(({ role }) => role === "weight").map(({ name }) => name);
  expect(inEight.filter((name) => name !== "").toSorted()).toEqual(
    weights.filter((name) => !name.endsWith("router")).toSorted(),
  );
  const router = parameters.all.find(({ name }) => name.endsWith("router"))!;
  expect(names(casts(resultsOf({ outputs })))).not.toContain(router.name);
});

test("the numbers are those of rounding by hand", () => {
  const { spec, parameters, ids } = networkSpec();
  const runtime = createReferenceRuntime();
  const program = inPrecision(runtime, "bfloat16").compile(spec);
  const random = uniform(4);
  const values = new Map(
    parameters.all.map(({ name, tensor }) => {
      const numbers = Array.from({ length: tensor.shape[0]! * tensor.shape[1]! }, () => Math.fround(normal(random)));
      runtime.write(tensor, numbers);
      return [name, numbers] as const;
    }),
  );
  runtime.write(ids, [0, 1, 2, 3, 4, 5, 6]);
  program.run();
  const round = (list: readonly number[]): number[] => list.map(roundToBfloat16);
  const times = (a: readonly number[], b: readonly number[], inner: number, columns: number): number[] =>
    Array.from({ length: (a.length / inner) * columns }, (_, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += a[row * inner + k]! * b[k * columns + column]!;
      return sum;
    });
  const [x, w, v] = ["table", "w", "v"].map((name) => round(values.get(name)!)) as [number[], number[], number[]];
  const both = round(times(x, w, 6, 8));
  const gated = both.flatMap((gate, at) => (at % 8 < 4 ? [(gate / (1 + Math.exp(-gate))) * both[at + 4]!] : []));
  const expected = times(round(gated), v, 4, 6);
  const y = program.readNow("y");
  for (const [at, value] of expected.entries()) expect(y[at]).toBeCloseTo(value, 12);
});

test("a sum takes what was computed last as it leaves its operation, and the other as it is stored", () => {
  const { table, w, v, ids } = network();
  const x = embedding(table, ids);
  const y = matmul(swiglu(matmul(x, w)), v);
  for (const total of [add(x, y), add(y, x)]) {
    const { outputs } = programInPrecision({ outputs: { total } }, "bfloat16");
    expect(outputs.total.node.op).toBe(addOperation);
    const names = outputs.total.node.inputs.map(({ node }) => node.op.name);
    expect(names.toSorted()).toEqual(["matmul", "toFloat32"]);
  }
});

test("what is neither an activation nor a weight is left alone: coefficients, logits, what the optimizer reads", () => {
  const exact = [...new Set([...implementations.keys(), ...primitives])]
    .filter((op) => stateOf({ node: { op } } as never) === undefined)
    .filter((op) => {
      const kinds = Array.from({ length: 6 }, () => "activation" as const);
      const node = { op, inputs: [], outputs: [], attributes: {} } as never;
      if ((op as unknown) === addOperation) return false;
      return ruleOf(op)(node, kinds.slice(0, op.inputs.length)).takes.every((take) => take === "exact");
    })
    .map(({ name }) => name)
    .filter((name) => name !== "state" && name !== "gather" && name !== "fill" && name !== "rotaryTable");
  // A new operation must be named in the table of ops/precision.ts, or here.
  expect(exact.toSorted()).toEqual(
    [
      "adamw balanceBias clipScale countNotFinite sumSquares maxLast roundToFloat8 scatterAdd sum sumLast sumLeading",
      "birkhoffProjection cayley cayleyBackward entropicBackward sinkhorn sinkhornBackward sinkhornImplicit",
      "sinkhornUntil sinkhornUntilBackward",
      "hyperCoefficients hyperCoefficientsBackward manifoldCoefficients manifoldCoefficientsBackward",
      "crossEntropy crossEntropyBackward softmax softmaxBackward toBfloat16 toFloat32 toFloats toIndices",
      "dispatch expertChoice expertChoiceBackward sequenceBalance sequenceBalanceBackward",
      "exp log tanh sigmoid square sqrt reciprocal",
      "expBackward logBackward tanhBackward sigmoidBackward squareBackward sqrtBackward reciprocalBackward",
    ]
      .flatMap((names) => names.split(" "))
      .toSorted(),
  );
});

describe("operations with rounded operands", () => {
  // Both machines get the same rounded numbers, so they differ by the rounding of float32 sums alone.
  const rounded = cases
    .filter(({ rounds }) => !rounds)
    .map((one): (typeof cases)[number] => ({
      ...one,
      build: (inputs) =>
        one.build(
          Object.fromEntries(
            Object.entries(inputs).map(([name, x]) => [
              name,
              x.dtype === "f32" && !one.constant?.includes(name) ? toFloat32(toBfloat16(x)) : x,
            ]),
          ),
        ),
    }));
  test.each(rounded.map((one) => [one.name, one] as const))("%s", (_name, one) => {
    const built = buildCase(one);
    const [expected, actual] = [runCase(createReferenceRuntime(), built), runCase(wasm, built)];
    for (const [output, values] of Object.entries(expected)) {
      // A gradient is rounded at the end: where the two differ in the last bit of float32, they may differ by one of
      // bfloat16, 2⁻⁷ of the number.
      const isGradient = output.startsWith("gradient");
      const tolerance = isGradient ? 2 ** -7 : (one.tolerance?.forward ?? 1e-5);
      expect(relativeError(actual[output]!, values), output).toBeLessThan(tolerance);
    }
  });
});
