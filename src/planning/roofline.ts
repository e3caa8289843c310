// Question: how long do the connection's kernels take, on given hardware?
//
// A kernel takes as long as the slower of its two limits (roofline, Williams et al. 2009):
//
//   time = max(operations / peak, bytes / bandwidth)
//
// Kernels are those of the paper (arXiv 2512.24880, 4.3.1), or for "unfused" the operations one by one, each
// through memory. Streams and C-vectors have the activations' precision, coefficients are float32; φ is
// float32 and read once for all tokens of a micro-batch. Its two products run at the tfloat32 rate, all
// else at the float32 rate. Backward, a kernel reads the gradients of its results and what it read
// forward, and adds its part to the gradient of the streams:
//
//   kernel                 forward: read | written   backward: read | written       (times C)
//   norm and projection    n     |                   2n      | n                    + dφ
//   H_pre x                n     | 1                 2n + 1  | n
//   H_res x + H_postᵀ y    n + 1 | n                 2n + 1  | n + 1
//
// Unfused, norm and projection are two passes with normalised streams between them, the write is four, and
// the three parts of the streams' gradient are summed in two more. With recomputation a sublayer's forward
// kernels and the block's norm run once more, but for the write of every group's last sublayer.
//
// A sublayer that does not learn H_res has no Sinkhorn, and one that learns no map has no norm, projection and affine either;
// φ has the rows of what is learned. Reads and writes stay.
//
// What plain residuals move is subtracted: 2C read and C written, forward and backward. Three things are left
// out: the time to launch a kernel, which matters only for unfused kernels and few tokens; the larger messages
// between pipeline stages; and the overlap of kernels with communication, which makes mHC cheaper.

import { expectPlannedModel } from "./check-model.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { learnedMaps, type LearnedMapsName } from "../connections/learned-maps.ts";
import { coefficientCount, mapRows, type PlannedModel, sublayerMaps } from "./architecture.ts";
import { connectionFlops } from "./flops.ts";
import { expectHardware, type Hardware } from "./hardware.ts";
import { fusedBackward, type Pass, trafficOf } from "./traffic.ts";

export const fusions = ["unfused", "fused"] as const;
/** Every operation through memory, or the kernels of the paper. */
export type Fusion = (typeof fusions)[number];
export const directions = ["forward", "backward", "recomputation"] as const;
/** When a kernel runs; "recomputation" is its second forward run. */
export type Direction = (typeof directions)[number];

/** One kernel under its roofline. */
export interface KernelTime {
  readonly name: string;
  readonly direction: Direction;
  /** Bytes and operations of one token in one sublayer. */
  readonly flops: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly bound: "compute" | "memory";
}

/** Time of the connection beyond that of plain residuals. */
export interface ConnectionTime {
  /**
   * Of one sublayer, that which takes the longest where they learn different maps; negative bytes are what plain
   * residuals would move.
   */
  readonly kernels: readonly KernelTime[];
  /** Seconds a token, all sublayers. */
  readonly forward: number;
  readonly backward: number;
  readonly recomputation: number;
  readonly total: number;
}

/** Which kernels, and on what. */
export interface RooflineOptions {
  readonly fusion: Fusion;
  /** Bytes of a value of the streams. */
  readonly streamBytes: number;
  /** Tokens of a micro-batch. */
  readonly tokens: number;
  /** L_r; undefined when nothing is computed again. */
  readonly storeEvery?: number;
  /** Part of the memory's bandwidth that kernels reach, up to 1. */
  readonly bandwidthEfficiency: number;
}

interface Kernel {
  readonly name: string;
  readonly pass: Pass;
  readonly matrixFlops?: number;
  readonly vectorFlops?: number;
  /** Bytes on top, of one token. */
  readonly weights?: number;
  /** How often it runs, 1 unless said. */
  readonly times?: number;
}

const optionRules: FieldRules<RooflineOptions> = {
  fusion: fusions,
  streamBytes: "number",
  tokens: "number",
  storeEvery: "number",
  bandwidthEfficiency: "number",
};

