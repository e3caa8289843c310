// Question: how does the CPU see a tensor in another shape?

import { reshapeOperation } from "../../../ops/reshape.ts";
import { type Implementation, view } from "../implement.ts";

export const reshape: readonly Implementation[] = [view(reshapeOperation)];
