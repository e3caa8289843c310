// Question: what do the instruments see of a model at one step?
//
// Definitions: the gains as in gains.ts (mHC paper, section 3.1); all other values over the tokens of one
// sequence, the first of the step's batch, before the update. Lists hold one value a sublayer, in order of
// depth (attention and feed-forward count separately).
//
// Legend: n streams, C channels, J the matrix of ones; H_res of a sublayer is n × n, row = output stream.

import type { GainPair } from "./gains.ts";

/** Norms of a group of parameters, and of what the step did to them. */
export interface GroupNorms {
  /** Euclidean norm of the group's gradients, before clipping. */
  readonly gradient: number;
  /** Euclidean norm of its values before the update. */
  readonly weight: number;
  /** Euclidean norm of the update, a share of `weight`. */
  readonly update: number;
}

/** What was measured at one step. Fields are absent where a connection has nothing of the kind. */
export interface Instruments {
  /** Positions in the network, from 0, of the sublayers that mix streams; absent when all do. */
  readonly sublayers?: readonly number[];

  // One value a sublayer that mixes streams.
  /** Amax gains of each H_res. */
  readonly single?: GainPair;
  /** Amax gains of the products: forward of H_l ⋯ H_1, backward of H_L ⋯ H_l. */
  readonly composite?: GainPair;
  /** Token mean of H_res, [n²] row-major. */
  readonly mixing?: readonly (readonly number[])[];
  /** Token mean of the product H_l ⋯ H_1, [n²] row-major. */
  readonly product?: readonly (readonly number[])[];
  /** Largest |row sum − 1| and |column sum − 1| of any token's H_res. */
  readonly rowError?: readonly number[];
  readonly columnError?: readonly number[];
  /** Smallest and largest logit of H_res of any token, before it is normalised: saturation; null where the map has none. */
  readonly smallestLogit?: readonly (number | null)[];
  readonly largestLogit?: readonly (number | null)[];
  /** Token mean of |λ₂|, the second largest modulus of an eigenvalue of H_res. */
  readonly secondEigenvalue?: readonly number[];
  /** Token mean of ‖H_l ⋯ H_1 − J/n‖ (Frobenius): 0 when nothing but the streams' mean is left. */
  readonly distance?: readonly number[];
  /** Token mean of H_pre and H_post, [n]. */
  readonly read?: readonly (readonly number[])[];
  readonly write?: readonly (readonly number[])[];
  /** Mean cosine between two different streams that enter the sublayer. */
  readonly streamCosine?: readonly number[];
  /** Effective number of streams: the participation ratio (Σλ)² / Σλ² of the eigenvalues of their n × n Gram matrix. */
  readonly effectiveStreams?: readonly number[];
  /** Share of the largest stream in the sum of the streams' squared norms. */
  readonly dominantShare?: readonly number[];

  // One value for every sublayer of the network.
  /** Root mean square of what the block reads, before its norm. */
  readonly activation?: readonly number[];
  /** Root mean square of the block's result. */
  readonly blockOutput?: readonly number[];
  /** Norm of the gradients of all parameters of the sublayer, before clipping. */
  readonly gradient?: readonly number[];

  /** By role of the parameters: weight, embedding, norm, connection. */
  readonly groups?: Readonly<Record<string, GroupNorms>>;
}
