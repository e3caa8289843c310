// Question: how does the CPU count the elements that are no numbers?

import { countNotFiniteOperation } from "../../../ops/count-not-finite.ts";
import { type Implementation, implement } from "../implement.ts";
import { emitBlocks } from "./sum-squares.ts";

export const countNotFinite: readonly Implementation[] = [
  implement(countNotFiniteOperation, ({ x, count }, calls) => emitBlocks(calls, "countNotFinite", x, count, 4)),
];
