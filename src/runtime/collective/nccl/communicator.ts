// Question: how are orders to NCCL given without waiting for them, and how is it noticed that one does not end?
//
// A communicator has a stream of its own, in which its orders are done one after another. Each goes through:
//
//   asked      it waits until all that the runtime was asked for before has been ordered
//   called     the stream waits for the runtime's; NCCL is called, and may answer that it is in progress
//   issued     it is in the stream, and a mark behind it
//   done       the mark has been reached
//
// NCCL meets the other ranks when a communicator is made and at its first operations. It is then asked again and again
// whether it has come to an end of that, between other turns of the process, so that a rank which does not come holds up
// nothing but what needs it. What it says went wrong ends the communicator. NCCL does not say who is missing: the ranks
// that wait ask each other by messages, and who does not answer is named.

import { setImmediate, setTimeout } from "node:timers/promises";
import { attempt } from "../../../files/errors.ts";
import type { GpuBeside } from "../../beside.ts";
import { type Collective, CollectiveError, type Pending, showRanks } from "../collective.ts";
import { UNIQUE_ID_BYTES } from "./abi.ts";
import { IN_PROGRESS, type Nccl, NcclError, SUCCESS } from "./library.ts";

/** What an order calls; its code. */
export type Call = (communicator: number, stream: number) => number;

export interface Communicator {
  /** Order something behind all that has been ordered here, and behind all that the runtime was asked for so far. */
  order(operation: string, call: Call): Pending;
  /** What the runtime is asked for from here on waits for all that has been ordered here. */
  join(): void;
  /** All that was ordered must be done. */
  close(): Promise<void>;
}

interface Order {
  readonly operation: string;
  readonly call: Call;
  /** Counted from 1 on each communicator, the same on all ranks. */
  readonly number: number;
  /** Marks, from the time that they are made. */
  asked?: number;
  done?: number;
  called: boolean;
  finished: boolean;
}

/** Seconds for which a rank looks again at once; and after which it looks seldom. */
const EAGER = 0.002;
const IDLE = 0.5;
/** So many orders may be under way before their ends are looked for. */
const MOST_UNDER = 64;
/** Seconds that ranks which wait give the others to answer. */
const ANSWER = 5;

const pause = (waited: number): Promise<unknown> =>
  waited < EAGER ? setImmediate() : setTimeout(waited < IDLE ? 1 : 5);

/**
 * @param base the same ranks by messages
 * @param deadline seconds that an order may take by default
 */
