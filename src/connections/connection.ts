// Question: how do layers pass information on?
//
// Every topology answers with the same three steps. What passes between two sublayers is the state, and
// only the connection knows what is in it: plain channels [T, C], n parallel streams of them [T, n, C],
// or several tensors, such as the outputs of all sublayers so far.
//
//   state = connection.expand(embedding_TC)
//   state = sublayer.apply(state, F).state    for every sublayer F: [T, C] -> [T, C]
//   hidden_TC = connection.collapse(state)
//
// Legend: T tokens, n streams, C channels, M = n² + 2n coefficients (pre | post | res).

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { MOST_STREAMS } from "../basics/bounds.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import { ShapeError, type Tensor } from "../graph/tensor.ts";
import { toBfloat16, type StreamPrecision, toFloat32 } from "../ops/bfloat16.ts";

/** Any block, for example one that you write: a function of tokens to tokens of the same shape. */
export type Block = (x_TC: Tensor) => Tensor;

/** What passes between two sublayers. Only the connection that made it looks inside. */
export type State = Tensor | readonly Tensor[];

/** What a connection needs to know about a sublayer before it makes its parameters. */
export interface SublayerOptions {
  /** Channels C. */
  readonly channels: number;
  /** How many sublayers the state has been through before this one; initialisations use it to tell streams apart. */
  readonly index: number;
}

const sublayerRules: FieldRules<SublayerOptions> = { channels: "number", index: "number" };

/**
 * Throw unless a sublayer is asked for with what it needs.
 *
 * @param name of the connection
 */
export function expectSublayer(name: string, options: SublayerOptions): void {
  expectFields(`${name}.sublayer`, options, sublayerRules);
  const { channels, index } = options;
  if (!Number.isInteger(channels) || channels < 1)
    throw new RangeError(`${name}.sublayer: channels is ${channels}; it must be a whole number of at least 1.`);
  if (!Number.isInteger(index) || index < 0)
    throw new RangeError(
      `${name}.sublayer: index is ${index}; it must be a whole number of at least 0: how many sublayers come before this one.`,
    );
}

/** Throw unless the state has as many channels as its sublayer was made for. */
export function expectChannels(name: string, { shape }: Tensor, channels: number): void {
  const last = shape.at(-1);
  if (last === channels) return;
  throw new ShapeError(
    `${name}.sublayer: the state [${shape.join(", ")}] has ${last} channels, but the sublayer was made for channels: ${channels}. Give channels: ${last}.`,
  );
}

/** The state after a sublayer, and the values that led to it. */
export interface SublayerResult<S extends State = State> {
  readonly state: S;
  /** Where n streams are mixed: the coefficients of each token, [T, M]. */
  readonly coefficients?: Tensor;
  /** Where n streams are mixed: the streams that enter the sublayer, [T, n, C] in float32. */
  readonly streams?: Tensor;
  /** The logits of H_res, before a map turns them into a matrix, [T, S]; absent where H_res has none. */
  readonly logits?: Tensor;
  /** What is added to the training loss, []; absent: nothing. */
  readonly penalty?: Tensor;
  /** A share [1] that falls from 1 to 0 in so many steps while the model trains; absent: none. */
  readonly falling?: { readonly share: Tensor; readonly steps: number };
}

/** Changes a sublayer's coefficients [T, M] before they are used; interventions do this. */
export type Adjust = (coefficients: Tensor) => Tensor;

/** What a connection can ask about the sequences that its tokens belong to. */
export interface Sequences {
  /** The mean of each token's row and the rows of the earlier tokens of its sequence: [T, K] → [T, K]. */
  meanSoFar(x_TK: Tensor): Tensor;
}

/** The connection around one block. */
export interface Sublayer<S extends State = State> {
  /**
   * Read the state, run the block, write its result back.
   *
   * @param adjust where n streams are mixed: maps the coefficients to those that are used. Default: no change
   * @param sequences of the tokens; a language model gives them. Only connections that depend on a sequence ask for them
   */
  apply(state: S, block: Block, adjust?: Adjust, sequences?: Sequences): SublayerResult<S>;
}

/** How a state becomes the channels that leave the network. */
export interface Ending<S extends State = State> {
  collapse(state: S): Tensor;
}

/**
 * How layers pass information on: expand once, wrap every block in a sublayer, collapse once. Each of the
 * functions on this page makes one; S is what it passes on, and docs/connections.md compares them.
 */
export interface Connection<S extends State = State> extends Ending<S> {
  readonly name: string;
  /** What the state holds, such as "channels" or "4 streams"; those of one form can take over each other's state. */
  readonly form: string;
  expand(x_TC: Tensor): S;
  /** Make the parameters of one sublayer's connection. */
  sublayer(parameters: ParameterSet, options: SublayerOptions): Sublayer<S>;
  /** Where the end of the network is learned: makes its parameters. Absent: the connection's `collapse` is the end. */
  ending?(parameters: ParameterSet, options: Pick<SublayerOptions, "channels">): Ending<S>;
}

/** How the streams become one at the end: their mean (keeps the scale) or their sum (as in the HC paper). */
export type Collapse = "mean" | "sum";

/** Both ways to join the streams. */
export const collapses: readonly ["mean", "sum"] = ["mean", "sum"];

/** Both ways to keep the streams. */
export const precisions: readonly ["float32", "bfloat16"] = ["float32", "bfloat16"];

/** The form of plain channels [T, C]. */
export const CHANNELS_FORM = "channels";

/** The form of n parallel streams [T, n, C]. */
export function streamsForm(streams: number, precision: StreamPrecision = "float32"): string {
  return precision === "float32" ? `${streams} streams` : `${streams} streams in ${precision}`;
}

/** Use the coefficients as they are. */
export const unadjusted: Adjust = (coefficients) => coefficients;

interface Storage {
  keep(x_TNC: Tensor): Tensor;
  use(state: Tensor): Tensor;
}

/** How streams are kept between the sublayers: as they are, or in half the bytes. */
export const storages: Readonly<Record<StreamPrecision, Storage>> = {
  float32: { keep: (x_TNC) => x_TNC, use: (state) => state },
  bfloat16: { keep: toBfloat16, use: toFloat32 },
};

/** Throw unless n is a number of streams the kernels support. */
export function expectStreams(name: string, streams: number): void {
  if (Number.isInteger(streams) && streams >= 1 && streams <= MOST_STREAMS) return;
  throw new RangeError(
    `${name}: the number of streams must be a whole number from 1 to ${MOST_STREAMS}, got ${streams}.`,
  );
}
