// Question: what does every runtime offer?

import type { Tensor } from "../graph/tensor.ts";

/** What a program computes, and what it changes. */
export interface ProgramSpec {
  /** Tensors to read after a run, by name. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Pairs [state, value]: after a run the state holds the value. */
  readonly updates?: readonly (readonly [state: Tensor, value: Tensor])[];
}

/** A compiled graph. Running it allocates nothing and builds nothing. */
export interface Program {
  /** Execute once. */
  run(): void;
  /** A copy of an output of the last run, row-major. To be read before another program of the runtime runs. */
  read(output: string): Float32Array | Float64Array;
  /**
   * Give back what the program takes, with the inputs and constants that no other program has: an input must then
   * be written again before a later program reads it. Parameters and persistent states stay; see `Runtime.forget`.
   * A released program cannot run; to release it once more does nothing.
   */
  release(): void;
}

/**
 * What every runtime offers: compile graphs, and hold the values of the state tensors they share
 * (parameters, moments, inputs). Two programs of one runtime see the same parameters.
 */
export interface Runtime {
  /** Make a program of the graph behind the outputs and updates. */
  compile(spec: ProgramSpec): Program;
  /** Set a state tensor (parameter, moment or input). */
  write(state: Tensor, values: ArrayLike<number>): void;
  /** A copy of a state tensor's values. */
  read(state: Tensor): Float32Array | Float64Array | Int32Array;
  /**
   * Give back the place of a state tensor, and with it its values; used again, it begins anew.
   *
   * @throws Error while a program that is not released has it
   */
  forget(state: Tensor): void;
  /** End the runtime's threads; its programs cannot run any more. */
  close(): void;
}

/** Throw unless `count` values fit the tensor. */
export function expectCount(name: string, count: number, size: number, shape: readonly number[]): void {
  if (count === size) return;
  throw new RangeError(`write: ${name} has shape [${shape.join(", ")}] and needs ${size} values, got ${count}.`);
}

/** What `forget` throws for a state that programs have. */
export function inUse(name: string, programs: number): Error {
  const [have, them] = programs > 1 ? ["programs have", "them"] : ["program has", "it"];
  return new Error(`forget: ${programs} ${have} ${name}; release ${them} first.`);
}
