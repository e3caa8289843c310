// Question: what do GPUs send each other in one step, and how long does that take?
//
// Bytes that one GPU receives in a step (it sends as many). Letters: P, T, S, D, E, A, B of layout.ts; t = B T_seq / (S T)
// tokens on a GPU, C width, a bytes of an activation, n streams.
//
//   gradients   a ring's reduce-scatter of G bytes among N copies: (N - 1)/N G. ZeRO-1: once a step; ZeRO-0: twice, an
//               all-reduce; ZeRO-2, 3: for each micro-batch (arXiv 1910.02054, 7). N is D S for what T cuts, GPUs/(P E)
//               for routed experts, whose gradients are counted apart
//   weights     the all-gather of W bytes: (N - 1)/N W. ZeRO-1, 2: once a step; ZeRO-3: for each micro-batch, forward
//               and again backward
//   experts     4 t k C a (E - 1)/E a layer and micro-batch: k active experts, dispatch and combine, forward and
//               backward; each copy of a token is sent (arXiv 2412.19437 sends one to a machine, and to 4 at most)
//   tensor      5 (T - 1) t C a a sublayer and micro-batch: all-gather and reduce-scatter forward and backward, and the
//               gathered input again for the weights' gradient (arXiv 2205.05198, 4.2.2); not for routed experts
//   context     3 (S - 1) t K a a layer and micro-batch: keys and values of K columns go round the ring, and backward
//               they and their gradients do (arXiv 2310.01889)
//   pipeline    t C a a micro-batch and neighbour with plain residuals, n times that with streams (arXiv 2512.24880, 4.3)
//
// GPUs are numbered with T innermost, then S, D and P (arXiv 2104.04473); E are neighbours. A group of N that lies in
// one machine uses the links there, one direction of them. One that spans machines with k of its members in each is as
// fast as k network adapters in a ring of collectives, never faster than the links; as one adapter where a message goes
// from neighbour to neighbour (context, pipeline). Of an all-to-all (N - k)/N goes over each GPU's own adapter, after
// (k - 1)/N over the links. Latency is left out, and so are the ends' part of T and the sums over T of what T does
// not cut: norms, routers, connections.

import { type Architecture, type PlannedModel, valueSizeOf } from "./architecture.ts";
import type { Hardware } from "./hardware.ts";
import { expertCopies, type Layout, localTokens, sharingCopies, type Stage, stagesOf } from "./layout.ts";
import type { Precision } from "./gpu-memory.ts";
import { stageParameters } from "./stage-parameters.ts";

export const communicationKinds = ["gradients", "weights", "experts", "tensor", "context", "pipeline"] as const;
/** What is sent. */
export type CommunicationKind = (typeof communicationKinds)[number];

/** What a GPU receives of one kind in a step. */
export interface Communication {
  readonly kind: CommunicationKind;
  readonly bytes: number;
  /** Of these, over the network to other machines; in a ring, as much as if all went there. */
  readonly networkBytes: number;
  /** As long as the links and adapters take, if nothing else uses them. */
  readonly seconds: number;
}

/** GPUs of a machine, where the hardware does not say. */
export const DEFAULT_MACHINE = 8;

/** Bytes a second and direction of a GPU's own network adapter, where the hardware does not say: 400 Gbit/s. */
export const DEFAULT_NETWORK = 50e9;

/** A group of GPUs that talk: so many, and so far from each other in their numbering. */
interface Group {
  readonly size: number;
  readonly stride: number;
}

interface Links {
  /** Bytes a second to a GPU of the same machine, and of another. */
  readonly inside: number;
  readonly network: number;
  readonly machine: number;
}

function linksOf({ interconnect, network = DEFAULT_NETWORK, gpusPerMachine = DEFAULT_MACHINE }: Hardware): Links {
  return { inside: interconnect === undefined ? network : interconnect / 2, network, machine: gpusPerMachine };
}

/** How many members of a group share a machine. */
function together({ size, stride }: Group, { machine }: Links): number {
  return Math.max(1, Math.min(size, Math.floor(machine / stride)));
}

/** Bytes and seconds of messages of a group. */
type Timing = (bytes: number, group: Group, links: Links) => Pick<Communication, "bytes" | "networkBytes" | "seconds">;

const collective: Timing = (bytes, group, links) => {
  const near = together(group, links);
  if (near === group.size) return { bytes, networkBytes: 0, seconds: bytes / links.inside };
  const rate = near === 1 ? links.network : Math.min(links.inside, near * links.network);
  return { bytes, networkBytes: bytes, seconds: bytes / rate };
};

const neighbours: Timing = (bytes, group, links) => {
  const inside = together(group, links) === group.size;
  return { bytes, networkBytes: inside ? 0 : bytes, seconds: bytes / (inside ? links.inside : links.network) };
};

/** `bytes` are those to all others, evenly. */
const allToAll: Timing = (bytes, group, links) => {
  if (group.size === 1) return { bytes: 0, networkBytes: 0, seconds: 0 };
  const near = together(group, links);
  const networkBytes = (bytes * (group.size - near)) / (group.size - 1);
  return { bytes, networkBytes, seconds: networkBytes / links.network + (bytes - networkBytes) / links.inside };
};

