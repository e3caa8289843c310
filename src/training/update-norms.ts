// Question: how large are a step's gradients, and by what share did it change the parameters?
//
// By sublayer (its connection, norm and block together) and by role. The norm of a gradient is that of the
// whole batch before clipping; the share is ‖after − before‖ / ‖before‖ (Euclidean).

import type { Parameter } from "../graph/parameters.ts";
import { sublayerRole } from "../model/overrides.ts";
import type { Instruments } from "../stability/instruments.ts";
import { groupNorms, type GroupSquares } from "../stability/measure.ts";

/** One entry for each trained parameter. */
export interface ObservedUpdate {
  /** Sums of squares of the gradients. */
  readonly squares: readonly number[];
  /** Sums of squares of the values before, and of their changes. */
  readonly moves: readonly (readonly [weight: number, update: number])[];
}

/** Norms of what one step did to the parameters of a language model. */
export function measureUpdate(
  trained: readonly Pick<Parameter, "name" | "role">[],
  { squares, moves }: ObservedUpdate,
): Required<Pick<Instruments, "gradient" | "groups">> {
  const groups: Record<string, GroupSquares> = {};
  const sublayers: number[] = [];
  for (const [index, { name, role }] of trained.entries()) {
    const [weight, update] = moves[index]!;
    const sum = groups[role] ?? { gradient: 0, weight: 0, update: 0 };
    groups[role] = {
      gradient: sum.gradient + squares[index]!,
      weight: sum.weight + weight,
      update: sum.update + update,
    };
    const at = sublayerOf(name);
    if (at !== undefined) sublayers[at] = (sublayers[at] ?? 0) + squares[index]!;
  }
  return {
    gradient: sublayers.map(Math.sqrt),
    groups: Object.fromEntries(Object.entries(groups).map(([role, sums]) => [role, groupNorms(sums)])),
  };
}

/** The position of the sublayer that a parameter is in: layers.3.attention.qkv → 6. */
function sublayerOf(name: string): number | undefined {
  const [, layer, role] = /^layers\.(\d+)\.(\w+)\./.exec(name) ?? [];
  if (layer === undefined) return undefined;
  const first = 2 * Number(layer);
  return sublayerRole(first) === role ? first : first + 1;
}

/** Sums of squares: of the values before, and of their changes. */
export function squaresOf(before: ArrayLike<number>, after: ArrayLike<number>): [weight: number, update: number] {
  let [weight, update] = [0, 0];
  for (let at = 0; at < before.length; at++) {
    const was = before[at]!;
    const moved = after[at]! - was;
    weight += was * was;
    update += moved * moved;
  }
  return [weight, update];
}
