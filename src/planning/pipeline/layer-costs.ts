// Question: what does a pass cost, broken down into layers, transfers to and from the experts, and the connection?
//
// A layer forward:  pre^A  ATTN  post^A  pre^M  DISPATCH  MLP  COMBINE  post^M
// and backward:     post^M  COMBINE  MLP  (W)  DISPATCH  pre^M  post^A  ATTN  pre^A  (W)
// where pre reads a sublayer's input from the streams (with the coefficients) and post writes its output back.
// DISPATCH and COMBINE run on the link. Weaving a forward with a backward pass (F&B) takes turns, so that the
// transfers of one overlap the computation of the other: DeepSeek-V3 report (arXiv 2412.19437) figure 4 and
// mHC paper (arXiv 2512.24880) figure 4, whose lanes are
//   compute         MLP(B) MLP(W) MLP(F) pre^M(B) post^A(B) ATTN(B) pre^A(B) ATTN(W) recompute pre^A(F) ATTN(F) ...
//   communication   DISPATCH(F)          DISPATCH(B)                 COMBINE(F)      PP        COMBINE(B)
//   priority        post^M(F) after COMBINE(F), post^M(B) before COMBINE(B)

import { expectFields, expectGiven, type FieldRules } from "../../basics/fields.ts";
import { expectAmount } from "../../basics/ranges.ts";
import { MOST_LAYERS } from "../../basics/bounds.ts";
import type {
  PipelineCosts,
  TaskKind,
  PipelinePass,
  Piece,
  TaskStream,
} from "../../training/parallel/schedules/task.ts";

/** Times of a computation: forward, backward for its input, backward for its weights. */
export interface ComputeTimes {
  readonly forward: number;
  readonly input: number;
  readonly weights: number;
}

/** Times of one sublayer's connection. A kernel whose time is 0 is left out. */
export interface ConnectionTimes {
  readonly pre: { readonly forward: number; readonly backward: number };
  readonly post: { readonly forward: number; readonly backward: number };
  /** Time to compute the connection's intermediates of a whole layer again, before its backward pass. */
  readonly recompute: number;
}

/** Times of one layer for one micro-batch, in any one unit. */
export interface LayerTimes {
  readonly attention: ComputeTimes;
  readonly mlp: ComputeTimes;
  /** Sending tokens to their experts, and bringing the results back. */
  readonly dispatch: number;
  readonly combine: number;
  readonly connection: ConnectionTimes;
  /** A message from a stage to the next. */
  readonly message: number;
}

/** The two measures of the mHC paper's section 4.3.3, each of which can be left out. */
export interface Overlap {
  /** post of the MLP runs on a stream of high priority instead of in order. */
  readonly priority: boolean;
  /** Recomputation starts from the input that the stage has stored, and does not wait for the neighbour's gradient. */
  readonly decoupled: boolean;
}

/** Both measures: the mHC paper's schedule. */
export const fullOverlap: Overlap = { priority: true, decoupled: true };
/** Neither measure: everything runs in order, and recomputation waits for the gradient. */
export const noOverlap: Overlap = { priority: false, decoupled: false };

/**
 * Costs of passes over `layers` layers.
 *
 * @throws RangeError if the number of layers is not a whole number of at least 1
 */
export function layerCosts(times: LayerTimes, layers: number, overlap: Overlap): PipelineCosts {
  expectTimes(times);
  expectFields("layerCosts", overlap, overlapRules, "measure");
  if (!Number.isInteger(layers) || layers < 1 || layers > MOST_LAYERS)
    throw new RangeError(
      `A piece of the model needs a whole number of layers, from 1 to ${MOST_LAYERS}, got ${layers}. Choose a number of layers that the chunks divide.`,
    );
  return {
    message: times.message,
    pieces(passes): Piece[] {
      const slot = new SlotBuilder(times, layers, overlap, passes);
      if (passes.length > 1) weave(slot, layers, overlap);
      else writers[passes[0]!](slot, layers, overlap);
      return slot.pieces;
    },
  };
}

