// Question: what are the inputs and the result of one check of a checkpoint's connections?

import {
  type ConnectionWeights,
  type Probe,
  streamsOfBias,
  type Weights,
} from "../connections/conventions/evaluate.ts";
import { type ConventionName, isMhcConvention, type MhcConventionName } from "../connections/conventions/table.ts";
import type { ReferenceConnection } from "./lint-reference.ts";

/** One sublayer's connection as it is stored. */
export interface LintConnection {
  /** Its name, such as layers.0.attention.connection. */
  readonly name: string;
  readonly convention: ConventionName;
  readonly weights: ConnectionWeights;
  /** How each tensor is stored, such as F32 or BF16. */
  readonly dtypes: Readonly<Record<string, string>>;
}

/** Residual maps that were recorded as matrices, not weights: [..., n, n]. */
export interface RecordedMaps extends Weights {
  readonly name: string;
  /** Whether they are as they mix the streams, or as Sinkhorn-Knopp returned them. */
  readonly applied: boolean;
  readonly convention: MhcConventionName;
}

/** The inputs of all checks. */
export interface LintInput {
  readonly sublayers: readonly LintConnection[];
  readonly endings?: readonly LintConnection[];
  readonly maps?: readonly RecordedMaps[];
  /** The same function in another file, by the name of the connection. */
  readonly reference?: ReadonlyMap<string, ReferenceConnection>;
  /** Connections that are not compared with it, because their kind in one of the files cannot be converted. */
  readonly asStored?: ReadonlySet<string>;
  /** Sinkhorn-Knopp iterations. Default 20. */
  readonly iterations?: number;
  /** Random streams with the given number of channels. */
  readonly probe: (streams: number, channels: number) => Probe;
}

/** How serious the finding is; "undecided" when the evidence does not decide. */
export type Verdict = "good" | "note" | "warning" | "error" | "undecided";

/** One check and its finding; checks that find nothing wrong are reported too. */
export interface LintCheck {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was measured, with numbers. */
  readonly measured: string;
  /** What is expected of a healthy checkpoint. */
  readonly expected: string;
  /** The connections with the finding; empty where it applies to all. */
  readonly where: readonly string[];
  /** What to do; absent where nothing needs to be done. */
  readonly remedy?: string;
}

export type MhcLint = LintConnection & { readonly convention: MhcConventionName };

export const isMhc = (connection: LintConnection): connection is MhcLint => isMhcConvention(connection.convention);

export const small = (value: number): string => (value === 0 ? "0" : value.toExponential(1));
export const shapeText = (weights: ConnectionWeights): string =>
  Object.entries(weights)
    .map(([part, { shape }]) => `${part} [${shape.join(", ")}]`)
    .join(", ");
export const some = (names: readonly string[]): string =>
  names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;

export const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0);

export function lineError(h: Float64Array, n: number, step: number, next: number): number {
  let worst = 0;
  for (let line = 0; line < n; line++) {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += h[line * next + k * step]!;
    worst = Math.max(worst, Math.abs(sum - 1));
  }
  return worst;
}

/** How much an epsilon may change the sums of the last lines. */
export const EXACT = 1e-3;

/** Why the shapes of a sublayer's tensors do not fit together; undefined where they do. */
export function misfit({ weights, convention }: LintConnection): string | undefined {
  const { bias, phi, theta, alpha } = weights;
  if (!bias) return "there is no bias";
  const n = streamsOfBias(bias);
  if (!Number.isInteger(n) || n < 1) return `bias [${bias.shape.join(", ")}] is not n² + 2n for any n`;
  const M = n * n + 2 * n;
  if (isMhcConvention(convention)) {
    if (!phi || !alpha) return `${phi ? "alpha" : "phi"} is missing`;
    if (phi.shape[0] !== M || phi.shape.length !== 2 || phi.shape[1]! % n !== 0 || phi.shape[1] === 0)
      return `phi must be [${M}, ${n}·C] for the ${n} streams of the bias`;
  } else if (convention !== "hc-static" && (!theta || !alpha)) return `${theta ? "alpha" : "theta"} is missing`;
  else if (theta && (theta.shape[0] !== n + 2 || theta.shape.length !== 2)) return `theta must be [${n + 2}, C]`;
  if (alpha && alpha.shape.join() !== "3") return "alpha must be [3]";
  return undefined;
}
