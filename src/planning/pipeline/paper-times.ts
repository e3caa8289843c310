// Question: how long do the parts of a layer of the mHC paper's 27B model take, relative to each other?
//
// The paper gives no such times, so they follow from the planner's counts (its Table 5, flops.ts; its Table 2,
// traffic.ts; arXiv 2512.24880) and from what an H800 reaches as `birkhoff plan` assumes it (time.ts); every
// assumption is a field that can be set. Per token, in FLOPs or bytes:
//   ATTN       2 x parameters of multi-head latent attention, plus the causal scores and values; backward twice
//              that for the input (scores again: 2.5 x), parameters for W
//   MLP        2 x parameters of the experts that a token visits; as much again for the input and for the weights
//   DISPATCH,  d elements to each of `nodes` nodes over the network (DeepSeek-V3 sends a token to 4 nodes at most),
//   COMBINE    the same way back; backward as forward
//   pre, post  elements of size d read and written by mHC's fused kernels: norm, projection and read before a
//              sublayer, mixing and write after it; a residual has 2 + 1 for the merge
//   PP         the state that the next stage needs: d elements, n-fold with n streams
// Times are in units of one layer's forward computation, so that they show what can hide behind what.

import { MOST_STREAMS } from "../../basics/bounds.ts";
import { expectFields, expectGiven, expectName, type FieldRules } from "../../basics/fields.ts";
import { expectAmount, expectWhole } from "../../basics/ranges.ts";
import { expectPlannedModel } from "../check-model.ts";
import { type Architecture, denseHidden, usedHidden } from "../architecture.ts";
import { attentionScoreFlops } from "../flops.ts";
import { hardwareProfiles } from "../hardware.ts";
import { attentionParameters, swigluParameters } from "../parameters.ts";
import { plannedModel } from "../presets.ts";
import { DEFAULT_BANDWIDTH_EFFICIENCY, DEFAULT_UTILISATION } from "../time.ts";
import { fusedBackward, type Pass, totalTraffic, trafficOf } from "../traffic.ts";
import type { ConnectionTimes, LayerTimes } from "./layer-costs.ts";

/** A model's sizes and a device's rates, from which the times of a layer follow. */
export interface LayerAssumptions {
  /** The model. The times are those of one of its layers with experts. */
  readonly model: Architecture;
  /** Streams n of mHC. */
  readonly streams: number;
  /** Bytes of an activation. */
  readonly bytes: number;
  /** FLOP/s that matrix products reach. */
  readonly compute: number;
  /** Bytes/s of memory that the connection's kernels reach. */
  readonly memory: number;
  /** Bytes/s of a device's network. */
  readonly network: number;
  /** Nodes that a token is sent to. */
  readonly nodes: number;
  /**
   * Forward time of a layer's four mHC kernels, as a share of the layer's forward computation. Set it to use a
   * measured ratio instead of the one that follows from traffic and memory bandwidth.
   */
  readonly connectionShare?: number;
}

const model = plannedModel("paper-27b") as Architecture;

/**
 * The mHC paper's 27B model (Table 5) on H800, at the share of its peaks that `birkhoff plan` assumes, with a network
 * of 50 GB/s. The shares are assumptions, not measurements.
 */
export const paper27b: LayerAssumptions = {
  model,
  streams: model.connection.streams,
  bytes: 2,
  compute: DEFAULT_UTILISATION * hardwareProfiles.h800.peak.bf16,
  memory: DEFAULT_BANDWIDTH_EFFICIENCY * hardwareProfiles.h800.bandwidth,
  network: 50e9,
  nodes: 4,
};

/** How layers are joined, for the time a layer takes. */
export type ConnectionCost = "residual" | "mhc";

