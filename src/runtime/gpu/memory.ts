// Question: where in the memory of a GPU does everything lie?
//
// A state has a buffer of its own. All programs share the arena, which is one buffer or, where that would be too large
// for the GPU, several: when a program needs a larger one, it grows, and every program is bound anew.

import type { Tensor } from "../../graph/tensor.ts";
import type { Buffer, CompiledPlan } from "../plan/calls.ts";
import { compilePlan } from "../plan/compile.ts";
import type { Machine } from "../plan/machine.ts";
import type { ProgramSpec } from "../program.ts";
import { createStates } from "../states.ts";

/** A piece of the GPU's memory, as its interface has it. */
export interface Piece {
  /** Bytes. */
  readonly size: number;
}

/** A part of a piece. */
export interface Place<B extends Piece> {
  readonly gpu: B;
  readonly offset: number;
  /** A multiple of 4. */
  readonly bytes: number;
}

export interface PlacedProgram<B extends Piece> {
  readonly plan: CompiledPlan;
  placeOf(buffer: Buffer): Place<B>;
  release(): void;
}

export interface Memory<B extends Piece> {
  /** A state's place, made when it is first asked for. */
  state(tensor: Tensor): Place<B>;
  forget(tensor: Tensor): void;
  /**
   * Compile a program and give its buffers places.
   *
   * @param bind is called now, and again whenever the arena is another
   */
  place(spec: ProgramSpec, bind: (program: PlacedProgram<B>) => void): PlacedProgram<B>;
  /** Bytes taken at most. */
  most(): number;
}

/** What the memory asks of whoever gives the orders. */
export interface MemoryActions<B extends Piece> {
  create(label: string, bytes: number): B;
  /** Copy the whole of one buffer to the beginning of another, in the order of all orders. */
  copy(from: B, to: B, bytes: number): void;
  /** Set the values of a new state, in the order of all orders. */
  begin(place: Place<B>, values: readonly number[], dtype: Tensor["dtype"]): void;
  /** No order that has been given needs the buffer any more once it is done. */
  drop(buffer: B): void;
  /** What is thrown for a buffer that is larger than any can be. */
  tooLarge(bytes: number): Error;
}

const whole = (bytes: number): number => Math.ceil(bytes / 4) * 4;

export function createMemory<B extends Piece>(machine: Machine, actions: MemoryActions<B>): Memory<B> {
  const places = new Map<Buffer, Place<B>>();
  const bound = new Map<PlacedProgram<B>, () => void>();
  const page = machine.device.arenaPage ?? Number.POSITIVE_INFINITY;
  /** All of the size of a page but the last. */
  const arena: B[] = [];
  let [taken, most] = [0, 0];
  const create = (label: string, bytes: number): B => {
    const gpu = actions.create(label, bytes);
    taken += gpu.size;
    most = Math.max(most, taken);
    return gpu;
  };
  const drop = (gpu: B): void => {
    taken -= gpu.size;
    actions.drop(gpu);
  };

  const states = createStates<Place<B>>({
    make(buffer, { dtype }) {
      const place = { gpu: create(buffer.name, buffer.bytes), offset: 0, bytes: buffer.bytes };
      places.set(buffer, place);
      if (buffer.state?.values) actions.begin(place, buffer.state.values, dtype);
      return place;
    },
    drop({ buffer, place }) {
      places.delete(buffer);
      drop(place.gpu);
    },
  });
  /** Pages that grow are other buffers, with the values of the old: programs that have run can still be read. */
  const growArena = (bytes: number): void => {
    let moved = false;
    for (let at = 0; at * page < bytes; at++) {
      const size = Math.min(page, bytes - at * page);
      const before = arena[at];
      if (before && before.size >= size) continue;
      const grown = create("arena", size);
      arena[at] = grown;
      if (!before) continue;
      actions.copy(before, grown, before.size);
      drop(before);
      moved = true;
    }
    if (moved) for (const bind of bound.values()) bind();
  };
  const dropArena = (): void => {
    if (bound.size === 0) for (const buffer of arena.splice(0)) drop(buffer);
  };

  return {
    state: (tensor) => states.state(tensor).place,
    forget: (tensor) => states.forget(tensor),
    place(spec, bind) {
      const has = states.enter();
      /** Buffers that only this program has, such as those of its checks. */
      const own = new Map<Buffer, Place<B>>();
      const leave = (): void => {
        for (const { gpu } of own.values()) drop(gpu);
        has.leave();
        dropArena();
      };
      try {
        const plan = compilePlan(spec, machine, { stateBuffer: (tensor) => has.state(tensor).buffer });
        const { offsets, bytes, sharing } = plan.arena;
        for (const buffer of offsets.keys()) if (buffer.bytes > page) throw actions.tooLarge(buffer.bytes);
        growArena(bytes);
        const program: PlacedProgram<B> = {
          plan,
          placeOf(buffer) {
            const root = sharing.get(buffer) ?? buffer;
            const known = places.get(root) ?? own.get(root);
            if (known) return known;
            const offset = offsets.get(root);
            const gpu = arena[Math.floor((offset ?? 0) / page)];
            if (offset !== undefined && gpu) return { gpu, offset: offset % page, bytes: whole(buffer.bytes) };
            if (!root.state) throw new Error(`memory: ${buffer.name} has no place.`);
            const place = { gpu: create(root.name, root.bytes), offset: 0, bytes: root.bytes };
            own.set(root, place);
            return place;
          },
          release() {
            if (bound.delete(program)) leave();
          },
        };
        bind(program);
        bound.set(program, () => bind(program));
        return program;
      } catch (error) {
        leave();
        throw error;
      }
    },
    most: () => most,
  };
}
