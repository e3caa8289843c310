// Question: what does every runtime offer?
//
// Writes, runs and reads happen in the order in which they are asked for, whether the machine does them at once or
// later: a read gives what was there when it was asked for.

import type { Tensor } from "../graph/tensor.ts";
import type { GpuBeside } from "./beside.ts";
import type { Device } from "./device.ts";
import type { Call, CompiledPlan } from "./plan/calls.ts";
import type { Machine } from "./plan/machine.ts";
import type { Outputs, ProgramSpec, Readings, TensorValues } from "./program.ts";

/** How long one kernel call of a program took, alone on one thread. */
export interface CallTime {
  readonly call: Call;
  readonly milliseconds: number;
}

/** What a program did in one place of its order of execution. */
export interface TracedCall {
  /** Operation and scope, such as "layers.0.attention:matmul". */
  readonly label: string;
  /** Its place in the order of execution. */
  readonly index: number;
}

/**
 * A compiled graph; R is what its outputs are read as. Running it allocates nothing and builds nothing. What is marked with a question mark is a
 * capability: some runtimes have it, and whoever wants it asks.
 */
export interface ProgramOf<R> {
  /**
   * Execute once. On some runtimes it has only been begun when this returns; what fails is then told by a read.
   *
   * @throws RangeError when an index is out of range; states that the program updates may then hold wrong numbers,
   *   and the error says which
   */
  run(): void;
  /**
   * Let the machine begin to execute once, where `run` would keep the calling thread busy until the end. What this returns
   * waits for the rest, and throws what went wrong. Whatever else is asked of the runtime before waits for it too.
   */
  begin?(): () => void;
  /**
   * A copy of an output of the last run, row-major, nested as it was asked for. To be asked for before another program
   * of the runtime runs.
   */
  read<N extends keyof R & string>(name: N): Promise<R[N]>;
  /** The same at once, where memory is at hand. */
  readNow?<N extends keyof R & string>(name: N): R[N];
  /**
   * Give back what the program takes, with the inputs and constants that no other program has: an input must then
   * be written again before a later program reads it. Parameters and persistent states stay; see `Runtime.forget`.
   * A released program cannot run; to release it once more does nothing.
   */
  release(): void;
  /** The plan that it follows. */
  readonly plan?: CompiledPlan;
  /**
   * Execute once, and show what each call has written: a part of it after each task, or all of it after the last.
   * The values are those in memory, which later calls write over.
   */
  trace?(look: (call: TracedCall, values: TensorValues) => void): void | Promise<void>;
  /** Execute call by call and time each; with several rounds the best times. */
  profile?(rounds?: number): readonly CallTime[] | Promise<readonly CallTime[]>;
  /**
   * The program in parts, to be executed one after another instead of `run`: between two of them the caller can do
   * something else, such as to send what the parts before have made.
   */
  parts?(): readonly ProgramPart[];
  /** Set where the program waits for other ranks within it: it has parts, and cannot be executed by `run`. */
  readonly waits?: true;
  /** Of one that is made of several: bytes of the states between them and of the largest arena. */
  readonly bytes?: number;
  /** Execute once in an arena full of a pattern: how many bytes of it were written. */
  touch?(): number | Promise<number>;
}

/** A piece of a program's execution. */
export interface ProgramPart {
  /**
   * Execute it; the parts before it must have been, in their order. What waits for other ranks resolves when they have
   * answered (collective/over-ranks.ts).
   *
   * @param meanwhile called now and then while it runs, by a machine that can: about every millisecond on the processor.
   *   It does not run programs
   */
  run(meanwhile?: () => void): void | Promise<void>;
  /** The parameters that it reads; where absent, it may read any. */
  readonly reads?: readonly Tensor[];
  /** The states that hold their next values from here on. */
  readonly updated: readonly Tensor[];
  /** What the part has made of the program's `passing` values, by their place in that list. */
  readonly passing: readonly PassingValue[];
}

/** A value that is there until the next part runs. */
export interface PassingValue {
  readonly index: number;
  /** Where it lies; not to be written to. */
  view(): TensorValues;
}

