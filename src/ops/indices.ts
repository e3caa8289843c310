// Question: what does an index that is out of range look like to the caller?
//
// The same on every runtime: the reference throws where it meets one, others when the run has ended.

/** An index that names no row: a RangeError that says where, what and what is allowed. */
export class IndexError extends RangeError {
  override name = "RangeError";
  readonly operation: string;
  readonly offence: IndexOffence;

  /**
   * @param operation name of the operation
   * @param scope where in the model it stands; "" for nowhere
   */
  constructor(operation: string, offence: IndexOffence, scope = "") {
    const { index, position, rows } = offence;
    const where = scope === "" ? operation : `${operation} (in ${scope})`;
    const advice = advices[operation] ?? "check the experts.";
    super(`${where}: index ${index} at position ${position}; allowed are 0 to ${rows - 1}; ${advice}`);
    this.operation = operation;
    this.offence = offence;
  }

  /** The same with the place of the operation in the model. */
  within(scope: string): IndexError {
    return new IndexError(this.operation, this.offence, scope);
  }
}

export interface IndexOffence {
  readonly index: number;
  /** Among the values of the tensor of indices. */
  readonly position: number;
  /** Allowed are 0 to rows − 1. */
  readonly rows: number;
}

const targets = "check the targets; there is no label for padding.";
const advices: Readonly<Record<string, string>> = {
  gather: "check the token ids.",
  scatterAdd: "check the token ids.",
  crossEntropy: targets,
  crossEntropyBackward: targets,
  cachedAttention: "check positions and slots.",
};

/** For references: throw unless an index names one of `rows` rows. */
export function expectIndex(operation: string, index: number, position: number, rows: number): void {
  if (Number.isInteger(index) && index >= 0 && index < rows) return;
  throw new IndexError(operation, { index, position, rows });
}
