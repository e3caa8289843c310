// Question: which graphs must compile to the right program?
//
// Random ones with gradients, recomputed segments, states that are updated, swapped and copied.

import * as fc from "fast-check";
import { add } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { input, parameter, persistent } from "../../../src/graph/state.ts";
import { checkpoint, sizeOf, type Tensor } from "../../../src/graph/tensor.ts";
import { concat } from "../../../src/ops/concat.ts";
import { multiply, scale, silu, square, subtract, tanh } from "../../../src/ops/elementwise.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { permute } from "../../../src/ops/permute.ts";
import { broadcastLast, mean, meanLast } from "../../../src/ops/reductions.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import { slice } from "../../../src/ops/slice.ts";
import { softmax } from "../../../src/ops/softmax.ts";
import type { ProgramSpec } from "../../../src/runtime/program.ts";
import { normal, uniform } from "../../ops/harness.ts";

export interface RandomGraph {
  readonly spec: ProgramSpec<Record<string, Tensor>>;
  /** What every state starts from. */
  readonly states: ReadonlyMap<Tensor, Float64Array>;
}

interface Choice {
  readonly operation: number;
  readonly first: number;
  readonly second: number;
  readonly flag: boolean;
}

const choice: fc.Arbitrary<Choice> = fc.record({
  operation: fc.nat(11),
  first: fc.nat(100),
  second: fc.nat(100),
  flag: fc.boolean(),
});

export const randomGraph: fc.Arbitrary<RandomGraph> = fc
  .record({
    choices: fc.array(choice, { minLength: 2, maxLength: 14 }),
    rows: fc.constantFrom(3, 48, 101),
    seen: fc.array(fc.nat(100), { maxLength: 3 }),
    seed: fc.nat(1e6),
    exchange: fc.constantFrom("none", "swap", "average"),
  })
  .map(assemble);

function assemble({
  choices,
  rows,
  seen,
  seed,
  exchange,
}: {
  choices: Choice[];
  rows: number;
  seen: number[];
  seed: number;
  exchange: string;
}): RandomGraph {
  const random = uniform(seed);
  const states = new Map<Tensor, Float64Array>();
  const filled = (tensor: Tensor, deviation = 1): Tensor => {
    states.set(
      tensor,
      Float64Array.from({ length: sizeOf(tensor.shape) }, () => Math.fround(deviation * normal(random))),
    );
    return tensor;
  };
  const weights: Tensor[] = [];
  const weight = (...shape: number[]): Tensor => {
    const tensor = filled(parameter(`weight ${weights.length}`, shape), 1 / Math.sqrt(shape[0]!));
    weights.push(tensor);
    return tensor;
  };
  const start = filled(input("x", [rows, 16]));
  const values: Tensor[] = [start, tanh(matmul(start, weight(16, 24)))];
  const pick = (index: number, from: readonly Tensor[] = values): Tensor => from[index % from.length]!;
  const alike = (a: Tensor, index: number): Tensor =>
    pick(
      index,
      values.filter(({ shape }) => shape.join() === a.shape.join()),
    );

  const operations: readonly ((a: Tensor, choice: Choice) => Tensor)[] = [
    (a, { second }) => add(a, alike(a, second)),
    (a, { second }) => multiply(tanh(a), alike(a, second)),
    (a, { flag }) => matmul(a, weight(a.shape[1]!, flag ? 8 : 40)),
    (a, { second }) => add(a, scale(matmul(tanh(alike(a, second)), weight(a.shape[1]!, a.shape[1]!)), 0.5)),
    (a) => rmsNorm(a, weight(a.shape[1]!)),
    (a, { flag }) => (flag ? silu(a) : softmax(a)),
    (a, { second }) => {
      const b = pick(
        second,
        values.filter(({ shape }) => shape[0] === a.shape[0]),
      );
      return tanh(matmul(a, scale(matmul(a, b, { transposeA: true }), 1 / a.shape[0]!)));
    },
    (a, { flag }) => slice(concat([a, square(tanh(a))], flag ? 0 : 1), flag ? 0 : 1, 1, a.shape[flag ? 0 : 1]!),
    (a) => permute(a, [1, 0]),
    (a, { second }) => add(alike(a, second), broadcastLast(meanLast(a), a.shape[1]!)),
    (a) => reshape(silu(reshape(a, [a.shape[1]!, a.shape[0]!])), a.shape),
    (a) => {
      const up = weight(a.shape[1]!, 32);
      const down = weight(32, a.shape[1]!);
      return checkpoint(() => add(a, matmul(silu(matmul(a, up)), down)));
    },
  ];
  for (const chosen of choices) values.push(operations[chosen.operation]!(pick(chosen.first), chosen));

  const loss = add(mean(square(tanh(values.at(-1)!))), scale(mean(tanh(pick(seen.length))), 0.1));
  const found = gradients(loss, weights);
  const outputs: Record<string, Tensor> = { loss };
  for (const index of seen) outputs[`value ${index % values.length}`] = pick(index);
  found.forEach((gradient, index) => index % 2 === 0 && (outputs[`gradient ${index}`] = gradient));
  const updates: [Tensor, Tensor][] = weights.map((state, index) => [
    state,
    subtract(state, scale(found[index]!, 0.1)),
  ]);
  updates.push(...exchanges[exchange]!(weights[0]!, (name) => filled(persistent(name, weights[0]!.shape))));
  return { spec: { outputs, updates }, states };
}

/** States that take the old value of another. */
const exchanges: Readonly<Record<string, (weight: Tensor, state: (name: string) => Tensor) => [Tensor, Tensor][]>> = {
  none: () => [],
  swap(_weight, state) {
    const [a, b] = [state("a"), state("b")];
    return [
      [a, b],
      [b, a],
    ];
  },
  average(weight, state) {
    const [last, average] = [state("last"), state("average")];
    return [
      [last, weight],
      [average, add(scale(average, 0.5), scale(last, 0.5))],
    ];
  },
};