/** Seconds that mHC's connection takes more than plain residuals. */
export function connectionTime(model: PlannedModel, hardware: Hardware, options: RooflineOptions): ConnectionTime {
  expectPlannedModel("connectionTime", model);
  expectHardware("connectionTime", hardware);
  expectFields("connectionTime", options, optionRules);
  const { streamBytes, bandwidthEfficiency, storeEvery } = options;
  const time = (direction: Direction, kernel: Kernel): KernelTime => {
    const { name, pass, matrixFlops = 0, vectorFlops = 0, weights = 0, times = 1 } = kernel;
    const amounts = [pass.read, pass.write];
    const bytes = amounts.reduce(
      (sum, { channels, values }) => sum + channels * model.width * streamBytes + values * 4,
      weights,
    );
    const compute = matrixFlops / hardware.peak.tf32 + vectorFlops / hardware.peak.fp32;
    const memory = bytes / (hardware.bandwidth * bandwidthEfficiency);
    return {
      name,
      direction,
      flops: times * (matrixFlops + vectorFlops),
      bytes: times * bytes,
      seconds: times * (memory < 0 ? memory : Math.max(compute, memory)),
      bound: compute > Math.abs(memory) ? "compute" : "memory",
    };
  };
  const kernelsOf = (maps: LearnedMapsName): readonly KernelTime[] => {
    const forward = forwardKernels(model, options, maps).filter(isThere(maps));
    const backward = backwardKernels(model, options, maps).filter(isThere(maps));
    const again = storeEvery === undefined ? [] : recomputedKernels(forward, storeEvery);
    return [
      ...[...forward, plainResidual].map((kernel) => time("forward", kernel)),
      ...[...backward, plainResidual].map((kernel) => time("backward", kernel)),
      ...again.map((kernel) => time("recomputation", kernel)),
    ];
  };
  const all = sublayerMaps(model);
  const kinds = [...new Set(all)].map((maps) => ({
    kernels: kernelsOf(maps),
    count: all.filter((each) => each === maps).length,
  }));
  const secondsOf = (kernels: readonly KernelTime[], of?: Direction): number =>
    kernels
      .filter(({ direction }) => of === undefined || direction === of)
      .reduce((sum, kernel) => sum + kernel.seconds, 0);
  const seconds = (of: Direction): number =>
    kinds.reduce((sum, { kernels, count }) => sum + count * secondsOf(kernels, of), 0);
  const { kernels } = kinds.reduce((a, b) => (secondsOf(b.kernels) > secondsOf(a.kernels) ? b : a));
  const parts = { forward: seconds("forward"), backward: seconds("backward"), recomputation: seconds("recomputation") };
  return { kernels, ...parts, total: parts.forward + parts.backward + parts.recomputation };
}

const projecting = ["norm", "projection", "norm and projection", "affine, sigmoids"];

/** Whether a sublayer that learns these maps has a kernel. */
const isThere = (maps: LearnedMapsName): ((kernel: Kernel) => boolean) => {
  const { res } = learnedMaps(maps);
  return ({ name }) => (name === "Sinkhorn" ? res : maps !== "none" || !projecting.includes(name));
};

function pass(read: readonly [number, number], write: readonly [number, number]): Pass {
  const amount = ([channels, values]: readonly [number, number]) => ({ channels, values });
  return { name: "", read: amount(read), write: amount(write) };
}

/** What the baseline has instead. Its sum runs once more backward, where gradients meet. */
const plainResidual: Kernel = { name: "less the plain sum", pass: pass([-2, 0], [-1, 0]) };

