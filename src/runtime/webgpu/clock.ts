// Question: how long does the GPU itself take for programs?
//
// By its own clock, where it has one: a timestamp at the beginning of the first pass and one at the end of each, of which
// the last stays.

import type { Orders } from "./orders.ts";
import type { Reads } from "./reads.ts";

export interface Clock {
  /** How a pass begins: undefined while nobody times. */
  pass(): GPUComputePassDescriptor | undefined;
  /** Milliseconds from the first kernel to the last of the programs that are run by the call. */
  time(act: () => void): Promise<number>;
}

const TIMESTAMPS = "timestamp-query";
/** GPUBufferUsage.QUERY_RESOLVE and COPY_SRC, which are not there before the package is. */
const RESOLVE = 512 | 4;

/** Undefined where the GPU has no clock for programs. */
export function createClock(
  device: GPUDevice,
  orders: Pick<Orders, "give" | "encoder">,
  reads: Pick<Reads, "read">,
): Clock | undefined {
  if (!device.features.has(TIMESTAMPS)) return undefined;
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
  const stamps = device.createBuffer({ label: "timestamps", size: 16, usage: RESOLVE });
  let timing: "no" | "from here" | "on" = "no";
  return {
    pass() {
      if (timing === "no") return undefined;
      const begins = timing === "from here";
      timing = "on";
      return {
        timestampWrites: { querySet, ...(begins && { beginningOfPassWriteIndex: 0 }), endOfPassWriteIndex: 1 },
      };
    },
    async time(act) {
      orders.give(() => void (timing = "from here"));
      act();
      orders.give(() => {
        timing = "no";
        orders.encoder().resolveQuerySet(querySet, 0, 2, stamps, 0);
      });
      const [bytes] = await reads.read({ places: () => [{ gpu: stamps, offset: 0, bytes: 16 }] });
      const [from = 0n, to = 0n] = new BigUint64Array(bytes!);
      return Number(to - from) / 1e6;
    },
  };
}
