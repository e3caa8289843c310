// Question: which operations are checked, at which sizes?

import type { OperationCase } from "../case.ts";
import { elementwiseCases } from "./elementwise.ts";
import { expertCases } from "./experts.ts";
import { generalCases } from "./general.ts";
import { manifoldCases } from "./manifolds.ts";
import { optimiserCases } from "./optimiser.ts";
import { primitiveCases } from "./primitives.ts";
import { streamCases } from "./streams.ts";
import { transformerCases } from "./transformer.ts";

export const cases: readonly OperationCase[] = [
  ...elementwiseCases,
  ...generalCases,
  ...transformerCases,
  ...optimiserCases,
  ...streamCases,
  ...manifoldCases,
  ...expertCases,
  ...primitiveCases,
];
