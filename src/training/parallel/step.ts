// Question: what does one rank compute in a step that it shares with others?
//
// Two programs. The first is a microbatch: forward, backward, and the gradients where the exchange finds them. The second
// is AdamW on this rank's share of the numbers (layout.ts), with the gradients of all ranks, the norm of all of them and
// the loads of all experts as inputs.
//
// Gradients that are sent after each microbatch pass by, where the runtime shows them between the parts of a program;
// else they are kept in sums, as they are where microbatches are added up before they are sent.

import type { Parameter, ParameterSet } from "../../graph/parameters.ts";
import { input, persistent } from "../../graph/state.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { LanguageModel } from "../../model/language-model.ts";
import { adamw } from "../../ops/adamw.ts";
import { add, scale } from "../../ops/elementwise.ts";
import { fill } from "../../ops/fill.ts";
import type { Machine } from "../../runtime/plan/machine.ts";
import { programInPrecision } from "../../runtime/precision.ts";
import type { ProgramSpec } from "../../runtime/program.ts";
import type { TrainingConfig } from "../config.ts";
import {
  buildHead,
  type MicroOutputs,
  type StepGraph,
  type StepHead,
  type StepOptions,
  type UpdateOutputs,
} from "../step.ts";
import { BUCKET_BYTES } from "./layout.ts";
import { type OwnLayout, ownLayout } from "./own-layout.ts";
import type { Place, Share } from "./share.ts";

/** A rank's numbers of one group: n of them, or none. */
export interface Shard {
  /** [n] each. */
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
}

/** The graph of a rank's part of a step. */
export interface SharedStep extends StepGraph {
  readonly trained: readonly Parameter[];
  readonly layout: OwnLayout;
  /** Whether gradients are sent after each microbatch, and no rank keeps more of them than those of its share. */
  readonly sendsEach: boolean;
  /** The gradient of each trained parameter, summed over the microbatches before it is sent; none where it passes by. */
  readonly sums: readonly Tensor[];
  /** By group; undefined where the rank has no number of it. */
  readonly shards: readonly (Shard | undefined)[];
  /** [2]: the norm of all gradients, and the factor that clips them. */
  readonly clip: Tensor;
  /** The tokens of each expert in the whole step, by layer. */
  readonly loads: readonly Tensor[];
}

export type SharedStepOptions = Omit<StepOptions, "accumulate"> & Pick<TrainingConfig, "sharded">;

/** Numbers that decay, and those that do not. */
const GROUPS = 2;

export function buildSharedStep(
  model: LanguageModel,
  parameters: ParameterSet,
  { optimizer, precision, sharded, ...options }: SharedStepOptions,
  share: Share,
  place: Place,
  { runsInParts = false }: Pick<Machine, "runsInParts"> = {},
): SharedStep {
  const head = buildHead(model, parameters, options);
  const { trained, loss, schedule } = head;
  const sendsEach = share.accumulate === 1 || sharded === "gradients";
  const passes = sendsEach && runsInParts;
  const sums = passes ? [] : trained.map(({ tensor, name }) => persistent(`${name}.gradient`, tensor.shape));
  const micro = programInPrecision<MicroOutputs>(
    {
      outputs: { loss, loads: head.loads },
      updates: sums.map((sum, index) => {
        const gradient = head.gradients[index]!;
        return [sum, sendsEach ? gradient : add(sum, gradient)];
      }),
      passing: passes ? head.gradients : [],
    },
    precision,
  );
  const added = sendsEach ? [] : sums;
  const { update, ...own } = buildShareUpdate({ ...head, sums: added }, { optimizer, precision }, share, place);
  return { ...head.inputs, schedule, programs: { micro, update }, trained, sendsEach, sums, ...own };
}

/** The update of a rank's share of some parameters, from the sums of their gradients. */
export function buildShareUpdate(
  {
    trained,
    schedule,
    sums,
    balanced,
    ...head
  }: Pick<StepHead, "trained" | "schedule" | "balanced" | "loads"> & Pick<SharedStep, "sums">,
  { optimizer, precision }: Pick<StepOptions, "optimizer" | "precision">,
  { accumulate, total }: Pick<Share, "accumulate" | "total">,
  place: Place,
): Pick<SharedStep, "layout" | "shards" | "clip" | "loads" | "moments"> & {
  readonly update: ProgramSpec<UpdateOutputs>;
} {
  const { decayed, beta1, beta2, epsilon, weightDecay } = optimizer;
  const layout = ownLayout(
    trained.map(({ tensor, role, share }) => ({
      size: sizeOf(tensor.shape),
      group: decayed.includes(role) ? 0 : 1,
      shared: share !== undefined,
    })),
    place,
    { groups: GROUPS, bucketBytes: place.bucketBytes ?? BUCKET_BYTES },
  );
  const clip = input("clip", [2]);
  const loads = head.loads.map(({ shape }, index) => input(`load.${index}`, shape));
  const shards = layout.groups.map((length, group): Shard | undefined => {
    if (length === 0) return undefined;
    const state = (name: string): Tensor => persistent(`shard.${group}.${name}`, [length]);
    return { parameter: state("parameter"), gradient: state("gradient"), m: state("m"), v: state("v") };
  });
  const updates = shards.flatMap((shard, group): (readonly [Tensor, Tensor])[] => {
    if (!shard) return [];
    const { parameter, m, v } = shard;
    const gradient = scale(shard.gradient, 1 / total);
    const settings = { beta1, beta2, epsilon, weightDecay: group === 0 ? weightDecay : 0 };
    const [next, nextM, nextV] = adamw({ param: parameter, gradient, m, v, schedule, clip }, settings);
    return [
      [parameter, next],
      [m, nextM],
      [v, nextV],
    ];
  });
  const cleared = accumulate === 1 ? [] : sums.map((sum) => [sum, fill(sum.shape, 0)] as const);
  const update = programInPrecision<UpdateOutputs>(
    { outputs: { clip, squares: [] }, updates: [...updates, ...balanced(loads, clip), ...cleared] },
    precision,
  );
  const moments = shards.flatMap((shard, group) =>
    shard ? (["m", "v"] as const).map((which) => ({ name: `shard.${group}.${which}`, tensor: shard[which] })) : [],
  );
  return { moments, update, layout, shards, clip, loads };
}
