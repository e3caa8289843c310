// Few, many and none in several blocks.

import { countNotFinite } from "../../../src/ops/count-not-finite.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

function notFiniteCase(shape: Shape, every: number): OperationCase {
  const strange = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  return {
    name: `countNotFinite [${shape}], one in ${every}`,
    inputs: { x: { shape, values: (random, i) => (i % every === every - 1 ? strange[i % 3]! : random() * 3e38) } },
    constant: ["x"],
    build: ({ x }) => countNotFinite(x!),
  };
}

export const countNotFiniteCases: readonly OperationCase[] = [
  notFiniteCase([5], 2),
  notFiniteCase([300, 67], 11),
  notFiniteCase([4096], 5000),
];
