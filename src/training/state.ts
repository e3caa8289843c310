// Question: what does a training need to go on bit by bit?

/** A tensor as it is saved. */
export interface SavedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Everything a trainer needs to go on bit by bit: the step, the parameters, the moments. */
export interface TrainerState {
  readonly step: number;
  readonly model: readonly SavedTensor[];
  readonly optimizer: readonly SavedTensor[];
}