/** Times of one layer, in units of its forward computation, and the length of that unit in seconds per token. */
export function layerTimes(
  assumptions: LayerAssumptions,
  connection: ConnectionCost,
): { readonly times: LayerTimes; readonly unit: number } {
  expectAssumptions(assumptions);
  expectName("layerTimes", "connection", connection, ["residual", "mhc"]);
  const { model, streams, bytes, compute, memory, network, nodes, connectionShare } = assumptions;
  const scores = attentionScoreFlops(model);
  const linear = 2 * attentionParameters(model);
  const used = model.feedForward.kind === "experts" ? usedHidden(model.feedForward) : denseHidden(model);
  const experts = 2 * swigluParameters(model.width, used);
  const unit = (linear + scores + experts) / compute;

  const flops = (count: number): number => count / compute / unit;
  const sent = (elements: number): number => (elements * model.width * bytes) / network / unit;
  const touched = (elements: number): number => (elements * model.width * bytes) / memory / unit;
  const plain = channels(trafficOf("residual", streams));
  const connections: Readonly<Record<ConnectionCost, () => ConnectionTimes>> = {
    // Forward it is the merge. Backward, the gradients of both branches meet where the sublayer's input was read.
    residual: () => ({
      pre: { forward: 0, backward: touched(plain) },
      post: { forward: touched(plain), backward: 0 },
      recompute: 0,
    }),
    mhc() {
      const { pre, post } = kernelTraffic(streams);
      // A layer has two sublayers, each with kernels before and after it.
      const scale = connectionShare === undefined ? 1 : connectionShare / (2 * touched(pre.forward + post.forward));
      const time = ({ forward, backward }: Both) => ({
        forward: scale * touched(forward),
        backward: scale * touched(backward),
      });
      return { pre: time(pre), post: time(post), recompute: 2 * (time(pre).forward + time(post).forward) };
    },
  };
  return {
    unit,
    times: {
      attention: { forward: flops(linear + scores), input: flops(linear + 2.5 * scores), weights: flops(linear) },
      mlp: { forward: flops(experts), input: flops(experts), weights: flops(experts) },
      dispatch: sent(nodes),
      combine: sent(nodes),
      connection: connections[connection](),
      message: sent(connection === "mhc" ? streams : 1),
    },
  };
}

const assumptionRules: FieldRules<LayerAssumptions> = {
  model: "group",
  streams: "number",
  bytes: "number",
  compute: "number",
  memory: "number",
  network: "number",
  nodes: "number",
  connectionShare: "number",
};

function expectAssumptions(assumptions: LayerAssumptions): void {
  const { connectionShare, model, streams, ...rates } = assumptions ?? {};
  expectFields("layerTimes", assumptions, assumptionRules, "assumption");
  const needed = ["model", "streams", "bytes", "compute", "memory", "network", "nodes"] as const;
  expectGiven("layerTimes", assumptions, assumptionRules, needed);
  expectPlannedModel("layerTimes", model);
  if (model.known !== "shapes")
    throw new RangeError(`layerTimes: the shapes of ${model.name} are not public; they must be known. Take paper27b.`);
  expectWhole("layerTimes", "streams", streams, 1, MOST_STREAMS);
  for (const [name, value] of Object.entries(rates)) expectAmount("layerTimes", name, value, true);
  if (connectionShare !== undefined) expectAmount("layerTimes", "connectionShare", connectionShare);
}

interface Both {
  readonly forward: number;
  readonly backward: number;
}

/** Multiples of C that mHC's kernels read and write before and after a sublayer. */
function kernelTraffic(streams: number): { readonly pre: Both; readonly post: Both } {
  const { write, read, projection } = fusedBackward(streams);
  const isWrite = ({ name }: Pass): boolean => name === write.name;
  const forward = trafficOf("fused", streams);
  return {
    pre: { forward: channels(forward.filter((each) => !isWrite(each))), backward: channels([read, projection]) },
    post: { forward: channels(forward.filter(isWrite)), backward: channels([write]) },
  };
}

function channels(passes: readonly Pass[]): number {
  const { read, write } = totalTraffic(passes);
  return read.channels + write.channels;
}
