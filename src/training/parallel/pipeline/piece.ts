// Question: what does a stage compute of one piece of the model?
//
// The graph of one microbatch through the piece, forward and backward, in four phases (runtime/cut.ts):
//
//   forward     what leaves the piece, from what enters it
//   recompute   what the backward pass computes again first: it needs nothing from the stage behind, so that it can be done
//               while the gradient is under way (mHC, arXiv 2512.24880, section 4.3.3)
//   input       the gradient of what entered, for the stage before; in the last piece the loss
//   weights     the gradients of the parameters, added to their sums
//
// input and weights may run as one program. Several microbatches are under way at a time; each has a slot, states of its
// own for what one phase carries to the next.

import type { ParameterSet, Parameter } from "../../../graph/parameters.ts";
import { trainedParameters } from "../../../graph/parameters.ts";
import { input, persistent, stateOf } from "../../../graph/state.ts";
import { ancestors, type Node, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import type { LanguageModel, ObservedSublayer, Passing } from "../../../model/language-model.ts";
import { toBfloat16 } from "../../../ops/bfloat16.ts";
import { add, scale } from "../../../ops/elementwise.ts";
import { fill } from "../../../ops/fill.ts";
import { gather } from "../../../ops/gather.ts";
import { gradientsFrom } from "../../../ops/gradients.ts";
import { mean } from "../../../ops/reductions.ts";
import type { Routing } from "../../../model/mixture.ts";
import { carriedForm, cutGraph } from "../../../runtime/cut.ts";
import { programInPrecision } from "../../../runtime/precision.ts";
import type { ProgramSpec } from "../../../runtime/program.ts";
import { type BatchInputs, batchInputs } from "../../inputs.ts";
import { observedOf, type ObservedOutputs } from "../../observe.ts";
import type { Falling, StepOptions } from "../../step.ts";
import { type CutPiece, passingOf, tensorsOf } from "./cuts.ts";

/** The phases, in their order. */
export const phases = ["forward", "recompute", "input", "weights"] as const;
export type Phase = (typeof phases)[number];

/** What a program of a piece tells; what is of another phase, or not there, is undefined. */
export type PieceOutputs = {
  /** What leaves the piece, f32 each. */
  readonly leaving: readonly Tensor[];
  /** The tokens of each expert, of each layer with a mixture. */
  readonly loads: readonly Tensor[];
  readonly loss: Tensor | undefined;
  /** The gradient of what entered. */
  readonly gradients: readonly Tensor[];
};

/** The graph of a piece. */
export interface PieceGraph extends CutPiece {
  readonly position: number;
  /** Tokens of the first piece, targets of the last. */
  readonly batch: BatchInputs;
  /** What enters, and the gradient of what leaves: [f32] each, written before the phases that read them. */
  readonly entering: readonly Tensor[];
  readonly arriving: readonly Tensor[];
  /** What it has of the model; one that nobody uses belongs to the first piece. */
  readonly parameters: readonly Parameter[];
  readonly routing: readonly Routing[];
  readonly falling: readonly Falling[];
  /** Whether anything is done while the gradient is under way. */
  readonly recomputes: boolean;
  /** The forward pass alone, with the loss in the last piece. */
  readonly evaluation: ProgramSpec<Pick<PieceOutputs, "leaving" | "loss">>;
  /** The forward pass alone, and what the instruments look at. */
  readonly observation: ProgramSpec<{
    readonly leaving: readonly Tensor[];
    readonly sublayers: readonly ObservedOutputs[];
  }>;
  readonly observed: readonly ObservedSublayer[];
  /** The forward pass alone, and in the last piece the scores of the token after that at `place`, [1, V]. */
  readonly writing: ProgramSpec<{ readonly leaving: readonly Tensor[]; readonly scores: Tensor | undefined }>;
  /** i32 [1], read by the last piece alone: which of all tokens. */
  readonly place: Tensor;
  /** The states of a slot: where what is carried lies. */
  slot(index: number): Slot;
}

/** A place for one microbatch. */
export interface Slot {
  /** A program of some phases that follow each other. */
  program(first: Phase, last?: Phase): ProgramSpec<PieceOutputs>;
}

/** The programs that a schedule asks for in a slot, as graphs or compiled. */
export interface OfSlot<P> {
  readonly forward: P;
  readonly recompute: P | undefined;
  /** `input` and `weights` in one. */
  readonly backward: P | undefined;
  readonly input: P | undefined;
  readonly weights: P | undefined;
}

/** Those that are there. */
export const programsOf = <P>({ forward, recompute, backward, input: early, weights }: OfSlot<P>): P[] =>
  [forward, recompute, backward, early, weights].filter((each) => each !== undefined);

export interface PieceOptions extends Pick<StepOptions, "batch" | "precision" | "storeEvery" | "data"> {
  /** Microbatches whose gradients are added up. */
  readonly accumulate: number;
}

/** The pieces that a stage has, and how many numbers enter each piece of the model, by tensor. */
export interface Pieces {
  readonly own: readonly PieceGraph[];
  readonly boundaries: readonly (readonly number[])[];
}

/**
 * The graphs of some pieces of a model.
 *
 * @param cut all pieces of the model
 * @param wanted positions
 * @param sumOf the state in which the gradients of a parameter are summed
 */
export function buildPieces(
  model: LanguageModel,
  parameters: ParameterSet,
  cut: readonly CutPiece[],
  wanted: readonly number[],
  options: PieceOptions,
  sumOf: (parameter: Parameter) => Tensor,
): Pieces {
  const { batch, storeEvery } = options;
  const { context: length } = model.config;
  const inputs = batchInputs({ batch, model: model.config, ...(options.data ? { data: options.data } : {}) });
  const place = input("place", [1], "i32");
  const unused = new Set(trainedParameters(parameters));
  const drafts: Draft[] = [];
  let before: Passing | undefined;
  for (const [position, { from, to }] of cut.entries()) {
    const entering = before ? tensorsOf(before).map(({ shape }) => input(`entering.${position}`, shape)) : [];
    const passing = before
      ? passingOf(
          before,
          tensorsOf(before).map(({ dtype }, at) => (dtype === "bf16" ? toBfloat16(entering[at]!) : entering[at]!)),
        )
      : model.enter(inputs.tokens);
    const { leaving, sublayers, routing } = model.through(passing, { batch, length, from, to, storeEvery });
    const last = position === cut.length - 1;
    const hidden_NC = last ? model.leave(leaving) : undefined;
    const loss = hidden_NC && model.loss(hidden_NC, inputs.targets, inputs.weights);
    const scores = hidden_NC && model.logits(gather(hidden_NC, place));
    const edge = tensorsOf(leaving).map(carriedForm);
    const nodes = new Set(ancestors([...edge, ...(loss ? [loss] : [])]));
    const own = parameters.all.filter(({ tensor }) => nodes.has(tensor.node));
    for (const parameter of own) unused.delete(parameter);
    drafts.push({ position, from, to, entering, edge, sublayers, routing, loss, scores, own });
    before = leaving;
  }
  const own = drafts
    .filter(({ position }) => wanted.includes(position))
    .map((draft) => {
      const all = draft.position === 0 ? [...draft.own, ...unused] : draft.own;
      return completePiece(model, { ...draft, own: all }, { batch: inputs, place }, options, sumOf);
    });
  return { own, boundaries: drafts.map(({ entering }) => entering.map(({ shape }) => sizeOf(shape))) };
}

interface Draft extends CutPiece {
  readonly position: number;
  readonly entering: readonly Tensor[];
  readonly edge: readonly Tensor[];
  readonly sublayers: readonly ObservedSublayer[];
  readonly routing: readonly Routing[];
  readonly loss: Tensor | undefined;
  readonly scores: Tensor | undefined;
  readonly own: readonly Parameter[];
}

function completePiece(
  model: LanguageModel,
  { position, from, to, entering, edge, sublayers, routing, loss, scores, own }: Draft,
  { batch, place }: { readonly batch: BatchInputs; readonly place: Tensor },
  { precision, accumulate }: PieceOptions,
  sumOf: (parameter: Parameter) => Tensor,
): PieceGraph {
  const { balanceLoss = 0 } = model.config.feedForward ?? {};
  const arriving = loss ? [] : edge.map(({ shape }) => input(`arriving.${position}`, shape));
  const minimised = [
    ...sublayers.flatMap(({ penalty }) => penalty ?? []),
    ...routing.flatMap(({ unevenness_B }) => (unevenness_B ? [scale(mean(unevenness_B), balanceLoss)] : [])),
  ];
  const seeds: (readonly [Tensor, Tensor])[] = [
    ...(loss ? [[loss, fill([], 1)] as const] : edge.map((tensor, at) => [tensor, arriving[at]!] as const)),
    ...minimised.map((tensor) => [tensor, fill([], 1)] as const),
  ];
  const trained = own.filter(({ role }) => role !== "balance");
  const all = gradientsFrom(seeds, [...entering, ...trained.map(({ tensor }) => tensor)]);
  const byParameter = all.slice(entering.length);
  const whole = programInPrecision(
    {
      outputs: {
        edge,
        loads: routing.map(({ load_E }) => load_E),
        loss,
        gradients: all.slice(0, entering.length),
      },
      updates: trained.map((parameter, index): [Tensor, Tensor] => {
        const sum = sumOf(parameter);
        return [sum, accumulate === 1 ? byParameter[index]! : add(sum, byParameter[index]!)];
      }),
    },
    precision,
  );
  const { outputs, updates = [] } = whole;
  const early = loss
    ? []
    : recomputedEarly(
        [...outputs.edge, ...outputs.loads],
        [...outputs.gradients, ...updates.map(([, to]) => to)],
        arriving,
      );
  const graph = cutGraph([
    [...outputs.edge, ...outputs.loads],
    early,
    [...(outputs.loss ? [outputs.loss] : []), ...outputs.gradients],
    updates.map(([, value]) => value),
  ]);

  return {
    position,
    from,
    to,
    batch,
    entering,
    arriving,
    parameters: own,
    routing,
    falling: sublayers.flatMap(({ falling }) => falling ?? []),
    recomputes: early.length > 0,
    observation: programInPrecision(
      { outputs: { leaving: loss ? [] : edge, sublayers: observedOf(sublayers) } },
      precision,
    ),
    observed: sublayers,
    place,
    writing: programInPrecision({ outputs: { leaving: loss ? [] : edge, scores } }, precision),
    evaluation: { outputs: { leaving: loss ? [] : outputs.edge, loss: outputs.loss } },
    slot(index) {
      const states = new Map<Tensor, Tensor>();
      for (const { tensor } of graph.carried)
        states.set(
          tensor,
          persistent(`slot.${position}.${index}`, tensor.shape, tensor.dtype === "i32" ? "i32" : "f32"),
        );
      return {
        program(first, last = first) {
          const [begin, end] = [phases.indexOf(first), phases.indexOf(last)];
          const has = (phase: Phase): boolean => phases.indexOf(phase) >= begin && phases.indexOf(phase) <= end;
          const placed = graph.program(begin, (tensor) => states.get(tensor)!);
          const leaves = has("forward") && !loss;
          return {
            outputs: {
              leaving: leaves ? outputs.edge.map(placed) : [],
              loads: has("forward") ? outputs.loads.map(placed) : [],
              loss: has("input") && outputs.loss ? placed(outputs.loss) : undefined,
              gradients: has("input") ? outputs.gradients.map(placed) : [],
            },
            updates: [
              ...graph.carried
                .filter(({ from: made, until }) => made >= begin && made <= end && until > end)
                .map(({ tensor }): [Tensor, Tensor] => [states.get(tensor)!, carriedForm(placed(tensor))]),
              ...(has("weights") ? updates.map(([sum, value]): [Tensor, Tensor] => [sum, placed(value)]) : []),
            ],
          };
        },
      };
    },
  };
}

/**
 * What the backward pass computes again before all else: the copies of the last group of sublayers, which the states
 * that the forward pass has stored suffice for.
 */
function recomputedEarly(
  forward: readonly Tensor[],
  backward: readonly Tensor[],
  arriving: readonly Tensor[],
): Tensor[] {
  const before = ancestors(forward);
  const segment = before.findLast((node) => node.segment !== undefined)?.segment;
  if (segment === undefined) return [];
  const done = new Set(before);
  const waits = new Set<Node>(arriving.map(({ node }) => node));
  const early: Tensor[] = [];
  for (const node of ancestors(backward)) {
    if (node.inputs.some((tensor) => waits.has(tensor.node))) waits.add(node);
    else if (!done.has(node) && node.again && node.segment === segment && !stateOf(node.outputs[0]!))
      early.push(...node.outputs);
  }
  return early;
}