const timeRules: FieldRules<LayerTimes> = {
  attention: "group",
  mlp: "group",
  dispatch: "number",
  combine: "number",
  connection: "group",
  message: "number",
};
const computeRules: FieldRules<ComputeTimes> = { forward: "number", input: "number", weights: "number" };
const connectionRules: FieldRules<ConnectionTimes> = { pre: "group", post: "group", recompute: "number" };
const kernelRules: FieldRules<ConnectionTimes["pre"]> = { forward: "number", backward: "number" };
const overlapRules: FieldRules<Overlap> = { priority: "flag", decoupled: "flag" };

/** Throw unless all times of a layer are there, and none is negative. */
function expectTimes(times: LayerTimes): void {
  expectAll("layerCosts", times, timeRules);
  expectAll("layerCosts: attention", times.attention, computeRules);
  expectAll("layerCosts: mlp", times.mlp, computeRules);
  expectAll("layerCosts: connection", times.connection, connectionRules);
  expectAll("layerCosts: connection.pre", times.connection.pre, kernelRules);
  expectAll("layerCosts: connection.post", times.connection.post, kernelRules);
}

function expectAll<Times extends object>(place: string, times: Times, rules: FieldRules<Times>): void {
  expectFields(place, times, rules, "time");
  expectGiven(place, times, rules, Object.keys(rules) as (keyof Times & string)[]);
  for (const [name, time] of Object.entries(times)) if (typeof time === "number") expectAmount(place, name, time);
}

type Writer = (slot: SlotBuilder, layers: number, overlap: Overlap) => void;

const writers: Readonly<Record<PipelinePass, Writer>> = {
  forward(slot, layers) {
    for (let layer = 0; layer < layers; layer++) {
      slot.attentionForward();
      slot.mlpForward();
      slot.postForward();
    }
  },
  backward: (slot, layers) => backwardAlone(slot, layers, true),
  input: (slot, layers) => backwardAlone(slot, layers, false),
  weights(slot, layers) {
    for (let layer = 0; layer < layers; layer++) {
      slot.weights("MLP");
      slot.weights("ATTN");
    }
  },
};

function backwardAlone(slot: SlotBuilder, layers: number, weights: boolean): void {
  slot.recompute();
  slot.postBackward();
  for (let layer = 0; layer < layers; layer++) {
    slot.mlpBackward();
    if (weights) slot.weights("MLP");
    slot.attentionBackward();
    if (layer < layers - 1) slot.postBackward();
    if (weights) slot.weights("ATTN");
  }
}

/** F&B: one direction computes while the other communicates. */
function weave(slot: SlotBuilder, layers: number, { decoupled }: Overlap): void {
  // Recomputation that must wait for a gradient would hold up the forward pass behind it.
  if (decoupled) slot.recompute();
  slot.attentionForward();
  if (!decoupled) slot.recompute();
  slot.postBackward();
  for (let layer = 0; layer < layers; layer++) {
    slot.mlpBackward();
    slot.weights("MLP");
    slot.mlpForward();
    slot.attentionBackward();
    if (layer < layers - 1) slot.postBackward();
    slot.weights("ATTN");
    slot.postForward();
    if (layer < layers - 1) slot.attentionForward();
  }
}

const LETTER = { forward: "F", backward: "B" } as const;
type Direction = keyof typeof LETTER;

/** Adds the pieces of a slot in the order of issue. Each direction is a chain through its layers. */
class SlotBuilder {
  readonly pieces: Piece[] = [];
  readonly #times: LayerTimes;
  readonly #layers: number;
  readonly #overlap: Overlap;
  readonly #part: Readonly<Record<Direction, number>>;
  readonly #weightsAlone: boolean;
  /** The last piece of each direction's chain, and the piece that the current layer's weight gradients need. */
  readonly #last: { [Kind in Direction | "recompute" | "weights"]?: number | undefined } = {};
  readonly #done: Record<Direction, number> = { forward: 0, backward: 0 };

  constructor(times: LayerTimes, layers: number, overlap: Overlap, passes: readonly PipelinePass[]) {
    this.#times = times;
    this.#layers = layers;
    this.#overlap = overlap;
    this.#part = { forward: 0, backward: passes.length - 1 };
    this.#weightsAlone = passes[0] === "weights";
  }

