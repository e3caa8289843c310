// Question: where in the one memory of a runtime does everything lie, and for how long?
//
//   for good            a control block, scratch of each thread, scratch of the probe
//   until forgotten     parameters and persistent states; inputs and constants with their last program
//   until released      the words of a program, and what it has prepared (prepared.ts)
//   the arena           values while a program runs; all programs share it, for they run one at a time
//
// The arena is as large as the largest program needs. When a larger one comes it grows, moves where it must,
// and every program is written anew with the new addresses. Nothing here touches the memory itself: the same
// layout counts what a runtime would need that does not exist (../planned/runtime.ts).

import type { Tensor } from "../../graph/tensor.ts";
import type { Device } from "../device.ts";
import type { Buffer, CompiledPlan } from "../plan/calls.ts";
import { compilePlan } from "../plan/compile.ts";
import type { Machine } from "../plan/machine.ts";
import type { ProgramSpec } from "../program.ts";
import { createStates } from "../states.ts";
import { ARGUMENT_BYTES, CONTROL_BYTES, LOCAL_ALIGNMENT, LOCAL_BEGIN, SCRATCH_BYTES } from "./constants.ts";
import { type Place, programSize } from "./encode.ts";
import type { Heap } from "./heap.ts";
import { createPreparations, type OwnPreparations, type Preparations, type ProgramActions } from "./prepared.ts";

/** Addresses below are the kernels' own. */
export const STATIC_BYTES = 4096;

/** Where the local buffers of a thread begin, as kernels/interpreter.ts has it. */
export function localBase(scratch: number): number {
  return Math.floor((scratch + SCRATCH_BYTES + ARGUMENT_BYTES) / LOCAL_ALIGNMENT) * LOCAL_ALIGNMENT + LOCAL_BEGIN;
}

/** What a runtime has in its memory before anything is compiled. */
export interface Reserved {
  readonly control: number;
  /** Of each thread. */
  readonly scratch: readonly number[];
  /** Where the width of panels is tried out. */
  readonly probe: number;
}

export function reserve(heap: Heap, { threads, localBytes }: Device): Reserved {
  // Scratch, arguments and local buffers of a thread; see kernels/interpreter.ts.
  const threadBytes = SCRATCH_BYTES + 2 * ARGUMENT_BYTES + localBytes;
  return {
    control: heap.allocate(CONTROL_BYTES),
    scratch: Array.from({ length: threads }, () => heap.allocate(threadBytes)),
    probe: heap.allocate(SCRATCH_BYTES),
  };
}

/** A state with its place. */
export interface PlacedState {
  readonly buffer: Buffer;
  readonly address: number;
}

/** A program with its place. */
export interface PlacedProgram {
  readonly plan: CompiledPlan;
  /** Address of its words. */
  readonly base: number;
  /** Where a buffer lies now; the arena may move when another program is compiled. */
  placeOf(buffer: Buffer): Place;
  /** What it reads that was prepared of parameters. */
  readonly prepared: Pick<OwnPreparations, "takeStale">;
  /** Its words can be used again, and its inputs and constants where no other program has them. */
  release(): void;
}

/** What the layout asks of whoever has the memory. */
export interface MemoryActions extends ProgramActions {
  /** A state got a place: it holds its first values, or zeros. */
  begin(state: PlacedState): void;
  /** Values of the arena go from one address to another; the two may overlap. */
  move(from: number, to: number, bytes: number): void;
}

export interface Layout extends Pick<Preparations, "changed" | "exposed"> {
  /** A state's place, made when it is first asked for. */
  state(tensor: Tensor): PlacedState;
  /** Give up a state's place; throws an Error while a program has it. */
  forget(tensor: Tensor): void;
  /**
   * Compile a program and give it a place.
   *
   * @param write puts its words at `base`; called now, and again whenever the arena has moved
   */
  place(spec: ProgramSpec, keepAll: boolean, write: (program: PlacedProgram) => void): PlacedProgram;
  arena(): { readonly address: number; readonly bytes: number };
}

export function createLayout(heap: Heap, machine: Machine, memory: MemoryActions): Layout {
  const addresses = new Map<Buffer, number>();
  const rewrite = new Map<PlacedProgram, () => void>();
  let arena: { address: number; bytes: number } | undefined;
  const states = createStates<number>({
    make(buffer) {
      const address = heap.allocate(buffer.bytes);
      addresses.set(buffer, address);
      memory.begin({ buffer, address });
      return address;
    },
    drop({ buffer, place }) {
      addresses.delete(buffer);
      heap.release(place);
    },
  });
  const preparations = createPreparations(heap, addresses, memory);
  const growArena = (bytes: number): void => {
    if (bytes <= (arena?.bytes ?? 0)) return;
    const before = arena;
    arena = { address: before ? heap.resize(before.address, bytes) : heap.allocate(bytes), bytes };
    if (!before || before.address === arena.address) return;
    memory.move(before.address, arena.address, before.bytes);
    for (const write of rewrite.values()) write();
  };

  /** Without programs nothing needs one. */
  const dropArena = (): void => {
    if (rewrite.size > 0 || !arena) return;
    heap.release(arena.address);
    arena = undefined;
  };

  return {
    state(tensor) {
      const { buffer, place } = states.state(tensor);
      return { buffer, address: place };
    },
    forget: (tensor) => states.forget(tensor),
    place(spec, keepAll, write) {
      const own = states.enter();
      const prepared = preparations.enter();
      try {
        const stateBuffer = (tensor: Tensor): Buffer => own.state(tensor).buffer;
        const plan = compilePlan(spec, machine, { keepAll, stateBuffer, prepare: prepared.prepare });
        const { offsets, bytes, locals, sharing } = plan.arena;
        const placeOf = (buffer: Buffer): Place => {
          const root = sharing.get(buffer) ?? buffer;
          const local = locals.get(root);
          if (local) return { local };
          const [address, offset] = [addresses.get(root), offsets.get(root)];
          if (address !== undefined) return { address };
          if (offset === undefined) throw new Error(`layout: ${buffer.name} has no place.`);
          return { address: (arena?.address ?? 0) + offset };
        };
        growArena(bytes);
        const base = heap.allocate(4 * programSize(plan.phases, placeOf));
        const program: PlacedProgram = {
          plan,
          base,
          placeOf,
          prepared,
          release() {
            if (!rewrite.delete(program)) return;
            heap.release(base);
            prepared.leave();
            own.leave();
            dropArena();
          },
        };
        write(program);
        rewrite.set(program, () => write(program));
        return program;
      } catch (error) {
        prepared.leave();
        own.leave();
        dropArena();
        throw error;
      }
    },
    changed: preparations.changed,
    exposed: preparations.exposed,
    arena: () => arena ?? { address: 0, bytes: 0 },
  };
}
