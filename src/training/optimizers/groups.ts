// Question: which parameters follow a rule for matrices, such as Muon's?
//
// Those that map vectors to vectors. Tables of embeddings, the head, weights of norms, biases and gains are vectors, one
// beside another, and follow AdamW, as Jordan et al. and DeepSeek-V4 have it. What a connection learns is of both kinds: the
// table says which of its parameters are projections of the streams. Those follow the matrices' rule only where the
// configuration says so, for no source tells which rule they should have.

import { ownEntry } from "../../basics/objects.ts";
import { hasMatrices, type RuledParameter } from "./rule.ts";

/** Roles that may follow a rule for matrices. */
export type MatrixRole = "weight" | "connection";

export const matrixRoles: readonly MatrixRole[] = ["weight", "connection"];

/** What a parameter of a connection is. */
export interface ConnectionPart {
  readonly group: "projection" | "vector";
  /** Which connections have it, and for what. */
  readonly is: string;
}

/** The parameters of connections by the name that their connection gives them. */
export const connectionParts: Readonly<Record<string, ConnectionPart>> = {
  phi: { group: "projection", is: "mHC: from the streams to all coefficients; of the ending to its weights" },
  theta: { group: "projection", is: "HC and Frac: from a stream to its coefficients" },
  inject: { group: "projection", is: "gated residual: from the streams to what each is given" },
  down: { group: "projection", is: "gated residual: from the streams to a few numbers" },
  up: { group: "projection", is: "gated residual: from these to the gates" },
  weight: { group: "projection", is: "highway: from the state to its gate" },
  bias: { group: "vector", is: "mHC, HC and highway: coefficients without an input" },
  static: { group: "vector", is: "Frac: coefficients without an input" },
  weights: { group: "vector", is: "dense: shares of the layers before" },
  alpha: { group: "vector", is: "mHC, HC and Frac: gains of the dynamic part" },
  query: { group: "vector", is: "attention residuals: what a sublayer looks for" },
  norm: { group: "vector", is: "gated residual: weights of its norm" },
  valueShares: { group: "vector", is: "value residual: shares of the first layer's values" },
};

/** The group of a parameter, where the matrices of some roles have a rule of their own. */
export function groupOf(
  parameter: Pick<RuledParameter, "shape" | "role" | "part">,
  roles: readonly MatrixRole[],
): "matrices" | "rest" {
  const { role, part } = parameter;
  if (!hasMatrices(parameter) || !(roles as readonly string[]).includes(role)) return "rest";
  if (role === "connection" && ownEntry(connectionParts, part)?.group !== "projection") return "rest";
  return "matrices";
}
