// Question: what does a pipeline schedule consist of?
//
// A model is cut into positions 0, 1, ... (one a stage, or several where stages are interleaved). Every
// micro-batch passes all positions forward and then backward. A *pass* is one of these crossings of one
// position; a *schedule* says in which order each stage issues its passes; *costs* say which pieces a pass
// consists of; both together give *tasks*, which the simulator runs.

/** Forward, backward (for inputs and weights at once), or a half of backward: input (B) or weights (W). */
export type PipelinePass = "forward" | "backward" | "input" | "weights";

/** One pass of one micro-batch over one position of the model. */
export interface PassPart {
  readonly pass: PipelinePass;
  readonly position: number;
  readonly microBatch: number;
}

/** What a stage issues next: one pass, or a forward and a backward pass woven together (F&B). */
export type Slot = readonly PassPart[];

/**
 * Where a task runs. A stage has one processor for computation and one for communication. `compute` is issued
 * strictly in the order of the schedule; `priority` takes the processor away from `compute` as soon as it can
 * run, and gives it back; `communication` runs beside both, first come, first served.
 */
export type TaskStream = "compute" | "priority" | "communication";

/** What a task does, which is also its colour in a timeline. */
export type TaskKind =
  | "forward"
  | "backward"
  | "weights"
  | "both"
  | "connection"
  | "recompute"
  | "dispatch"
  | "combine"
  | "message";

/** A kernel or transfer of a pass, in the order in which it is issued. */
export interface Piece {
  readonly label: string;
  readonly kind: TaskKind;
  readonly stream: TaskStream;
  readonly duration: number;
  /** Which parts of the slot it belongs to: [0], or [0, 1] for a block that does two passes at once. */
  readonly parts: readonly number[];
  /** Indices of the pieces of the same slot that must have ended before. */
  readonly after: readonly number[];
  /**
   * `arrival`: it waits for the neighbouring position (a weights pass waits for its own input pass). `forward`: it
   * waits only for the stage's own forward pass, because it needs nothing from a neighbour.
   */
  readonly waits?: "arrival" | "forward";
  /** When this has ended, the message to the neighbour may be sent and the neighbour's pass may begin. */
  readonly sends?: boolean;
}

/** The costs of a schedule's passes: the pieces of a slot, and the time of a message between stages. */
export interface PipelineCosts {
  /** @param slot where it matters which piece of the model passes: the passes with their positions */
  pieces(passes: readonly PipelinePass[], slot?: Slot): readonly Piece[];
  readonly message: number;
}

/** A kernel or transfer of one stage, with everything that it waits for. */
export interface PipelineTask {
  /** Its index in the list of tasks. */
  readonly id: number;
  readonly stage: number;
  readonly stream: TaskStream;
  readonly kind: TaskKind;
  readonly label: string;
  readonly duration: number;
  readonly parts: readonly PassPart[];
  /** Tasks that must have ended before. */
  readonly after: readonly number[];
  /** For a message, the stage that waits for it. */
  readonly to?: number;
}

/** A task that ran: from its first start to its end, in one segment unless a priority task interrupted it. */
export interface TimedTask extends PipelineTask {
  readonly start: number;
  readonly end: number;
  readonly segments: readonly (readonly [start: number, end: number])[];
}

/** All tasks of a step with their times; the first starts at 0. */
export interface Timeline {
  readonly stages: number;
  /** In the order of their ids. */
  readonly tasks: readonly TimedTask[];
  readonly makespan: number;
}
