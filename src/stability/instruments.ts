// Question: which instruments observe a model while it trains?
//
// Values are from one sequence, the first of the step's batch, before the update. Lists have one value per
// sublayer, in order of depth; attention and feed-forward count separately. Matrices are stored in mixing.jsonl,
// everything else in gains.jsonl. stability/measure.ts measures the instruments of the streams, under the same names.
//
// To add an instrument, add an entry here and its measurement there; files, page, exports and docs/ follow.
//
// Legend: n streams, J the matrix of ones; H is H_res of a token, n × n, row = output stream; products have the
// later sublayer on the left; G_ij = Σ_t <x_ti, x_tj> of the streams that enter a sublayer.

import type { Recorded, TableOf } from "./fields.ts";

/** The instruments in the order in which they are written and shown. */
const instruments = {
  sublayers: {
    title: "Sublayers",
    about: "positions in the network, from 0, of the sublayers that mix streams; absent when all do",
    shape: "counts",
    of: "mixing",
  },
  single: {
    title: "Gain",
    about:
      "Amax gains of the token mean of H: largest |row sum| forward, largest |column sum| backward, signed sums (mHC, arXiv 2512.24880, section 3.1)",
    shape: "pair",
    of: "mixing",
    column: {
      forward: { table: "maps", head: "gain fwd", digits: 4 },
      backward: { table: "maps", head: "bwd", digits: 4 },
    },
  },
  composite: {
    title: "Composite gain",
    about: "the same of the token means of the products: forward of H_l ⋯ H_1, backward of H_L ⋯ H_l",
    shape: "pair",
    of: "mixing",
    column: {
      forward: { table: "maps", head: "product fwd", digits: 4 },
      backward: { table: "maps", head: "bwd", digits: 4 },
    },
    scalars: [
      {
        part: "forward",
        take: "largest",
        curve: { name: "forwardGain", note: "forward, largest", logarithmic: true, place: 6 },
        tensorboard: "gain/composite_forward_max",
        prometheus: {
          name: "composite_gain_max",
          help: "Largest composite Amax gain of the last measurement; at 1 what all streams share keeps its size.",
          labels: { direction: "forward" },
        },
      },
      {
        part: "backward",
        take: "largest",
        curve: { name: "backwardGain", note: "backward, largest", logarithmic: true, place: 5 },
        tensorboard: "gain/composite_backward_max",
        prometheus: {
          name: "composite_gain_max",
          help: "Largest composite Amax gain of the last measurement; at 1 what all streams share keeps its size.",
          labels: { direction: "backward" },
        },
      },
    ],
  },
  mixing: {
    title: "H_res",
    about: "token mean of H, [n²] row after row, as in the paper's Fig. 8",
    shape: "matrices",
    of: "mixing",
  },
  product: {
    title: "Product of H_res",
    about: "token mean of H_l ⋯ H_1, [n²] row after row",
    shape: "matrices",
    of: "mixing",
  },
  rowError: {
    title: "Row error",
    about: "largest |row sum − 1| of any token's H",
    shape: "list",
    of: "mixing",
    column: { table: "maps", head: "row error", digits: "small" },
    scalars: [{ take: "largest", tensorboard: "mixing/row_error_max" }],
  },
  columnError: {
    title: "Column error",
    about: "largest |column sum − 1| of any token's H",
    shape: "list",
    of: "mixing",
    column: { table: "maps", head: "col error", digits: "small" },
    scalars: [
      {
        take: "largest",
        tensorboard: "mixing/column_error_max",
        prometheus: {
          name: "column_error_max",
          help: "Largest |column sum - 1| of any mixing matrix at the last measurement.",
        },
      },
    ],
  },
  smallestLogit: {
    title: "Smallest logit",
    about:
      "of any token, before a map makes H of the logits; null where the map has none (HC, the identity). Far from the largest, Sinkhorn-Knopp is saturated: its gradient vanishes and its iterations do not suffice",
    shape: "gaps",
    of: "mixing",
    column: { table: "maps", head: "logits", digits: 2 },
    scalars: [{ take: "smallest", tensorboard: "mixing/logit_min" }],
    profile: { figure: "saturation", scale: { zero: false } },
  },
  largestLogit: {
    title: "Largest logit",
    about: "of any token, as the smallest",
    shape: "gaps",
    of: "mixing",
    column: { table: "maps", head: "logits", digits: 2 },
    scalars: [{ take: "largest", tensorboard: "mixing/logit_max" }],
    profile: { figure: "saturation" },
  },
  secondEigenvalue: {
    title: "Second eigenvalue",
    about:
      "token mean of |λ₂|, the second largest modulus of an eigenvalue of H: how much of the streams' differences one sublayer keeps",
    shape: "list",
    of: "mixing",
    column: { table: "maps", head: "|λ₂|", digits: 3 },
    profile: { figure: "mixing-strength" },
  },
  distance: {
    title: "Distance to J/n",
    about: "token mean of ‖H_l ⋯ H_1 − J/n‖ (Frobenius): 0 when only the streams' mean is left",
    shape: "list",
    of: "mixing",
    column: { table: "maps", head: "‖P − J/n‖", digits: "plain" },
    profile: { figure: "mixing-strength", logarithmic: true },
  },
  read: {
    title: "H_pre",
    about: "token mean of `H_pre`, [n] (in the convention `deepseek-v4.1`, what the next sublayer reads with)",
    shape: "vectors",
    of: "mixing",
    column: { table: "streams", head: "read", digits: 2 },
  },
  write: {
    title: "H_post",
    about: "token mean of `H_post`, [n]",
    shape: "vectors",
    of: "mixing",
    column: { table: "streams", head: "write", digits: 2 },
  },
  streamCosine: {
    title: "Cosine of streams",
    about: "mean over i ≠ j of G_ij / √(G_ii G_jj), where G_ij = Σ_t ⟨x_ti, x_tj⟩ of the streams that enter",
    shape: "list",
    of: "mixing",
    column: { table: "streams", head: "cosine", digits: 4 },
    profile: { figure: "stream-use", scale: { domain: [-1, 1] } },
  },
  effectiveStreams: {
    title: "Effective streams",
    about: "(tr G)² / ‖G‖²: 1 when all streams are multiples of one, n when they are orthogonal and equally long",
    shape: "list",
    of: "mixing",
    column: { table: "streams", head: "effective", digits: 3 },
    profile: { figure: "stream-use", scale: { domainMin: 1 } },
  },
  dominantShare: {
    title: "Dominant share",
    about: "max G_ii / tr G: the share of the largest stream",
    shape: "list",
    of: "mixing",
    column: { table: "streams", head: "dominant", digits: 3 },
    profile: { figure: "stream-use", scale: { domain: [0, 1] } },
  },
  activation: {
    title: "Activation",
    about: "root mean square of what the block reads, before its norm; every connection has it",
    shape: "list",
    of: "all",
    column: { table: "blocks", head: "reads (RMS)", digits: 4 },
  },
  blockOutput: {
    title: "Block output",
    about: "root mean square of what the block returns; every connection has it",
    shape: "list",
    of: "all",
    column: { table: "blocks", head: "returns (RMS)", digits: 4 },
  },
  headRowError: {
    title: "Row error of heads",
    about:
      "largest |row sum − 1| of any token's matrix by which heads mix values or scores; null where heads do not mix",
    shape: "gaps",
    of: "all",
    column: { table: "blocks", head: "heads: row error", digits: "small" },
    scalars: [{ take: "largest", tensorboard: "heads/row_error_max" }],
  },
  headColumnError: {
    title: "Column error of heads",
    about: "the same of columns",
    shape: "gaps",
    of: "all",
    column: { table: "blocks", head: "col error", digits: "small" },
    scalars: [{ take: "largest", tensorboard: "heads/column_error_max" }],
  },
  headSecond: {
    title: "Second eigenvalue of heads",
    about: "token mean of |λ₂| of these matrices: how much of what heads differ by is kept",
    shape: "gaps",
    of: "all",
    column: { table: "blocks", head: "|λ₂|", digits: 3 },
  },
  headOwn: {
    title: "Own share of heads",
    about: "token mean of tr M / n: 1 where each of n heads keeps its own, 1/n where all get the mean",
    shape: "gaps",
    of: "all",
    column: { table: "blocks", head: "own share", digits: 3 },
  },
  gradient: {
    title: "Gradient norm",
    about:
      "norm of the gradients of the sublayer's parameters, its connection and norm included, of the whole batch before clipping",
    shape: "list",
    of: "all",
    column: { table: "blocks", head: "gradient norm", digits: 5 },
  },
  groups: {
    title: "Groups of parameters",
    about:
      "by role of the parameters (weight, embedding, norm, connection): norm of the gradients before clipping, norm of the values, and ‖update‖ / ‖values‖ of the step (Infinity in the first step of parameters that start at zero)",
    shape: "groups",
  },
} as const;

