// Question: what does one rank compute in a step that it shares with others?
//
// Two programs. The first is a microbatch: forward, backward, and the gradients kept where the exchange finds them. The
// second is the optimizer on this rank's share of the numbers (layout.ts), with the gradients of all ranks, the norm of all
// of them and the loads of all experts as inputs.

import type { Parameter, ParameterSet } from "../../graph/parameters.ts";
import { input, persistent } from "../../graph/state.ts";
import { type Shape, sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { LanguageModel } from "../../model/language-model.ts";
import { add, scale } from "../../ops/elementwise.ts";
import { fill } from "../../ops/fill.ts";
import { programInPrecision } from "../../runtime/precision.ts";
import type { ProgramSpec } from "../../runtime/program.ts";
import { withAdaptive } from "../optimizers/clipping.ts";
import type { States, UpdateRule } from "../optimizers/rule.ts";
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
import { BUCKET_BYTES, createLayout, type Layout } from "./layout.ts";
import type { Place, Share } from "./share.ts";

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
  readonly layout: Layout;
  /** The gradient of each trained parameter, summed over the rank's microbatches. */
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
  readonly replicated: readonly Replicated[];
}

/** A state that is the same on every rank. */
type Replicated = StepGraph["moments"][number];

export function buildSharedStep(
  model: LanguageModel,
  parameters: ParameterSet,
  { optimizer, precision, ...options }: Omit<StepOptions, "accumulate">,
  share: Share,
  place: Place,
): SharedStep {
  const head = buildHead(model, parameters, options);
  const { trained, loss, schedule } = head;
  const { accumulate } = share;
  const sums = trained.map(({ tensor, name }) => persistent(`${name}.gradient`, tensor.shape));
  const micro = programInPrecision<MicroOutputs>(
    {
      outputs: { loss, loads: head.loads },
      updates: sums.map((sum, index) => {
        const gradient = head.gradients[index]!;
        return [sum, accumulate === 1 ? gradient : add(sum, gradient)];
      }),
    },
    precision,
  );
  const { update, ...own } = buildShareUpdate({ ...head, sums }, { optimizer, precision }, share, place);
  return { ...head.inputs, schedule, programs: { micro, update }, trained, sums, ...own };
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
  { rank, size, bucketBytes = BUCKET_BYTES }: Place,
): Pick<SharedStep, "layout" | "shards" | "clip" | "loads" | "moments" | "kept" | "replicated"> & {
  readonly update: ProgramSpec<UpdateOutputs>;
} {
  const { rules, groups } = groupRules(trained, optimizer);
  const layout = createLayout(
    trained.map(({ tensor }, index) => ({
      size: sizeOf(tensor.shape),
      group: groups.findIndex(({ members }) => members.includes(index)),
      whole: rules[index]!.elementwise === undefined,
    })),
    { ranks: size, groups: groups.length, bucketBytes },
  );
  const given = input("clip", [2]);
  const { clip, states: replicated, updates: ofClip } = withAdaptive(given, optimizer.clip);
  const loads = head.loads.map(({ shape }, index) => input(`load.${index}`, shape));
  const shards = layout.groups[rank]!.map((length, group): Shard | undefined => {
    if (length === 0) return undefined;
    const { rule, whole } = groups[group]!;
    const state = (name: string, shape: Shape): Tensor => persistent(`shard.${group}.${name}`, shape);
    return {
      parameter: state("parameter", whole ?? [length]),
      gradient: state("gradient", whole ?? [length]),
      states: Object.fromEntries(
        Object.entries(rule.states).map(([name, shape]) => [name, state(name, whole ? shape : [length])]),
      ),
    };
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
    if (shared) shared.members.push(index);
    else
      groups.push({
        rule,
        members: [index],
        whole: elementwise === undefined ? trained[index]!.tensor.shape : undefined,
      });
  }
  return { rules, groups };
}
