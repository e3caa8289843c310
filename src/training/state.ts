// Question: what does a training need to go on bit by bit?

/** A tensor as it is saved. */
export interface SavedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A run of numbers of a tensor: those from place `from` on, where all of them lie in one row. */
export interface TensorPiece extends SavedTensor {
  readonly from: number;
}

/** What one rank of several keeps of a state: the pieces of all ranks together are the whole. */
export interface OwnState {
  readonly step: number;
  readonly model: readonly TensorPiece[];
  readonly optimizer: readonly TensorPiece[];
}

/** Everything a trainer needs to go on bit by bit: the step, the parameters, the moments. */
export interface TrainerState {
  readonly step: number;
  readonly model: readonly SavedTensor[];
  readonly optimizer: readonly SavedTensor[];
}