export function createCommunicator(nccl: Nccl, beside: GpuBeside, base: Collective, deadline: number): Communicator {
  const { driver } = beside;
  const { rank, size } = base;
  const stream = driver.createStream();
  const joined = driver.createEvent();
  const others = Array.from({ length: size }, (_, index) => index).filter((each) => each !== rank);
  const marks: number[] = [];
  /** Those that have not been issued. */
  const queue: Order[] = [];
  /** Those that have, and are not known to be done. */
  const under: Order[] = [];
  /** What waits until an order has been issued, by the number of that. */
  const holds = new Map<() => void, number>();
  let orders = 0;
  let issued = 0;
  let broken: Error | undefined;
  let closed = false;
  let handle: number | undefined;
  /** Whether NCCL has said that its last call is still in progress. */
  let inProgress = false;
  let id: { readonly bytes: Uint8Array; readonly pending: Pending } | undefined;
  let pumping = false;

  const where = (operation: string): string => `${operation}, rank ${rank} of ${size}`;
  const release = (): void => {
    const communicator = handle;
    handle = undefined;
    if (communicator !== undefined) attempt(() => nccl.call.ncclCommAbort(communicator));
  };
  /** Those up to a number are done, as the stream does them one after another: their marks can be made again. */
  const retire = (until: number): void => {
    while (under.length > 0 && under[0]!.number <= until) {
      const order = under.shift()!;
      order.finished = true;
      marks.push(order.done!);
    }
  };
  const free = (): void => {
    for (const [letGo, until] of holds)
      if (broken || until <= issued) {
        holds.delete(letGo);
        letGo();
      }
  };
  const fail = (error: Error): void => {
    if (broken) return;
    broken = error;
    release();
    beside.fail(error);
    queue.length = 0;
    free();
  };
  /** Whether the call has come to its end. */
  const settled = (operation: string): boolean => {
    if (!inProgress) return true;
    const code = nccl.stateOf(handle!);
    if (code === IN_PROGRESS) return false;
    inProgress = false;
    if (code !== SUCCESS) throw new NcclError(code, "ncclCommGetAsyncError", where(operation));
    return true;
  };
  /** The communicator is made when it is first needed, by all its ranks at once. */
  const isMade = (operation: string): boolean => {
    if (size === 1) return true;
    if (handle !== undefined) return settled(operation);
    if (!id) {
      const bytes = rank === 0 ? nccl.uniqueId() : new Uint8Array(UNIQUE_ID_BYTES);
      id = { bytes, pending: base.broadcast(bytes, 0) };
    }
    if (!id.pending.test()) return false;
    handle = nccl.begin(id.bytes, { rank, size });
    inProgress = true;
    return settled(operation);
  };
  /** Issue the first of those that wait; whether it could be. */
  const issueFirst = (): boolean => {
    const [order] = queue;
    if (!order || order.asked === undefined) return false;
    driver.makeCurrent();
    if (!isMade(order.operation)) return false;
    if (!order.called) {
      driver.waitForMark(order.asked, stream);
      marks.push(order.asked);
      order.called = true;
      const code = order.call(handle ?? 0, stream);
      if (code !== SUCCESS && code !== IN_PROGRESS) throw new NcclError(code, "its call", where(order.operation));
      inProgress = code === IN_PROGRESS;
    }
    if (!settled(order.operation)) return false;
    order.done = marks.pop() ?? driver.createEvent();
    driver.mark(order.done, stream);
    queue.shift();
    under.push(order);
    // Nobody need ask for the end of each.
    if (under.length > MOST_UNDER && driver.isReached(under[0]!.done!)) retire(under[0]!.number);
    issued = order.number;
    free();
    return true;
  };
  const issue = (): void => {
    if (broken) return;
    try {
      while (issueFirst());
    } catch (error) {
      fail(error as Error);
    }
  };
  /** Whoever waits moves it on; so does this, where nobody does. */
  const pump = async (): Promise<void> => {
    if (pumping) return;
    pumping = true;
    const started = performance.now();
    const goesOn = (): boolean => queue.length > 0 && !broken && !closed;
    while (goesOn()) {
      await pause((performance.now() - started) / 1000);
      issue();
    }
    pumping = false;
  };

  /** Ask who else waits: those that do not. */
  const missing = async ({ number }: Order, within: number): Promise<readonly number[]> => {
    const all = new Int32Array(size);
    try {
      await base.allGather(Int32Array.of(number), all).done(Math.min(ANSWER, within));
      return others.filter((each) => all[each]! < number);
    } catch (error) {
      return error instanceof CollectiveError ? error.ranks : others;
    }
  };
  const late = async (order: Order, within: number): Promise<CollectiveError> => {
    const ranks = await missing(order, within);
    if (ranks.length > 0)
      return new CollectiveError(
        `${order.operation}: ${showRanks(ranks)} did not answer within ${within} s; the process hangs, is gone, or cannot be reached. Look at what it wrote, and start again from the last checkpoint.`,
        ranks,
      );
    return new CollectiveError(
      `${order.operation}: rank ${rank} and ${showRanks(others)} wait for each other on their GPUs, for ${within} s. All processes answer: NCCL's way between the GPUs is cut. Set NCCL_DEBUG=WARN to see where, or exchange by MPI (--exchange mpi).`,
      others,
    );
  };
  /** NCCL's own error, with the ranks that do not answer any more. */
  const named = async (order: Order, error: unknown): Promise<unknown> => {
    if (!(error instanceof NcclError)) return error;
    const ranks = await missing(order, ANSWER);
    return ranks.length > 0
      ? new CollectiveError(`${error.message} No answer from ${showRanks(ranks)}.`, ranks)
      : error;
  };

  return {
    order(operation, call) {
      if (broken) throw broken;
      if (closed) throw new Error(`${operation}: this collective has been closed; open another.`);
      const order: Order = { operation, call, number: ++orders, called: false, finished: false };
      queue.push(order);
      beside.inTurn(() => {
        order.asked = marks.pop() ?? driver.createEvent();
        driver.mark(order.asked, beside.stream);
      });
      issue();
      if (!broken && queue.length > 0) void pump();
      const test = (): boolean => {
        issue();
        if (broken) throw broken;
        if (order.finished) return true;
        if (order.done === undefined) return false;
        try {
          const isReached = driver.isReached(order.done);
          // The stream may go on after an operation that has failed.
          const code = handle === undefined ? SUCCESS : nccl.stateOf(handle);
          if (code !== SUCCESS && code !== IN_PROGRESS)
            throw new NcclError(code, "ncclCommGetAsyncError", where(operation));
          if (isReached) retire(order.number);
        } catch (error) {
          fail(error as Error);
          throw broken ?? error;
        }
        return order.finished;
      };
      return {
        test,
        async done(within = deadline) {
          const started = performance.now();
          const isDone = async (): Promise<boolean> => {
            try {
              return test();
            } catch (error) {
              throw await named(order, error);
            }
          };
          for (let waited = 0; !(await isDone()); waited = (performance.now() - started) / 1000) {
            if (waited > within) {
              fail(await late(order, within));
              throw broken!;
            }
            base.progress();
            await pause(waited);
          }
        },
      };
    },
    join() {
      // What is ordered here later waits for what the runtime is asked for meanwhile, and may not be waited for.
      const until = orders;
      beside.inTurn(() => {
        const wait = (): void => {
          if (broken) return;
          driver.mark(joined, stream);
          driver.waitForMark(joined, beside.stream);
        };
        if (until <= issued) return wait();
        const letGo = beside.hold();
        holds.set(() => {
          wait();
          letGo();
        }, until);
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      const communicator = handle;
      handle = undefined;
      driver.makeCurrent();
      if (communicator !== undefined && !broken) {
        nccl.call.ncclCommFinalize(communicator);
        const started = performance.now();
        while (nccl.stateOf(communicator) === IN_PROGRESS && performance.now() - started < 1000 * ANSWER)
          await pause(EAGER);
        const ended = nccl.stateOf(communicator) === SUCCESS;
        nccl.call[ended ? "ncclCommDestroy" : "ncclCommAbort"](communicator);
      }
      attempt(() => {
        retire(orders);
        for (const mark of [joined, ...marks.splice(0)]) driver.destroyEvent(mark);
        driver.destroyStream(stream);
      });
    },
  };
}