/** The type of the table, for names and shapes. */
export type InstrumentTable = typeof instruments;

/** The name of an instrument. */
export type InstrumentName = keyof InstrumentTable;

/**
 * What was measured at one step. A field is absent where the connection has no such value; docs/instruments.md
 * describes each.
 */
export type Instruments = Recorded<InstrumentTable>;

/** The instruments that are matrices, which have a separate file. */
export type MatrixName = {
  [K in InstrumentName]: InstrumentTable[K]["shape"] extends "matrices" ? K : never;
}[InstrumentName];

/** The instruments, in the order in which they are written and shown. */
export const instrumentFields: TableOf<InstrumentTable> = instruments;

const names = Object.keys(instruments) as InstrumentName[];

/** The instruments with a value for each sublayer that mixes streams, and the positions of these sublayers. */
export const mixingNames: readonly InstrumentName[] = names.filter((name) => instrumentFields[name].of === "mixing");

/** The instruments that are matrices. */
export const matrixNames: readonly MatrixName[] = names.filter(
  (name): name is MatrixName => instrumentFields[name].shape === "matrices",
);

/** The number of digits that float32 carries; records keep this many of each number. */
export function rounded(seen: Instruments): Instruments {
  const round = (value: unknown): unknown => {
    if (typeof value === "number") return Number(value.toPrecision(7));
    if (Array.isArray(value)) return value.map(round);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, round(each)]));
  };
  return round(seen) as Instruments;
}
