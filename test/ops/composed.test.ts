// Every operation is a primitive or made of primitives, and what it is made of computes the same: all outputs and
// gradients of every case, in float64.

import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { composed } from "../../src/graph/compose.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import { ancestors, apply, type Operation, type Tensor, Values } from "../../src/graph/tensor.ts";
import { birkhoffProjection, birkhoffProjectionOperation } from "../../src/ops/birkhoff-projection.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { sum } from "../../src/ops/reductions.ts";
import { curveBackwardOperations, curveOperations } from "../../src/ops/elementwise.ts";
import { primitives } from "../../src/ops/primitives.ts";
import { sinkhornUntilBackwardOperation, sinkhornUntilOperation } from "../../src/ops/sinkhorn-until.ts";
import { expertsResendOperation, expertsReturnOperation, expertsSendOperation } from "../../src/ops/expert-exchange.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { cases } from "./cases/all.ts";
import { type BuiltCase, buildCase, relativeError, runCase } from "./harness.ts";

/** Whatever a file of src/ops exports that is an operation. */
async function operationsOf(file: string): Promise<Operation[]> {
  const exported: Record<string, unknown> = await import(`../../src/ops/${file}`);
  return Object.values(exported).filter(
    (value): value is Operation => typeof value === "object" && value !== null && "reference" in value,
  );
}

async function allOperations(): Promise<Operation[]> {
  const files = readdirSync(new URL("../../src/ops", import.meta.url)).filter((file) => file.endsWith(".ts"));
  const exported = await Promise.all(files.map(operationsOf));
  return [...exported.flat(), ...curveOperations, ...curveBackwardOperations];
}

/** No machine computes these: programs are cut around them. */
const betweenRanks = new Set<Operation>([expertsSendOperation, expertsReturnOperation, expertsResendOperation]);

/** The number of their steps depends on the values, so that no fixed number of simpler operations makes them. */
const untilDone = [birkhoffProjectionOperation, sinkhornUntilOperation, sinkhornUntilBackwardOperation] as const;

/** A machine that has the primitives and nothing else. */
const simple = { name: "simple", has: (op: Operation) => primitives.has(op) };

function toPrimitives({ outputs, ...built }: BuiltCase): BuiltCase {
  const place = composed(Object.values(outputs), simple);
  return { ...built, outputs: Object.fromEntries(Object.entries(outputs).map(([name, out]) => [name, place(out)])) };
}

const operationNames = (built: BuiltCase): Set<string> =>
  new Set(ancestors(Object.values(built.outputs)).map(({ op }) => op.name));

test("about 25 primitives, and an operation is one of them or has a composed form, not both", async () => {
  const all = (await allOperations()).filter((op) => !betweenRanks.has(op));
  expect(all.length).toBeGreaterThan(90);
  expect(all.filter((op) => primitives.has(op) === (op.compose !== undefined)).map(({ name }) => name)).toEqual([]);
  for (const operation of untilDone) expect(primitives).toContain(operation);
  expect(primitives.size - untilDone.length).toBeLessThanOrEqual(30);
});

test("names are unique, and those of an operation's operands too", async () => {
  const all = await allOperations();
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  for (const { name, inputs, outputs } of all)
    expect(new Set([...inputs, ...outputs]).size, name).toBe(inputs.length + outputs.length);
});

test("every composed form is in a case", async () => {
  const checked = new Set(cases.flatMap((operationCase) => [...operationNames(buildCase(operationCase))]));
  const all = await allOperations();
  expect(all.filter(({ name, compose }) => compose && !checked.has(name)).map(({ name }) => name)).toEqual([]);
});

describe("composed equals reference, forward and gradients", () => {
  test.each(cases.map((operationCase) => [operationCase.name, operationCase] as const))(
    "%s",
    (_name, operationCase) => {
      const built = buildCase(operationCase);
      const made = toPrimitives(built);
      expect([...operationNames(made)].filter((name) => ![...primitives].some((op) => op.name === name))).toEqual([]);
      const runtime = createReferenceRuntime();
      const expected = runCase(runtime, built);
      const actual = runCase(runtime, made);
      for (const [output, values] of Object.entries(expected)) {
        const tolerance = operationCase.composed ?? 1e-10;
        expect(relativeError(actual[output]!, values), output).toBeLessThan(tolerance);
      }
    },
  );
});

test("select takes nothing of what it does not choose; a condition that is not a number chooses b", () => {
  const [condition, a, b] = [
    [1, -1, 0, NaN],
    [1, NaN, Infinity, 3],
    [NaN, 2, 3, 4],
  ].map((values) => new Values([4], Float64Array.from(values))) as [Values, Values, Values];
  const y = new Values([4]);
  const [select] = [...primitives].filter(({ name }) => name === "select");
  select!.reference({ condition, a, b }, { y }, undefined);
  expect([...y.data]).toEqual([1, 2, 3, 4]);
});
describe("a machine", () => {
  const x = input("x", [2, 3]);

  test("that has everything runs the same graph", () => {
    const [dx] = gradients(sum(softmax(x)), [x]);
    const place = composed([dx!], { name: "full", has: () => true });
    for (const { outputs } of ancestors([dx!])) for (const tensor of outputs) expect(place(tensor)).toBe(tensor);
  });

  test("that lacks one operation runs the others as they are", () => {
    const y = softmax(x);
    const z = softmax(sum(y).shape.length === 0 ? y : x);
    const place = composed([z], { name: "other", has: ({ name }) => name !== "softmax" });
    expect(place(x)).toBe(x);
    expect(ancestors([place(z)]).map(({ op }) => op.name)).not.toContain("softmax");
    expect(place(z).shape).toEqual(z.shape);
  });

  test("that lacks an operation without a composed form is told which", () => {
    expect(() =>
      composed([birkhoffProjection(input("logits", [2, 2]))], { name: "empty", has: ({ name }) => name === "state" }),
    ).toThrow(
      "compile: the empty runtime has no kernel for birkhoffProjection, and this operation has no composed form.",
    );
    const alone: Operation<["x"], ["y"]> = {
      name: "alone",
      inputs: ["x"],
      outputs: ["y"],
      infer: ({ x }) => ({ y: x }),
      flops: () => 0,
      reference: () => undefined,
    };
    const y: Tensor = apply(alone, { x }).y;
    expect(() => composed([y], simple)).toThrow("has no kernel for alone");
  });
});