/** What a plan's communication depends on. */
export interface CommunicationOptions {
  readonly layout: Layout;
  readonly precision: Precision;
  readonly hardware: Hardware;
  /** Whether there are streams, or plain residuals. */
  readonly streams: boolean;
}

/**
 * What a GPU receives in a step, in the stage for which that takes the longest. A kind that the layout has no use for
 * is left out, and so is what is not public of a model.
 */
export function communicationOf(model: PlannedModel, options: CommunicationOptions): Communication[] {
  const all = stagesOf(model, options.layout).map((stage) => stageCommunication(model, options, stage));
  const seconds = (one: readonly Communication[]): number => one.reduce((sum, each) => sum + each.seconds, 0);
  return all.reduce((a, b) => (seconds(b) > seconds(a) ? b : a));
}

function stageCommunication(
  model: PlannedModel,
  { layout, precision, hardware, streams }: CommunicationOptions,
  stage: Stage,
): Communication[] {
  const links = linksOf(hardware);
  const { tensor, contextParallel, pipeline, expert, accumulate, gpus } = layout;
  const channels = localTokens(layout, model) * model.width * precision.activations;
  const group = {
    tensor: { size: tensor, stride: 1 },
    context: { size: contextParallel, stride: tensor },
    pipeline: { size: pipeline, stride: gpus / pipeline },
    expert: { size: expert, stride: 1 },
  };
  const found: Communication[] = [...sharedStates(model, { layout, precision, hardware, streams }, stage, links)];
  const add = (kind: CommunicationKind, timing: ReturnType<Timing>): void => {
    if (timing.bytes > 0) found.push({ kind, ...timing });
  };
  if (model.known === "shapes") {
    const { feedForward } = model;
    const active = feedForward.kind === "experts" ? feedForward.active : 0;
    const sent = accumulate * stage.expertLayers * 4 * channels * active * ((expert - 1) / expert);
    add("experts", allToAll(sent, group.expert, links));
    const gathered = accumulate * cutSublayers(model, stage) * 5 * (tensor - 1) * channels;
    add("tensor", collective(gathered, group.tensor, links));
    const around = accumulate * stage.layers * 3 * (contextParallel - 1) * localTokens(layout, model);
    add("context", neighbours(around * keyColumns(model) * precision.activations, group.context, links));
  }
  const messages = (stage.first ? 0 : 1) + (stage.last ? 0 : 1);
  const state = channels * (streams ? model.connection.streams : 1);
  add("pipeline", neighbours(accumulate * messages * state, group.pipeline, links));
  return found;
}

/** Gradients and weights among copies. */
function sharedStates(
  model: PlannedModel,
  { layout, precision, streams }: CommunicationOptions,
  stage: Stage,
  links: Links,
): Communication[] {
  const { zero, accumulate, tensor, expert } = layout;
  const { common, experts, connection } = stageParameters(model, layout, stage, streams);
  const copies = { size: sharingCopies(layout), stride: tensor };
  const copiesOfExperts = { size: expertCopies(layout), stride: expert };
  const bytes = (each: number): [number, Group][] => [
    [common * each + connection * 4, copies],
    [experts * each, copiesOfExperts],
  ];
  const times: Readonly<Record<"gradients" | "weights", readonly number[]>> = {
    gradients: [2, 1, accumulate, accumulate],
    weights: [0, 1, 1, 2 * accumulate],
  };
  return (["gradients", "weights"] as const).flatMap((kind) => {
    const parts = bytes(precision[kind]).map(([all, group]) =>
      collective((times[kind][zero]! * all * (group.size - 1)) / group.size, group, links),
    );
    const sum = (of: keyof ReturnType<Timing>): number => parts.reduce((total, part) => total + part[of], 0);
    const total = { bytes: sum("bytes"), networkBytes: sum("networkBytes"), seconds: sum("seconds") };
    return total.bytes > 0 ? [{ kind, ...total }] : [];
  });
}

/** Sublayers of a stage whose tokens are gathered among T: attention, and what of the feed-forward T cuts. */
function cutSublayers({ feedForward }: Architecture, { layers, expertLayers: withExperts }: Stage): number {
  const shared = feedForward.kind === "experts" && feedForward.shared > 0;
  return layers + (layers - withExperts) + (shared ? withExperts : 0);
}

/** Columns of keys and values that a token has. */
function keyColumns({ attention }: Architecture): number {
  const { heads, headSize } = attention;
  if (attention.kind === "grouped") return 2 * attention.kvHeads * headSize;
  return heads * (headSize + attention.rotarySize + valueSizeOf(attention));
}

/**
 * Seconds of it that a share of the peak cannot know that was found with pipeline, experts and ZeRO-1: all of tensor
 * and context parallelism, and of ZeRO-2 and 3 what ZeRO-1 would not send.
 */
export function beyondAssumed(model: PlannedModel, options: CommunicationOptions): number {
  const { layout } = options;
  const seconds = (zero: Layout["zero"], kinds: readonly CommunicationKind[]): number =>
    communicationOf(model, { ...options, layout: { ...layout, zero } })
      .filter(({ kind }) => kinds.includes(kind))
      .reduce((sum, each) => sum + each.seconds, 0);
  const states = ["gradients", "weights"] as const;
  const more = layout.zero < 2 ? 0 : seconds(layout.zero, states) - seconds(1, states);
  return seconds(layout.zero, ["tensor", "context"]) + Math.max(0, more);
}