function forwardKernels(
  { width, connection }: PlannedModel,
  { fusion, tokens }: RooflineOptions,
  maps: LearnedMapsName,
): Kernel[] {
  const { streams: n, iterations } = connection;
  const { rows } = mapRows(n, maps);
  const flops = connectionFlops(connection, width, maps);
  const normFlops = 2 * n * width;
  const phi = (rows * n * width * 4) / tokens;
  const work: Readonly<Record<string, Omit<Kernel, "name" | "pass">>> = {
    norm: { vectorFlops: normFlops },
    projection: { matrixFlops: flops.projection - normFlops, weights: phi },
    "norm and projection": { matrixFlops: flops.projection - normFlops, vectorFlops: normFlops, weights: phi },
    Sinkhorn: { vectorFlops: flops.coefficients },
    "H_pre x": { vectorFlops: flops.read },
    "H_res x": { vectorFlops: 2 * n * n * width },
    "H_post y": { vectorFlops: n * width },
    sum: { vectorFlops: n * width },
    "H_res x + H_post y": { vectorFlops: flops.write },
  };
  /** Single values that are not there for maps that are not learned. */
  const fewer = coefficientCount(n) - rows;
  const less = (amount: Pass["read"]): Pass["read"] => ({ ...amount, values: Math.max(0, amount.values - fewer) });
  const own: Readonly<Record<string, (each: Pass) => Pass>> = {
    projection: (each) => ({ ...each, write: less(each.write) }),
    "norm and projection": (each) => ({ ...each, write: less(each.write) }),
    "affine, sigmoids": (each) => ({ ...each, read: less(each.read), write: less(each.write) }),
  };
  return trafficOf(fusion, n, iterations).map((each) => ({
    name: each.name,
    pass: own[each.name]?.(each) ?? each,
    ...work[each.name],
  }));
}

function backwardKernels(
  { width, connection }: PlannedModel,
  { fusion, tokens }: RooflineOptions,
  maps: LearnedMapsName,
): Kernel[] {
  const { streams: n, iterations } = connection;
  const { rows: count } = mapRows(n, maps);
  const flops = connectionFlops(connection, width, maps);
  const products = 2 * (flops.projection - 2 * n * width);
  // φ is read, and its gradient added to.
  const phi = (3 * count * n * width * 4) / tokens;
  const coefficients: Kernel[] = [
    {
      name: "Sinkhorn",
      // The paper's kernel computes the iterates again on the chip; unfused they are stored and read.
      pass:
        fusion === "fused"
          ? pass([0, 2 * n * n], [0, n * n])
          : pass([0, 2 * iterations * (3 * n * n + n)], [0, 2 * iterations * (n * n + n)]),
      vectorFlops: 2 * flops.coefficients,
    },
    { name: "affine, sigmoids", pass: pass([0, 3 * count], [0, count]) },
  ];
  const { write, read, projection: whole } = fusedBackward(n);
  const projection = pass([2 * n, 2 * count + 1], [n, 0]);
  if (fusion === "fused")
    return [
      { name: write.name, pass: write, vectorFlops: 2 * flops.write },
      { name: read.name, pass: read, vectorFlops: 2 * flops.read },
      ...coefficients,
      {
        name: whole.name,
        pass: projection,
        matrixFlops: products,
        vectorFlops: 6 * n * width,
        weights: phi,
      },
    ];
  return [
    { name: "H_post y", pass: pass([n + 1, n], [1, n]), vectorFlops: 4 * n * width },
    { name: "H_res x", pass: pass([2 * n, n * n], [n, n * n]), vectorFlops: 4 * n * n * width },
    { name: "H_pre x", pass: pass([n + 1, n], [n, n]), vectorFlops: 2 * flops.read },
    ...coefficients,
    // Two products: for the normalised streams, and for φ, which reads them.
    { name: "projection", pass: pass([n, 2 * count], [n, 0]), matrixFlops: products, weights: phi },
    { name: "norm", pass: pass([2 * n, 1], [n, 0]), vectorFlops: 6 * n * width },
    { name: "sums of gradients", pass: pass([4 * n, 0], [2 * n, 0]), vectorFlops: 2 * n * width },
  ];
}

/** The write makes the next sublayer's streams, of which every group but the last needs one less. */
function recomputedKernels(forward: readonly Kernel[], storeEvery: number): Kernel[] {
  const writes = ["H_post y", "H_res x", "sum", "H_res x + H_post y"];
  return [
    ...forward.map((kernel) => (writes.includes(kernel.name) ? { ...kernel, times: 1 - 1 / storeEvery } : kernel)),
    { name: "the block's norm", pass: pass([1, 0], [1, 0]) },
  ];
}
