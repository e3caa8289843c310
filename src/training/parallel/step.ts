// Question: what does one rank compute in a step that it shares with others?
//
// Two programs. The first is a microbatch: forward, backward, and the gradients where the exchange finds them. The second
// is the optimizer on this rank's share of the numbers (layout.ts), with the gradients of all ranks, the norm of all of them and
// the loads of all experts as inputs.
//
// Gradients that are sent after each microbatch pass by, where the runtime shows them between the parts of a program;
// else they are kept in sums, as they are where microbatches are added up before they are sent.

import type { Parameter, ParameterSet } from "../../graph/parameters.ts";
import { input, persistent } from "../../graph/state.ts";
import { type Shape, sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { LanguageModel } from "../../model/language-model.ts";
import { add, scale } from "../../ops/elementwise.ts";
import { fill } from "../../ops/fill.ts";
import type { Machine } from "../../runtime/plan/machine.ts";
import { programInPrecision } from "../../runtime/precision.ts";
import type { ProgramSpec } from "../../runtime/program.ts";
import type { TrainingConfig } from "../config.ts";
import { withAdaptive } from "../optimizers/clipping.ts";
import type { KeptState, States, UpdateRule } from "../optimizers/rule.ts";
import { ruled, updateRule } from "../optimizers/step.ts";
import type { OptimizerSettings } from "../optimizers/table.ts";
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
import { type Place, type Share, sharingOf } from "./share.ts";

/** A rank's numbers of one group: pieces of parameters that follow one rule, [n], or a whole parameter. */
export interface Shard {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  /** What the optimizer keeps of them, by name. */
  readonly states: States;
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
  /** What the optimizer keeps of each trained parameter: names and shapes. */
  readonly kept: readonly UpdateRule["states"][];
  /** What it keeps besides, on every rank alike. */
  readonly replicated: readonly KeptState[];
}

export type SharedStepOptions = Omit<StepOptions, "accumulate"> & Pick<TrainingConfig, "sharded">;

export function buildSharedStep(
  model: LanguageModel,
  parameters: ParameterSet,
  { optimizer, precision, sharded, ...options }: SharedStepOptions,
  share: Share,
  place: Place,
  { runsInParts = false }: Pick<Machine, "runsInParts"> = {},
): SharedStep {
  // While the rows of one half are on their way to the experts, the other half computes.
  const halves = sharingOf(place) && options.batch % 2 === 0 ? 2 : 1;
  const head = buildHead(model, parameters, options, halves);
  const { trained, loss, schedule } = head;
  const sendsEach = share.accumulate === 1 || sharded === "gradients";
  const passes = sendsEach && runsInParts;
  const sent = sendingOrder(trained);
  const sums = passes ? [] : trained.map(({ tensor, name }) => persistent(`${name}.gradient`, tensor.shape));
  const micro = programInPrecision<MicroOutputs>(
    {
      outputs: { loss, loads: head.loads },
      updates: passes
        ? []
        : sent.map((index) => {
            const [sum, gradient] = [sums[index]!, head.gradients[index]!];
            return [sum, sendsEach ? gradient : add(sum, gradient)];
          }),
      passing: passes ? sent.map((index) => head.gradients[index]!) : [],
    },
    precision,
  );
  const added = sendsEach ? [] : sums;
  const { update, ...own } = buildShareUpdate({ ...head, sums: added }, { optimizer, precision }, share, place);
  return { ...head.inputs, schedule, programs: { micro, update }, trained, sendsEach, sums, ...own };
}

/**
 * The order in which the gradients of parameters are sent: that in which the backward pass makes them, the last parameter's
 * first. Of the first sublayer, what its result is multiplied by comes well before the rest. At the end come the embedding's
 * and the rest at once; its own takes little work, and travels while the others are computed.
 */
export function sendingOrder(trained: readonly Pick<Parameter, "name">[]): readonly number[] {
  const first = trained.findIndex(({ name }) => name.startsWith("layers."));
  const scope = `${trained[first]?.name.split(".").slice(0, 3).join(".")}.`;
  const last = trained.findLastIndex(({ name }) => name.startsWith(scope));
  const rank = (index: number): number => {
    if (index < first) return 1;
    return index !== last && trained[index]!.name.startsWith(scope) ? 0 : 2;
  };
  return [...trained.keys()].sort((a, b) => rank(b) - rank(a) || b - a);
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
): Pick<SharedStep, "layout" | "shards" | "clip" | "loads" | "moments" | "kept" | "replicated"> & {
  readonly update: ProgramSpec<UpdateOutputs>;
} {
  const { rules, groups } = groupRules(trained, optimizer);
  const layout = ownLayout(
    trained.map(({ tensor, share }, index) => ({
      size: sizeOf(tensor.shape),
      group: groups.findIndex(({ members }) => members.includes(index)),
      whole: rules[index]!.elementwise === undefined,
      shared: share !== undefined,
    })),
    place,
    { groups: groups.length, bucketBytes: place.bucketBytes ?? BUCKET_BYTES, sent: sendingOrder(trained) },
  );
  const given = input("clip", [2]);
  const { clip, states: replicated, updates: ofClip } = withAdaptive(given, optimizer.clip);
  const loads = head.loads.map(({ shape }, index) => input(`load.${index}`, shape));
  const shards = layout.groups.map((length, group): Shard | undefined => {
    if (length === 0) return undefined;
    const { rule, whole } = groups[group]!;
    const state = (name: string, shape: Shape = whole ?? [length]): Tensor =>
      persistent(`shard.${group}.${name}`, shape);
    const states = Object.entries(rule.states).map(([name, shape]) => [name, state(name, whole && shape)] as const);
    return { parameter: state("parameter"), gradient: state("gradient"), states: Object.fromEntries(states) };
  });
  const updates = shards.flatMap((shard, group): (readonly [Tensor, Tensor])[] => {
    if (!shard) return [];
    const { parameter: param, states } = shard;
    const gradient = scale(shard.gradient, 1 / total);
    const next = groups[group]!.rule.next({ param, gradient, states, schedule, clip });
    return [
      [param, next.param],
      ...Object.entries(states).map(([name, state]): [Tensor, Tensor] => [state, next.states[name]!]),
    ];
  });
  const cleared = accumulate === 1 ? [] : sums.map((sum) => [sum, fill(sum.shape, 0)] as const);
  const update = programInPrecision<UpdateOutputs>(
    { outputs: { clip, squares: [] }, updates: [...updates, ...ofClip, ...balanced(loads, clip), ...cleared] },
    precision,
  );
  const moments = shards.flatMap((shard, group) =>
    Object.entries(shard?.states ?? {}).map(([which, tensor]) => ({ name: `shard.${group}.${which}`, tensor })),
  );
  const kept = rules.map(({ states }) => states);
  return { moments: [...moments, ...replicated], update, layout, shards, clip: given, loads, kept, replicated };
}

/** Parameters that are updated as one tensor. */
interface RuleGroup {
  readonly rule: UpdateRule;
  readonly members: number[];
  /** The shape of its only parameter, which cannot be taken in pieces. */
  readonly whole: Shape | undefined;
}

/** The rule of each parameter, and which of them share one. */
function groupRules(
  trained: readonly Parameter[],
  optimizer: OptimizerSettings,
): { readonly rules: readonly UpdateRule[]; readonly groups: readonly RuleGroup[] } {
  const rules = trained.map((parameter) => updateRule(ruled(parameter), optimizer));
  const groups: RuleGroup[] = [];
  for (const [index, rule] of rules.entries()) {
    const { elementwise } = rule;
    const shared = groups.find((group) => elementwise !== undefined && group.rule.elementwise === elementwise);
    const whole = elementwise === undefined ? trained[index]!.tensor.shape : undefined;
    if (shared) shared.members.push(index);
    else groups.push({ rule, members: [index], whole });
  }
  return { rules, groups };
}
