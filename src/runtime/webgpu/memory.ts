// Question: where in the memory of a GPU does everything lie?
//
// A state has a buffer of its own. All programs share the arena, which is one buffer or, where that would be too large
// for the GPU, several: when a program needs a larger one, it grows, and every program is bound anew.

import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { Buffer, CompiledPlan } from "../plan/calls.ts";
import { compilePlan } from "../plan/compile.ts";
import type { Machine } from "../plan/machine.ts";
import { expectState, inUse, type ProgramSpec } from "../program.ts";

/** A part of a buffer of the GPU. */
export interface Place {
  readonly gpu: GPUBuffer;
  readonly offset: number;
  /** A multiple of 4. */
  readonly bytes: number;
}

export interface PlacedProgram {
  readonly plan: CompiledPlan;
  placeOf(buffer: Buffer): Place;
  release(): void;
}

export interface Memory {
  /** A state's place, made when it is first asked for. */
  state(tensor: Tensor): Place;
  forget(tensor: Tensor): void;
  /**
   * Compile a program and give its buffers places.
   *
   * @param bind is called now, and again whenever the arena is another
   */
  place(spec: ProgramSpec, bind: (program: PlacedProgram) => void): PlacedProgram;
  /** Bytes taken at most. */
  most(): number;
}

/** What the memory asks of whoever gives the orders. */
export interface MemoryActions {
  create(label: string, bytes: number): GPUBuffer;
  /** Copy the whole of one buffer to the beginning of another, in the order of all orders. */
  copy(from: GPUBuffer, to: GPUBuffer, bytes: number): void;
  /** Set the values of a new state, in the order of all orders. */
  begin(place: Place, values: readonly number[], dtype: Tensor["dtype"]): void;
  /** No order that has been given needs the buffer any more once it is done. */
  drop(buffer: GPUBuffer): void;
  /** What is thrown for a buffer that is larger than any can be. */
  tooLarge(bytes: number): Error;
}

const whole = (bytes: number): number => Math.ceil(bytes / 4) * 4;

export function createMemory(machine: Machine, actions: MemoryActions): Memory {
  interface State {
    readonly buffer: Buffer;
    readonly place: Place;
    users: number;
  }
  const states = new Map<Tensor, State>();
  const places = new Map<Buffer, Place>();
  const bound = new Map<PlacedProgram, () => void>();
  const page = machine.device.arenaPage ?? Number.POSITIVE_INFINITY;
  /** All of the size of a page but the last. */
  const arena: GPUBuffer[] = [];
  let [taken, most] = [0, 0];
  const create = (label: string, bytes: number): GPUBuffer => {
    const gpu = actions.create(label, bytes);
    taken += gpu.size;
    most = Math.max(most, taken);
    return gpu;
  };
  const drop = (gpu: GPUBuffer): void => {
    taken -= gpu.size;
    actions.drop(gpu);
  };

  const state = (tensor: Tensor): State => {
    const attributes = expectState(tensor);
    const known = states.get(tensor);
    if (known) return known;
    const bytes = 4 * sizeOf(tensor.shape);
    const buffer = { name: attributes.name, bytes, state: attributes };
    const place = { gpu: create(attributes.name, bytes), offset: 0, bytes };
    const made = { buffer, place, users: 0 };
    states.set(tensor, made);
    places.set(buffer, place);
    if (attributes.values) actions.begin(place, attributes.values, tensor.dtype);
    return made;
  };
  const remove = (tensor: Tensor, { buffer, place }: State): void => {
    states.delete(tensor);
    places.delete(buffer);
    drop(place.gpu);
  };
  /** One program less has these. What the host has written to parameters and persistent states stays. */
  const leave = (tensors: Iterable<Tensor>): void => {
    for (const tensor of tensors) {
      const left = states.get(tensor);
      const kind = left?.buffer.state?.kind;
      if (left && --left.users === 0 && (kind === "input" || kind === "constant")) remove(tensor, left);
    }
  };
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
    state: (tensor) => state(tensor).place,
    forget(tensor) {
      const found = states.get(tensor);
      if (!found) return;
      if (found.users > 0) throw inUse(found.buffer.name, found.users);
      remove(tensor, found);
    },
    place(spec, bind) {
      const has = new Set<Tensor>();
      /** Buffers that only this program has, such as those of its checks. */
      const own = new Map<Buffer, Place>();
      const stateBuffer = (tensor: Tensor): Buffer => {
        const found = state(tensor);
        if (!has.has(tensor)) found.users++;
        has.add(tensor);
        return found.buffer;
      };
      try {
        const plan = compilePlan(spec, machine, { stateBuffer });
        const { offsets, bytes, sharing } = plan.arena;
        const largest = Math.max(0, ...[...offsets.keys()].map((buffer) => buffer.bytes));
        if (largest > page) throw actions.tooLarge(largest);
        growArena(bytes);
        const program: PlacedProgram = {
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
            if (!bound.delete(program)) return;
            for (const { gpu } of own.values()) drop(gpu);
            leave(has);
            dropArena();
          },
        };
        bound.set(program, () => bind(program));
        bind(program);
        return program;
      } catch (error) {
        leave(has);
        dropArena();
        throw error;
      }
    },
    most: () => most,
  };
}
