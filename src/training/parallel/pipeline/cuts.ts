// Question: where is a model cut into the pieces of a pipeline?
//
// Between sublayers; where a run recomputes, at the states that it stores, so that no group is torn. Of all ways to cut
// it is the one whose dearest piece is cheapest, by what the graph's nodes compute and move. The output matrix belongs
// to the last piece.

import type { State } from "../../../connections/connection.ts";
import { createParameters } from "../../../graph/parameters.ts";
import { input } from "../../../graph/state.ts";
import { ancestors, byteSize, flopsOf, type Tensor } from "../../../graph/tensor.ts";
import type { ModelConfig } from "../../../model/config.ts";
import { languageModel, type Passing } from "../../../model/language-model.ts";

/** Sublayers from..to, the last not included. */
export interface CutPiece {
  readonly from: number;
  readonly to: number;
}

/** A byte that is moved takes as long as so many floating-point operations: what a processor's core does in that time. */
const FLOPS_OF_BYTE = 8;

/** How many pieces a model can be cut into. */
export const mostPieces = ({ layers }: Pick<ModelConfig, "layers">, storeEvery = 1): number =>
  Math.ceil((2 * layers) / storeEvery);

/**
 * @param pieces from 1 to `mostPieces`
 * @param storeEvery sublayers between stored states; absent where all is stored
 */
export function cutModel(config: ModelConfig, pieces: number, storeEvery = 1): CutPiece[] {
  const costs = costsOf(config);
  const ends: number[] = [];
  for (let end = storeEvery; end < costs.length; end += storeEvery) ends.push(end);
  ends.push(costs.length);
  const sums = [0];
  for (const cost of costs) sums.push(sums.at(-1)! + cost);
  // best[k][e]: the dearest of k pieces that end at ends[e], at its least, and where the piece before the last ends.
  type Best = { readonly most: number; readonly before: number };
  let best: Best[] = ends.map((end) => ({ most: sums[end]!, before: -1 }));
  const rows = [best];
  for (let k = 2; k <= pieces; k++) {
    const shorter = best;
    best = ends.map((end, e) => {
      let least: Best = { most: Number.POSITIVE_INFINITY, before: -1 };
      for (let before = k - 2; before < e; before++) {
        const most = Math.max(shorter[before]!.most, sums[end]! - sums[ends[before]!]!);
        if (most < least.most) least = { most, before };
      }
      return least;
    });
    rows.push(best);
  }
  const cut: CutPiece[] = [];
  for (let k = pieces - 1, e = ends.length - 1; k >= 0; k--) {
    const { before } = rows[k]![e]!;
    cut.unshift({ from: before < 0 ? 0 : ends[before]!, to: ends[e]! });
    e = before;
  }
  return cut;
}

/** What each sublayer costs forward, for one sequence; the last with what follows it. */
function costsOf(config: ModelConfig): number[] {
  const model = languageModel(config, createParameters());
  const [batch, length] = [1, config.context];
  const tokens = input("tokens", [batch, length], "i32");
  let passing = model.enter(tokens);
  const costs: number[] = [];
  for (let index = 0; index < model.sublayers; index++) {
    const { leaving } = model.through(passing, { batch, length, from: index, to: index + 1 });
    costs.push(costOf(tensorsOf(leaving), tensorsOf(passing)));
    passing = leaving;
  }
  const loss = model.loss(model.leave(passing), input("targets", [batch, length], "i32"));
  costs.push(costs.pop()! + costOf([loss], tensorsOf(passing)));
  return costs;
}

function costOf(results: readonly Tensor[], boundary: readonly Tensor[]): number {
  return ancestors(results, boundary).reduce((sum, node) => {
    const bytes = [...node.inputs, ...node.outputs].reduce((all, tensor) => all + byteSize(tensor), 0);
    return node.inputs.length === 0 ? sum : sum + flopsOf(node) + FLOPS_OF_BYTE * bytes;
  }, 0);
}

/** The tensors that pass from one piece to the next, in order. */
export function tensorsOf({ state, firstValues, keyValues }: Passing): Tensor[] {
  return [state, firstValues ?? [], keyValues ?? []].flatMap(listOf);
}

const listOf = (state: State): readonly Tensor[] => ("node" in state ? [state] : state);

/** The same passing with other tensors in place of its own. */
export function passingOf({ state, firstValues, keyValues }: Passing, tensors: readonly Tensor[]): Passing {
  let at = 0;
  const alike = (one: State): State => ("node" in one ? tensors[at++]! : tensors.slice(at, (at += one.length)));
  return {
    state: alike(state),
    ...(firstValues ? { firstValues: tensors[at++]! } : {}),
    ...(keyValues ? { keyValues: alike(keyValues) } : {}),
  };
}
