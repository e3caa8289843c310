// Question: how long does a runtime keep a state?
//
// A state gets its place when it is first asked for. Parameters and persistent states stay until they are forgotten,
// which no program that has them allows. Inputs and constants go with the last program that has them.

import { sizeOf, type Tensor } from "../graph/tensor.ts";
import type { Buffer } from "./plan/calls.ts";
import { expectState, inUse } from "./program.ts";

/** A state and where it lies; P is what the runtime calls a place. */
export interface HeldState<P> {
  readonly buffer: Buffer;
  readonly place: P;
}

/** What a runtime does for a state. */
export interface StatePlaces<P> {
  /** Give a new state its place, with its first values or zeros. */
  make(buffer: Buffer, tensor: Tensor): P;
  drop(state: HeldState<P>): void;
}

/** The states of one program. */
export interface ProgramStates<P> {
  /** A state, which the program then has. */
  state(tensor: Tensor): HeldState<P>;
  /** The program has none any more. */
  leave(): void;
}

export interface States<P> {
  /** A state; throws a TypeError for a computed tensor. */
  state(tensor: Tensor): HeldState<P>;
  /** Whether a state has a place already. */
  has(tensor: Tensor): boolean;
  /** Give up a state's place; throws an Error while a program has it. */
  forget(tensor: Tensor): void;
  enter(): ProgramStates<P>;
}

export function createStates<P>({ make, drop }: StatePlaces<P>): States<P> {
  /** `users`: programs that have the state. */
  const states = new Map<Tensor, HeldState<P> & { users: number }>();
  const held = (tensor: Tensor): HeldState<P> & { users: number } => {
    const attributes = expectState(tensor);
    const known = states.get(tensor);
    if (known) return known;
    const buffer = { name: attributes.name, bytes: 4 * sizeOf(tensor.shape), state: attributes };
    const made = { buffer, place: make(buffer, tensor), users: 0 };
    states.set(tensor, made);
    return made;
  };
  const remove = (tensor: Tensor, state: HeldState<P>): void => {
    states.delete(tensor);
    drop(state);
  };
  return {
    state: held,
    has: (tensor) => states.has(tensor),
    forget(tensor) {
      const found = states.get(tensor);
      if (!found) return;
      if (found.users > 0) throw inUse(found.buffer.name, found.users);
      remove(tensor, found);
    },
    enter() {
      const own = new Map<Tensor, HeldState<P> & { users: number }>();
      return {
        state(tensor) {
          const found = held(tensor);
          if (!own.has(tensor)) found.users++;
          own.set(tensor, found);
          return found;
        },
        leave() {
          for (const [tensor, state] of own) {
            const kind = state.buffer.state?.kind;
            if (--state.users === 0 && (kind === "input" || kind === "constant")) remove(tensor, state);
          }
          own.clear();
        },
      };
    },
  };
}
