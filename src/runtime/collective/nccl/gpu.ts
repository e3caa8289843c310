// Question: which calls of NCCL are the operations between GPUs?
//
// All-reduce, reduce-scatter, all-gather and broadcast are its own. All-to-all is a group of messages, each of which is
// begun before any is waited for. Where a rank is alone they are copies, and NCCL is not asked.

import { sizeOf } from "../../../graph/tensor.ts";
import type { GpuBeside } from "../../beside.ts";
import type { Collective, GpuCollective, GpuValues, Pending } from "../collective.ts";
import { dataTypeOf, SUM } from "./abi.ts";
import { type Call, type Communicator, createCommunicator } from "./communicator.ts";
import { IN_PROGRESS, type Nccl, SUCCESS } from "./library.ts";

/** Where numbers lie, and how many they are. */
interface Run {
  readonly at: number;
  readonly count: number;
  readonly type: number;
  readonly bytes: number;
}

/** A GPU's way to the others, which ends with `close`. */
export interface OpenGpuCollective extends GpuCollective {
  close(): Promise<void>;
}

/** The first code that says more than that all is well. */
const firstOf = (codes: readonly number[]): number => codes.find((code) => code !== SUCCESS) ?? SUCCESS;
const refused = (code: number): boolean => code !== SUCCESS && code !== IN_PROGRESS;

/**
 * @param base the same ranks by messages
 * @param deadline seconds that an operation may take by default
 */
export function createGpuCollective(
  nccl: Nccl,
  beside: GpuBeside,
  base: Collective,
  deadline: number,
): OpenGpuCollective {
  const { rank, size } = base;
  const { call: api } = nccl;
  const communicator: Communicator = createCommunicator(nccl, beside, base, deadline);
  const order = (operation: string, call: Call): Pending => communicator.order(operation, call);

  const runOf = (operation: string, { state, from = 0, length = sizeOf(state.shape) - from }: GpuValues): Run => {
    const size = sizeOf(state.shape);
    if (!(Number.isInteger(from) && Number.isInteger(length) && from >= 0 && length >= 1 && from + length <= size))
      throw new RangeError(
        `${operation}: ${length} values from ${from} are given of a state of ${size}; they must be at least one, and lie in it.`,
      );
    const { code, bytes } = dataTypeOf(state);
    return { at: beside.addressOf(state) + from * bytes, count: length, type: code, bytes: length * bytes };
  };
  const expectTimes = (operation: string, long: Run, short: Run, times: number): void => {
    if (long.count !== times * short.count || long.type !== short.type)
      throw new RangeError(
        `${operation}: ${long.count} and ${short.count} values are given; of one type, the one must be ${times} times as many as the other.`,
      );
  };
  const expectRank = (operation: string, other: number, own: boolean): void => {
    if (!(Number.isInteger(other) && other >= 0 && other < size) || (!own && other === rank))
      throw new RangeError(
        `${operation}: rank ${other} is given; they are 0 to ${size - 1}${own ? "" : `, but ${rank}`}.`,
      );
  };
  const copyOf =
    (from: Run, into: Run): Call =>
    (_communicator, stream) => {
      if (from.at !== into.at) beside.driver.copy(into.at, from.at, from.bytes, stream);
      return SUCCESS;
    };
  const part = ({ at, count, bytes, type }: Run, index: number): Run => ({
    at: at + (bytes / size) * index,
    count: count / size,
    bytes: bytes / size,
    type,
  });
  /** Messages that are begun together. */
  const together =
    (sent: readonly { readonly run: Run; readonly to: number }[], received: typeof sent): Call =>
    (handle, stream) => {
      const started = api.ncclGroupStart();
      if (refused(started)) return started;
      const codes = [
        ...sent.map(({ run: { at, count, type }, to }) => api.ncclSend(at, count, type, to, handle, stream)),
        ...received.map(({ run: { at, count, type }, to }) => api.ncclRecv(at, count, type, to, handle, stream)),
      ];
      // A group that has been begun is ended, whatever was refused in it.
      const ended = api.ncclGroupEnd();
      const wrong = codes.find(refused);
      return wrong ?? firstOf([ended, ...codes]);
    };

  return {
    library: `NCCL ${nccl.version}`,
    allReduce(values) {
      const { at, count, type } = runOf("allReduce", values);
      return order("allReduce", (handle, stream) =>
        size === 1 ? SUCCESS : api.ncclAllReduce(at, at, count, type, SUM, handle, stream),
      );
    },
    reduceScatter(values, into) {
      const [from, to] = [runOf("reduceScatter", values), runOf("reduceScatter", into)];
      expectTimes("reduceScatter", from, to, size);
      if (size === 1) return order("reduceScatter", copyOf(from, to));
      return order("reduceScatter", (handle, stream) =>
        api.ncclReduceScatter(from.at, to.at, to.count, to.type, SUM, handle, stream),
      );
    },
    allGather(own, into) {
      const [from, to] = [runOf("allGather", own), runOf("allGather", into)];
      expectTimes("allGather", to, from, size);
      if (size === 1) return order("allGather", copyOf(from, to));
      return order("allGather", (handle, stream) =>
        api.ncclAllGather(from.at, to.at, from.count, from.type, handle, stream),
      );
    },
    broadcast(values, from) {
      expectRank("broadcast", from, true);
      const { at, count, type } = runOf("broadcast", values);
      return order("broadcast", (handle, stream) =>
        size === 1 ? SUCCESS : api.ncclBroadcast(at, at, count, type, from, handle, stream),
      );
    },
    allToAll(values, into) {
      const [from, to] = [runOf("allToAll", values), runOf("allToAll", into)];
      expectTimes("allToAll", from, to, 1);
      if (from.count % size !== 0)
        throw new RangeError(`allToAll: ${from.count} values are given; they must be ${size} parts of one size.`);
      const others = Array.from({ length: size }, (_, index) => index).filter((each) => each !== rank);
      const own = copyOf(part(from, rank), part(to, rank));
      const messages = together(
        others.map((each) => ({ run: part(from, each), to: each })),
        others.map((each) => ({ run: part(to, each), to: each })),
      );
      return order("allToAll", (handle, stream) => {
        own(handle, stream);
        return size === 1 ? SUCCESS : messages(handle, stream);
      });
    },
    trade(sent, received) {
      const runs = (messages: typeof sent): { readonly run: Run; readonly to: number }[] =>
        messages.map(({ values, rank: other }) => {
          expectRank("trade", other, false);
          return { run: runOf("trade", values), to: other };
        });
      const [out, back] = [runs(sent), runs(received)];
      return order("trade", out.length + back.length === 0 ? () => SUCCESS : together(out, back));
    },
    copy(pairs) {
      const copies = pairs.map(({ from, into }) => {
        const [source, target] = [runOf("copy", from), runOf("copy", into)];
        expectTimes("copy", source, target, 1);
        return copyOf(source, target);
      });
      return order("copy", (handle, stream) => {
        for (const each of copies) each(handle, stream);
        return SUCCESS;
      });
    },
    join: () => communicator.join(),
    close: () => communicator.close(),
  };
}