/** Execute a program once, whether it waits for other ranks or not. */
export async function runWhole({
  waits,
  parts,
  run,
}: Pick<ProgramOf<unknown>, "waits" | "parts" | "run">): Promise<void> {
  if (!waits) run();
  else for (const part of parts!()) await part.run();
}

/** Execute a program once, and let something happen between its parts, and within them where the machine can. */
export async function runInParts(
  program: Pick<ProgramOf<unknown>, "parts" | "run">,
  between: () => void,
): Promise<void> {
  const parts = program.parts?.() ?? [];
  // One that computes nothing, such as the first stage's gradient of what entered, has no parts.
  if (parts.length === 0) program.run();
  for (const part of parts) {
    await part.run(between);
    between();
  }
}

/** A program by its outputs: what they are read as follows from them. */
export type Program<O extends Outputs = Outputs> = ProgramOf<Readings<O>>;

/**
 * What every runtime offers: compile graphs, and hold the values of the state tensors they share
 * (parameters, moments, inputs). Two programs of one runtime see the same parameters.
 */
export interface Runtime {
  /** Such as "wasm". */
  readonly name: string;
  readonly device: Device;
  /** Which kernels decide the bits of its results, such as "relaxed 16". */
  readonly kernels: string;
  /** The beginning of the SHA-256 of the kernels' code; absent where there is no such code. */
  readonly kernelCode?: string;
  /** For planning programs without running them; a runtime that plans nothing has none. */
  readonly machine?: Machine;
  /**
   * Whether another machine computes: `run` then only gives an order, so that the next step can be asked for before the
   * loss of this one is known. Absent where what is asked for is done when the call returns.
   */
  readonly asynchronous?: boolean;
  /**
   * Make a program of the graph behind the outputs and updates.
   *
   * @throws Error when the memory does not suffice; the runtime is then as it was
   */
  compile<const O extends Outputs>(spec: ProgramSpec<O>): Program<O>;
  /** Set a state tensor (parameter, moment or input). */
  write(state: Tensor, values: ArrayLike<number>): void;
  /** A copy of a state tensor's values. */
  read(state: Tensor): Promise<TensorValues>;
  /** The same at once, where memory is at hand. */
  readNow?(state: Tensor): TensorValues;
  /** What `read` copies: the values where they lie, until the next program runs. Not to be written to. */
  view?(state: Tensor): TensorValues;
  /** The same of a float32 state, to be written to as well: finite numbers alone, and no other program may run meanwhile. */
  memory?(state: Tensor): Float32Array;
  /**
   * Give back the place of a state tensor, and with it its values; used again, it begins anew.
   *
   * @throws Error while a program that is not released has it
   */
  forget(state: Tensor): void;
  /** Bytes that were taken at most: states, arena, programs and scratch. */
  memoryBytes?(): number;
  /** For a library that works on the memory of the runtime's GPU, such as one that exchanges it with other GPUs. */
  readonly beside?: GpuBeside;
  /** Wait until all that was asked for is done. */
  finish(): Promise<void>;
  /** End the runtime: all else then throws an Error. To close it once more does nothing. */
  close(): void;
}

/** What this computer has for a runtime. */
export interface RuntimeFound {
  /** Whether "auto" may take it: it has what it needs, at a speed that is worth it. */
  readonly available: boolean;
  /** What it would compute on, in words. */
  readonly device?: string;
  /** What to do about what is missing. */
  readonly remedy?: string;
}

/** A program whose outputs can be read at once. */
export interface SynchronousProgramOf<R> extends ProgramOf<R> {
  readNow<N extends keyof R & string>(name: N): R[N];
}

/** A program whose outputs can be read at once, by its outputs: what they are read as follows from them. */
export type SynchronousProgram<O extends Outputs = Outputs> = SynchronousProgramOf<Readings<O>>;

/** A runtime that has done what it is asked for when the call returns. */
export interface SynchronousRuntime extends Runtime {
  compile<const O extends Outputs>(spec: ProgramSpec<O>): SynchronousProgram<O>;
  readNow(state: Tensor): TensorValues;
}
