// Question: what does a schedule ask of one stage?
//
// The schedules say in which order each stage issues its passes (schedules/). From all stages' orders follows what one of
// them must know: which pieces it has, which stages have the same, where a message goes, in which order messages come, and
// in which slot each microbatch lies.

import type { PassPart, Slot } from "../schedules/task.ts";

/** What goes from one piece to a neighbour: the states of a microbatch, or their gradient. */
export interface Parcel {
  readonly kind: "state" | "gradient";
  /** The piece that gets it. */
  readonly position: number;
  readonly microBatch: number;
}

export const keyOf = ({ kind, position, microBatch }: Parcel): string => `${kind} ${position} ${microBatch}`;

export interface StageTable {
  readonly stage: number;
  readonly order: readonly Slot[];
  /** The pieces that this stage has, from the first. */
  readonly positions: readonly number[];
  /** The stages that have the same pieces, with this one. */
  readonly holders: readonly number[];
  /** How many pieces the model is cut into. */
  readonly pieces: number;
  /** How many microbatches of a piece are under way at once. */
  slots(position: number): number;
  slotOf(position: number, microBatch: number): number;
  /** The stage that gets a parcel; undefined where there is no such piece. */
  to(parcel: Parcel): number | undefined;
  /** What each other stage sends to this one, in its order. */
  readonly coming: ReadonlyMap<number, readonly Parcel[]>;
}

/** What a pass sends on; nothing where it is the end of the model, or a pass for weights. */
export function parcelOf({ pass, position, microBatch }: PassPart, pieces: number): Parcel | undefined {
  if (pass === "forward")
    return position + 1 < pieces ? { kind: "state", position: position + 1, microBatch } : undefined;
  if (pass === "weights" || position === 0) return undefined;
  return { kind: "gradient", position: position - 1, microBatch };
}

/** @param orders the slots of all stages, in the order in which each issues them */
export function stageTable(orders: readonly (readonly Slot[])[], stage: number): StageTable {
  const positionsOf = (slots: readonly Slot[]): number[] =>
    [...new Set(slots.flat().map(({ position }) => position))].sort((a, b) => a - b);
  const passes = orders.map((slots) => slots.flat());
  const pieces = Math.max(...passes.flat().map(({ position }) => position)) + 1;
  /** By piece and microbatch: all its passes are of one stage. */
  const stages = new Map<string, number>();
  for (const [index, parts] of passes.entries())
    for (const { position, microBatch } of parts) stages.set(`${position} ${microBatch}`, index);
  const to = ({ position, microBatch }: Parcel): number | undefined => stages.get(`${position} ${microBatch}`);

  const coming = new Map<number, Parcel[]>();
  for (const [from, parts] of passes.entries()) {
    if (from === stage) continue;
    const parcels = parts
      .map((part) => parcelOf(part, pieces))
      .filter((parcel) => parcel !== undefined)
      .filter((parcel) => to(parcel) === stage);
    if (parcels.length > 0) coming.set(from, parcels);
  }
  const positions = positionsOf(orders[stage]!);
  const own = positions.join();
  const placed = placeMicroBatches(passes[stage]!);
  return {
    stage,
    order: orders[stage]!,
    positions,
    holders: orders.flatMap((slots, index) => (positionsOf(slots).join() === own ? [index] : [])),
    pieces,
    slots: (position) => placed.many.get(position) ?? 0,
    slotOf: (position, microBatch) => placed.places.get(`${position} ${microBatch}`)!,
    to,
    coming,
  };
}

/** The lowest free slot for each microbatch, from its forward pass to its last backward pass. */
function placeMicroBatches(parts: readonly PassPart[]): {
  readonly places: ReadonlyMap<string, number>;
  readonly many: ReadonlyMap<number, number>;
} {
  const places = new Map<string, number>();
  const many = new Map<number, number>();
  const taken = new Map<number, Set<number>>();
  for (const { pass, position, microBatch } of parts) {
    const used = taken.get(position) ?? new Set<number>();
    taken.set(position, used);
    const key = `${position} ${microBatch}`;
    if (pass === "backward" || pass === "weights") used.delete(places.get(key)!);
    if (pass !== "forward") continue;
    let free = 0;
    while (used.has(free)) free++;
    used.add(free);
    places.set(key, free);
    many.set(position, Math.max(free + 1, many.get(position) ?? 0));
  }
  return { places, many };
}
