// Question: where in the memory of a GPU does everything lie?
//
// States that a program brings, parameters and moments, lie side by side in one buffer, or in a few where it would be
// too large for the GPU: so one kernel reaches many of them. Any other state has a buffer of its own. All programs share
// the arena, which is one buffer or several again: when a program needs a larger one, it grows, and every program is
// bound anew.

import { stateOf } from "../../graph/state.ts";
import { ancestors, sizeOf, type Tensor } from "../../graph/tensor.ts";
import { type Buffer, type CompiledPlan, sumBytes } from "../plan/calls.ts";
import { compilePlan, withoutMemory } from "../plan/compile.ts";
import type { Machine } from "../plan/machine.ts";
import { type ProgramSpec, resultsOf } from "../program.ts";
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
  /** Give up the states now, and all else by `release`, which may come later. */
  leaveStates(): void;
  release(): void;
}

/** A program whose place in the arena is yet to be made. */
export interface PreparedProgram<B extends Piece> extends PlacedProgram<B> {
  /** Create what the arena lacks; until that is committed all is as it was. Throws what `create` throws. */
  grow(): Growth<B>;
}

export interface Growth<B extends Piece> {
  /** What was created. */
  readonly pieces: readonly B[];
  /** Take it into use, and bind the program, and all others if they have moved. */
  commit(): void;
  abandon(): void;
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
  /** The same where it is known only later whether there was memory: the program is bound when its growth is committed. */
  prepare(spec: ProgramSpec, bind: (program: PlacedProgram<B>) => void): PreparedProgram<B>;
  /** Bytes taken at most. */
  most(): number;
}

/** What `create` throws where the memory is known not to suffice; `place` then says what the whole program needs. */
export class NoRoom extends Error {}

/** What the memory asks of whoever gives the orders. */
export interface MemoryActions<B extends Piece> {
  create(label: string, bytes: number): B;
  /** Copy the whole of one buffer to the beginning of another, when a growth is committed. */
  copy(from: B, to: B, bytes: number): void;
  /** Set the values of a new state, in the order of all orders. */
  begin(place: Place<B>, values: readonly number[], dtype: Tensor["dtype"]): void;
  /** No order that has been given needs the buffer any more once it is done. */
  drop(buffer: B): void;
  /** What is thrown for a buffer that is larger than any can be. */
  tooLarge(bytes: number): Error;
  /** What is thrown for a program where `create` has thrown NoRoom: the bytes of all that would then be held. */
  noRoom?(bytes: number): Error;
}

const whole = (bytes: number): number => Math.ceil(bytes / 4) * 4;

