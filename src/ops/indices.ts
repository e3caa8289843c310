// Question: how does the caller learn of an index that is out of range?
//
// The error is the same on every runtime. The reference runtime throws it at once, before it updates a state. The
// others throw it when the run has ended, with index 0 in place of the wrong one: it then names the states that the run
// has spoiled.

/** An index that names no row. The message says where it is, what it is and what is allowed. */
export class IndexError extends RangeError {
  override name = "RangeError";
  readonly operation: string;
  readonly offence: IndexOffence;
  readonly scope: string;

  /**
   * @param operation name of the operation
   * @param scope the place in the model; "" if it has none
   * @param spoiled names of the states that were updated all the same
   */
  constructor(operation: string, offence: IndexOffence, scope = "", spoiled: readonly string[] = []) {
    const { index, position, rows } = offence;
    const where = scope === "" ? operation : `${operation} (in ${scope})`;
    const advice = advices[operation] ?? "check the experts.";
    super(
      `${where}: index ${index} at position ${position}; allowed are 0 to ${rows - 1}; ${advice}${spoiledStates(spoiled)}`,
    );
    this.operation = operation;
    this.offence = offence;
    this.scope = scope;
  }

  /** The same error, with the place of the operation in the model. */
  within(scope: string): IndexError {
    return new IndexError(this.operation, this.offence, scope);
  }

  /** The same error of a run that has updated states all the same. */
  spoiling(states: readonly string[]): IndexError {
    return new IndexError(this.operation, this.offence, this.scope, states);
  }
}

export interface IndexOffence {
  readonly index: number;
  /** Its position among the values of the tensor of indices. */
  readonly position: number;
  /** Indices from 0 to rows − 1 are allowed. */
  readonly rows: number;
}

/** States that are named one by one. */
const NAMED = 3;

function spoiledStates(names: readonly string[]): string {
  if (names.length === 0) return "";
  const others = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  return ` The run went on with index 0 and wrote wrong numbers to ${names.slice(0, NAMED).join(", ")}${others}: write them anew, such as from a checkpoint, before you go on.`;
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
