// Question: how do rows travel between the ranks that share experts?
//
// By one all-to-all of parts of any sizes. Of rows that are sent for the first time, all ranks first tell each other how
// many they have for each expert. Rank q's rows for an expert lie after those of the ranks before it, so the order of rows
// does not depend on which message came first. See ops/expert-exchange.ts for the operations and their shapes.

import { lastAxis, type Node, type Operation, operandsOf, sizeOf, type Tensor } from "../../graph/tensor.ts";
import { expertsResendOperation, expertsReturnOperation, expertsSendOperation } from "../../ops/expert-exchange.ts";
import { floatsOf, type TensorValues } from "../program.ts";
import type { Collective, Parts } from "./collective.ts";

/** A node under way. */
export interface UnderWay {
  /** Move it on. */
  test(): boolean;
  /** Wait for it; its outputs, in the order of the node, to be read before the next is begun. */
  done(): Promise<readonly TensorValues[]>;
}

/** Begins a node whose inputs are there. They may not change until it is done. */
export type Begin = (node: Node, inputs: readonly TensorValues[], collective: Collective) => UnderWay;

/** The operations that wait for other ranks. */
export const remoteOperations: ReadonlyMap<Operation, Begin> = new Map<Operation, Begin>([
  [expertsSendOperation, beginSend],
  [expertsResendOperation, beginResend],
  [expertsReturnOperation, beginReturn],
]);

/** Who has how many rows for whom. */
interface Ways {
  /** Numbers of rows: for each rank, how many of this rank's rows go to it; how many come from it. */
  readonly out: readonly number[];
  readonly in: readonly number[];
  /** Each run of rows at this rank's experts, in their order: the rank that sent it, and its rows. */
  readonly runs: readonly { readonly from: number; readonly rows: number }[];
  /** [E/R + 1]. */
  readonly starts: Int32Array;
}

function waysOf(counts: ArrayLike<number>, { rank, size }: Collective): Ways {
  const experts = counts.length / size;
  const own = experts / size;
  const rowsOf = (from: number, holder: number): number => {
    let sum = 0;
    for (let e = holder * own; e < (holder + 1) * own; e++) sum += counts[from * experts + e]!;
    return sum;
  };
  const ranks = Array.from({ length: size }, (_, index) => index);
  const starts = new Int32Array(own + 1);
  const runs: { from: number; rows: number }[] = [];
  for (let e = 0; e < own; e++) {
    starts[e + 1] = starts[e]!;
    for (const from of ranks) {
      const rows = counts[from * experts + rank * own + e]!;
      starts[e + 1]! += rows;
      runs.push({ from, rows });
    }
  }
  return {
    out: ranks.map((each) => rowsOf(rank, each)),
    in: ranks.map((each) => rowsOf(each, rank)),
    runs,
    starts,
  };
}

/** The rows of a matrix as parts, one after another. */
function partsOf(rows: Float32Array, counts: readonly number[], width: number): Float32Array[] {
  let at = 0;
  return counts.map((many) => rows.subarray(at, (at += many * width)));
}

/** Visit the runs at this rank's experts: where each lies there, and where among the rows by the rank that sent them. */
function eachRun({ in: counts, runs }: Ways, visit: (sorted: number, bySender: number, rows: number) => void): void {
  let [sum, sorted] = [0, 0];
  const next = counts.map((many) => (sum += many) - many);
  for (const { from, rows } of runs) {
    visit(sorted, next[from]!, rows);
    next[from]! += rows;
    sorted += rows;
  }
}

/** Rows as they go to their experts: what is sent and received, and how it is sorted there. */
function toExperts(rows: Float32Array, ways: Ways, width: number): Parts & { sort(into: Float32Array): void } {
  const received = new Float32Array(width * ways.starts.at(-1)!);
  return {
    parts: partsOf(rows, ways.out, width),
    into: partsOf(received, ways.in, width),
    sort(into) {
      eachRun(ways, (sorted, bySender, many) =>
        into.set(received.subarray(bySender * width, (bySender + many) * width), sorted * width),
      );
    },
  };
}

function beginSend(node: Node, [rows, offsets]: readonly TensorValues[], collective: Collective): UnderWay {
  const { sent } = operandsOf(expertsSendOperation, node);
  const own = Int32Array.from({ length: offsets!.length - 1 }, (_, e) => offsets![e + 1]! - offsets![e]!);
  const counts = new Int32Array(collective.size * own.length);
  let ways: Ways | undefined;
  let moving: ReturnType<typeof toExperts> | undefined;
  const pending = collective.allToAllTold(own, counts, () => {
    ways = waysOf(counts, collective);
    return (moving = toExperts(floatsOf(rows!), ways, lastAxis(sent.shape)));
  });
  return {
    test: () => pending.test(),
    async done() {
      await pending.done();
      const into = roomFor(sent);
      moving!.sort(into);
      return [into, ways!.starts, counts];
    },
  };
}

function beginResend(node: Node, [rows, counts]: readonly TensorValues[], collective: Collective): UnderWay {
  const { sent } = operandsOf(expertsResendOperation, node);
  const moving = toExperts(floatsOf(rows!), waysOf(counts!, collective), lastAxis(sent.shape));
  const pending = collective.allToAllParts(moving.parts, moving.into);
  return {
    test: () => pending.test(),
    async done() {
      await pending.done();
      const into = roomFor(sent);
      moving.sort(into);
      return [into];
    },
  };
}

function beginReturn(node: Node, [rows, counts]: readonly TensorValues[], collective: Collective): UnderWay {
  const { returned } = operandsOf(expertsReturnOperation, node);
  const width = lastAxis(returned.shape);
  const ways = waysOf(counts!, collective);
  const sorted = floatsOf(rows!);
  const bySender = new Float32Array(width * ways.starts.at(-1)!);
  eachRun(ways, (from, to, many) => bySender.set(sorted.subarray(from * width, (from + many) * width), to * width));
  const into = roomFor(returned);
  const pending = collective.allToAllParts(partsOf(bySender, ways.in, width), partsOf(into, ways.out, width));
  return {
    test: () => pending.test(),
    async done() {
      await pending.done();
      return [into];
    },
  };
}

const roomFor = ({ shape }: Tensor): Float32Array => new Float32Array(sizeOf(shape));
