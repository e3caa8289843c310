// Question: how much do the maps of a trained model depend on the text, and which tokens take another route than most?
//
// Over the tokens of some validation batches, for each sublayer that mixes streams and each of its maps (pre, post, res):
//
//   variation   √(Σ_m Var h_m / Σ_m mean(h_m)²)     how far a map leaves its mean over tokens, as a share of its size
//   by token    share of Σ_m Var h_m that lies between tokens of different ids: the rest differs within one id
//   by place    the same for the positions in the sequence
//
// An id that occurs once has no variance within, so the share by token of pure noise is (ids − 1) / (tokens − 1), not 0;
// both shares are corrected for that (ω² of an analysis of variance), which may make them a little negative.
// Tokens on another route: ids that occur at least FEWEST times, by how far the mean of their H_res is from that of all
// tokens (Frobenius), in the sublayer whose H_res varies most.
//
// Shapes: h [N, M], M = n² + 2n, N tokens of a batch.

import type { Batches } from "../data/batches.ts";
import { createParameters, type ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { languageModel } from "../model/language-model.ts";
import { streamsOf } from "../ops/manifold-coefficients.ts";
import { inPrecision } from "../runtime/precision.ts";
import type { ProgramSpec } from "../runtime/program.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "../training/config.ts";
import { type BatchConfig, type BatchInputs, batchInputs, writeBatch } from "../training/inputs.ts";
import type { TrainerState } from "../training/state.ts";
import { restoreTensors } from "../training/restore.ts";

/** How one map of a sublayer varies over tokens. */
export interface MapVariation {
  readonly variation: number;
  readonly byToken: number;
  readonly byPlace: number;
}

/** A token whose H_res is far from that of most. */
export interface RoutedToken {
  readonly id: number;
  /** Of the mean of its H_res from that of all tokens. */
  readonly distance: number;
  /** How often it was met. */
  readonly count: number;
}

/** What the routes of a model are. */
export interface Routes {
  readonly tokens: number;
  /** Positions of the sublayers that mix streams. */
  readonly sublayers: readonly number[];
  /** For each of them. */
  readonly pre: readonly MapVariation[];
  readonly post: readonly MapVariation[];
  readonly res: readonly MapVariation[];
  /** The sublayer whose H_res varies most, and its ten tokens that are furthest away. */
  readonly most: { readonly sublayer: number; readonly tokens: readonly RoutedToken[] };
}

/** Rarer ids are no route. */
const FEWEST = 5;
const SHOWN = 10;

/** A model that says its coefficients. */
export interface RoutedModel {
  readonly parameters: ParameterSet;
  readonly inputs: BatchInputs;
  /** Positions of the sublayers that mix. */
  readonly sublayers: readonly number[];
  readonly spec: ProgramSpec<{ readonly coefficients: readonly Tensor[] }>;
}

export function routedModel(config: BatchConfig): RoutedModel {
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  const inputs = batchInputs(config);
  const { sublayers } = model.hidden(inputs.tokens);
  const mixing = sublayers.flatMap(({ coefficients }, index) => (coefficients ? [{ index, coefficients }] : []));
  return {
    parameters,
    inputs,
    sublayers: mixing.map(({ index }) => index),
    spec: { outputs: { coefficients: mixing.map(({ coefficients }) => coefficients) } },
  };
}

/** Sums and sums of squares of the M coefficients by groups of tokens. */
class Groups {
  readonly counts: Map<number, number> = new Map();
  private readonly sums = new Map<number, Float64Array>();
  private readonly size: number;
  constructor(size: number) {
    this.size = size;
  }

  add(group: number, values: ArrayLike<number>, from: number): void {
    this.counts.set(group, (this.counts.get(group) ?? 0) + 1);
    let sums = this.sums.get(group);
    if (!sums) this.sums.set(group, (sums = new Float64Array(this.size)));
    for (let m = 0; m < this.size; m++) sums[m]! += values[from + m]!;
  }

  meanOf(group: number, m: number): number {
    return this.sums.get(group)![m]! / this.counts.get(group)!;
  }

  /** Σ over groups of count · (mean of the group − mean)², for one coefficient. */
  between(m: number, mean: number): number {
    let total = 0;
    for (const [group, count] of this.counts) total += count * (this.meanOf(group, m) - mean) ** 2;
    return total;
  }
}

/** What is added up of one sublayer. */
interface Seen {
  readonly all: Groups;
  readonly byToken: Groups;
  readonly byPlace: Groups;
  readonly squares: Float64Array;
}

/**
 * Measure the coefficients of a trained model on its validation batches.
 *
 * @param checkpoint parameters, such as `trainer.save()`
 * @returns undefined where no sublayer mixes streams
 */
export async function measureRoutes(
  runtime: Runtime,
  config: TrainingConfig,
  checkpoint: Pick<TrainerState, "model">,
  batches: Batches,
  onProgress: (share: number) => void = () => {},
): Promise<Routes | undefined> {
  const { parameters, inputs, sublayers, spec } = routedModel(config);
  const sizes = spec.outputs.coefficients.map(({ shape }) => shape.at(-1)!);
  if (sizes.length === 0) return undefined;
  const program = inPrecision(runtime, config.precision).compile(spec);
  restoreTensors(runtime, parameters.all, checkpoint.model, "model");
  const seen = sizes.map((M): Seen => ({
    all: new Groups(M),
    byToken: new Groups(M),
    byPlace: new Groups(M),
    squares: new Float64Array(M),
  }));
  const all = [...batches.validationBatches()];
  for (const [done, batch] of all.entries()) {
    writeBatch(runtime, inputs, batch);
    program.run();
    const read = await program.read("coefficients");
    for (const [index, values] of read.entries()) observe(seen[index]!, sizes[index]!, values, batch.tokens, config);
    onProgress((done + 1) / all.length);
  }
  program.release();
  for (const { tensor } of parameters.all) runtime.forget(tensor);

  const maps = seen.map((one, index) => {
    const [M, n] = [sizes[index]!, streamsOf(sizes[index]!)];
    return { pre: variationOf(one, 0, n), post: variationOf(one, n, 2 * n), res: variationOf(one, 2 * n, M) };
  });
  const widest = maps.reduce((best, { res }, index) => (res.variation > maps[best]!.res.variation ? index : best), 0);
  return {
    tokens: seen[0]!.all.counts.get(0) ?? 0,
    sublayers,
    pre: maps.map(({ pre }) => pre),
    post: maps.map(({ post }) => post),
    res: maps.map(({ res }) => res),
    most: { sublayer: sublayers[widest]!, tokens: furthest(seen[widest]!, sizes[widest]!) },
  };
}

function observe(
  { all, byToken, byPlace, squares }: Seen,
  M: number,
  values: ArrayLike<number>,
  tokens: Int32Array,
  { model }: Pick<TrainingConfig, "model">,
): void {
  for (const [at, id] of tokens.entries()) {
    const from = at * M;
    all.add(0, values, from);
    byToken.add(id, values, from);
    byPlace.add(at % model.context, values, from);
    for (let m = 0; m < M; m++) squares[m]! += values[from + m]! ** 2;
  }
}

/** Of the coefficients from `from` to before `to`. */
function variationOf({ all, byToken, byPlace, squares }: Seen, from: number, to: number): MapVariation {
  const count = all.counts.get(0) ?? 0;
  let [spread, size] = [0, 0];
  const between = { byToken: 0, byPlace: 0 };
  for (let m = from; m < to; m++) {
    const mean = all.meanOf(0, m);
    spread += Math.max(0, squares[m]! - count * mean ** 2);
    size += count * mean ** 2;
    between.byToken += byToken.between(m, mean);
    between.byPlace += byPlace.between(m, mean);
  }
  // Below the rounding of float32 there is no spread to divide.
  if (!(spread > 1e-12 * size)) return { variation: 0, byToken: 0, byPlace: 0 };
  const share = (sum: number, groups: number): number => {
    const within = (spread - sum) / Math.max(1, count - groups);
    return (sum - (groups - 1) * within) / (spread + within);
  };
  return {
    variation: Math.sqrt(spread / size),
    byToken: share(between.byToken, byToken.counts.size),
    byPlace: share(between.byPlace, byPlace.counts.size),
  };
}

/** Ids whose mean H_res is furthest from that of all tokens. */
function furthest({ all, byToken }: Seen, M: number): RoutedToken[] {
  const from = 2 * streamsOf(M);
  return [...byToken.counts]
    .filter(([, count]) => count >= FEWEST)
    .map(([id, count]) => {
      let squares = 0;
      for (let m = from; m < M; m++) squares += (byToken.meanOf(id, m) - all.meanOf(0, m)) ** 2;
      return { id, count, distance: Math.sqrt(squares) };
    })
    .sort((a, b) => b.distance - a.distance)
    .slice(0, SHOWN);
}