export function createMemory<B extends Piece>(machine: Machine, actions: MemoryActions<B>): Memory<B> {
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

  /** Places that wait for the states of the program that is being compiled. */
  const reserved = new Map<Tensor, Place<B>>();
  /** How many states lie in a buffer that several may share. */
  const tenants = new Map<B, number>();
  const leave = (gpu: B): void => {
    const others = (tenants.get(gpu) ?? 1) - 1;
    tenants.set(gpu, others);
    if (others > 0) return;
    tenants.delete(gpu);
    drop(gpu);
  };
  const states = createStates<Place<B>>({
    make(buffer, tensor) {
      const place = reserved.get(tensor) ?? { gpu: create(buffer.name, buffer.bytes), offset: 0, bytes: buffer.bytes };
      reserved.delete(tensor);
      if (buffer.state?.values) actions.begin(place, buffer.state.values, tensor.dtype);
      return place;
    },
    drop({ place }) {
      leave(place.gpu);
    },
  });
  /** Reserve places side by side for the lasting states of a program that have none yet. */
  const reserve = (spec: ProgramSpec): void => {
    const lasting = statesOf(spec).filter((tensor) => !states.has(tensor) && lasts(tensor));
    const { alignment } = machine.device;
    let slab: { tensors: { tensor: Tensor; offset: number; bytes: number }[]; bytes: number } | undefined;
    const slabs: NonNullable<typeof slab>[] = [];
    for (const tensor of lasting) {
      const bytes = 4 * sizeOf(tensor.shape);
      if (bytes > page) continue;
      if (!slab || slab.bytes + bytes > page) slabs.push((slab = { tensors: [], bytes: 0 }));
      slab.tensors.push({ tensor, offset: slab.bytes, bytes });
      slab.bytes += Math.ceil(bytes / alignment) * alignment;
    }
    for (const { tensors, bytes } of slabs) {
      const gpu = create("states", Math.min(bytes, page));
      tenants.set(gpu, tensors.length);
      for (const { tensor, offset, bytes: size } of tensors) reserved.set(tensor, { gpu, offset, bytes: size });
    }
  };
  /** Give up the places that no state has taken. */
  const unreserve = (): void => {
    for (const { gpu } of reserved.values()) leave(gpu);
    reserved.clear();
  };
  /** Pages that grow are other buffers, with the values of the old: programs that have run can still be read. */
  const growArena = (bytes: number): Growth<B> => {
    const grown = new Map<number, B>();
    const abandon = (): void => {
      for (const gpu of grown.values()) drop(gpu);
    };
    try {
      for (let at = 0; at * page < bytes; at++) {
        const size = Math.min(page, bytes - at * page);
        if ((arena[at]?.size ?? 0) < size) grown.set(at, create("arena", size));
      }
    } catch (error) {
      abandon();
      throw error;
    }
    const commit = (): void => {
      let moved = false;
      for (const [at, gpu] of grown) {
        const before = arena[at];
        arena[at] = gpu;
        if (!before) continue;
        actions.copy(before, gpu, before.size);
        drop(before);
        moved = true;
      }
      if (moved) for (const bind of bound.values()) bind();
    };
    return { pieces: [...grown.values()], commit, abandon };
  };
  /** All bytes that are taken once a program has its place. */
  const bytesWith = (spec: ProgramSpec): number => {
    const planned = withoutMemory();
    const { bytes } = compilePlan(spec, machine, planned).arena;
    const fresh = [...planned.states].filter(([tensor]) => !states.has(tensor));
    const held = arena.reduce((sum, { size }) => sum + size, 0);
    return taken + sumBytes(fresh.map(([, buffer]) => buffer)) + Math.max(0, bytes - held);
  };
  const dropArena = (): void => {
    if (bound.size === 0) for (const buffer of arena.splice(0)) drop(buffer);
  };

  const prepare: Memory<B>["prepare"] = (spec, bind) => {
    const has = states.enter();
    /** Where its states lie, also once others could have them. */
    const ofStates = new Map<Buffer, Place<B>>();
    /** Buffers that only this program has, such as those of its checks. */
    const own = new Map<Buffer, Place<B>>();
    let released = false;
    const stateBuffer = (tensor: Tensor): Buffer => {
      const { buffer, place } = has.state(tensor);
      ofStates.set(buffer, place);
      return buffer;
    };
    try {
      reserve(spec);
      const plan = compilePlan(spec, machine, { stateBuffer });
      const { offsets, bytes, sharing } = plan.arena;
      for (const buffer of offsets.keys()) if (buffer.bytes > page) throw actions.tooLarge(buffer.bytes);
      const program: PreparedProgram<B> = {
        plan,
        placeOf(buffer) {
          const root = sharing.get(buffer) ?? buffer;
          const known = ofStates.get(root) ?? own.get(root);
          if (known) return known;
          const offset = offsets.get(root);
          const gpu = arena[Math.floor((offset ?? 0) / page)];
          if (offset !== undefined && gpu) return { gpu, offset: offset % page, bytes: whole(buffer.bytes) };
          if (!root.state) throw new Error(`memory: ${buffer.name} has no place.`);
          const place = { gpu: create(root.name, root.bytes), offset: 0, bytes: root.bytes };
          own.set(root, place);
          return place;
        },
        grow() {
          const growth = growArena(bytes);
          const commit = (): void => {
            growth.commit();
            bind(program);
            if (!released) bound.set(program, () => bind(program));
          };
          return { ...growth, commit };
        },
        leaveStates: () => has.leave(),
        release() {
          if (released) return;
          released = true;
          bound.delete(program);
          for (const { gpu } of own.values()) drop(gpu);
          has.leave();
          dropArena();
        },
      };
      return program;
    } catch (error) {
      has.leave();
      throw error;
    } finally {
      unreserve();
    }
  };

  return {
    state: (tensor) => states.state(tensor).place,
    forget: (tensor) => states.forget(tensor),
    place(spec, bind) {
      try {
        const program = prepare(spec, bind);
        try {
          program.grow().commit();
          return program;
        } catch (error) {
          program.release();
          throw error;
        }
      } catch (error) {
        throw error instanceof NoRoom && actions.noRoom ? actions.noRoom(bytesWith(spec)) : error;
      }
    },
    prepare,
    most: () => most,
  };
}

/** The states that a program reads or changes. */
function statesOf(spec: ProgramSpec): Tensor[] {
  const targets = [...resultsOf(spec), ...(spec.updates ?? []).map(([state]) => state)];
  return [...new Set([...targets, ...ancestors(targets).flatMap(({ outputs }) => outputs)])].filter(
    (tensor) => stateOf(tensor) !== undefined,
  );
}

/** Whether a state stays when the programs that have it are released. */
function lasts(tensor: Tensor): boolean {
  return stateOf(tensor)?.kind === "state";
}
