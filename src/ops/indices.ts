// Question: how does the caller learn of an index that is out of range?
//
// The error is the same on every runtime. The reference runtime throws it at once, the others when the run has ended.

/** An index that names no row. The message says where it is, what it is and what is allowed. */
export class IndexError extends RangeError {
  override name = "RangeError";
  readonly operation: string;
  readonly offence: IndexOffence;

  /**
   * @param operation name of the operation
   * @param scope the place in the model; "" if it has none
   */
  constructor(operation: string, offence: IndexOffence, scope = "") {
    const { index, position, rows } = offence;
    const where = scope === "" ? operation : `${operation} (in ${scope})`;
    const advice = advices[operation] ?? "check the experts.";
    super(`${where}: index ${index} at position ${position}; allowed are 0 to ${rows - 1}; ${advice}`);
    this.operation = operation;
    this.offence = offence;
  }

  /** The same error, with the place of the operation in the model. */
  within(scope: string): IndexError {
    return new IndexError(this.operation, this.offence, scope);
  }
}

export interface IndexOffence {
  readonly index: number;
  /** Its position among the values of the tensor of indices. */
  readonly position: number;
  /** Indices from 0 to rows − 1 are allowed. */
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