  attentionForward(): void {
    const { attention, connection, dispatch } = this.#times;
    this.#chain("forward", "pre^A", "connection", "compute", connection.pre.forward);
    this.#chain("forward", "ATTN", "forward", "compute", attention.forward);
    this.#chain("forward", "post^A", "connection", "compute", connection.post.forward);
    this.#chain("forward", "pre^M", "connection", "compute", connection.pre.forward);
    this.#chain("forward", "DISPATCH", "dispatch", "communication", dispatch);
  }

  mlpForward(): void {
    const { mlp, combine, connection } = this.#times;
    const ends = ++this.#done.forward === this.#layers;
    const sends = ends && connection.post.forward === 0;
    this.#chain("forward", "MLP", "forward", "compute", mlp.forward, sends && combine === 0);
    this.#chain("forward", "COMBINE", "combine", "communication", combine, sends);
  }

  postForward(): void {
    const stream = this.#overlap.priority ? "priority" : "compute";
    const ends = this.#done.forward === this.#layers;
    this.#chain("forward", "post^M", "connection", stream, this.#times.connection.post.forward, ends);
  }

  recompute(): void {
    const duration = this.#times.connection.recompute * this.#layers;
    if (duration === 0) return;
    this.#last.recompute = this.#add("recompute", "recompute", "compute", duration, this.#part.backward, [], {
      waits: this.#overlap.decoupled ? "forward" : "arrival",
    });
  }

  postBackward(): void {
    const { connection, combine } = this.#times;
    const stream = this.#overlap.priority ? "priority" : "compute";
    this.#chain("backward", "post^M", "connection", stream, connection.post.backward);
    this.#chain("backward", "COMBINE", "combine", "communication", combine);
  }

  mlpBackward(): void {
    this.#chain("backward", "MLP", "backward", "compute", this.#times.mlp.input);
    this.#last.weights = this.#last.backward;
    this.#chain("backward", "DISPATCH", "dispatch", "communication", this.#times.dispatch);
  }

  attentionBackward(): void {
    const { attention, connection } = this.#times;
    const ends = ++this.#done.backward === this.#layers;
    this.#chain("backward", "pre^M", "connection", "compute", connection.pre.backward);
    this.#chain("backward", "post^A", "connection", "compute", connection.post.backward);
    const sends = ends && connection.pre.backward === 0;
    this.#chain("backward", "ATTN", "backward", "compute", attention.input, sends);
    this.#last.weights = this.#last.backward;
    this.#chain("backward", "pre^A", "connection", "compute", connection.pre.backward, ends);
  }

  weights(sublayer: "ATTN" | "MLP"): void {
    const duration = (sublayer === "ATTN" ? this.#times.attention : this.#times.mlp).weights;
    const part = this.#part.backward;
    if (this.#weightsAlone)
      this.#add(`${sublayer}(W)`, "weights", "compute", duration, part, [], { waits: "arrival", sends: true });
    else this.#add(`${sublayer}(W)`, "weights", "compute", duration, part, [this.#last.weights!]);
  }

  #chain(way: Direction, name: string, kind: TaskKind, stream: TaskStream, duration: number, sends = false): void {
    // A kernel that takes no time is left out. The computation itself stays, because other pieces wait for it.
    if (duration === 0 && kind !== "forward" && kind !== "backward") return;
    const last = this.#last[way];
    const after = last === undefined ? [] : [last];
    if (way === "backward" && last === undefined && this.#last.recompute !== undefined)
      after.push(this.#last.recompute);
    this.#last[way] = this.#add(`${name}(${LETTER[way]})`, kind, stream, duration, this.#part[way], after, {
      ...(last === undefined ? { waits: "arrival" } : {}),
      sends,
    });
  }

  #add(
    label: string,
    kind: TaskKind,
    stream: TaskStream,
    duration: number,
    part: number,
    after: readonly number[],
    more: Pick<Piece, "waits" | "sends"> = {},
  ): number {
    return this.pieces.push({ label, kind, stream, duration, parts: [part], after, ...more }) - 1;
  }
}
