// Question: which numbers has the CPU, as WebAssembly sees it?

import type { Device } from "../device.ts";
import { ARGUMENT_BYTES, LOCAL_ALIGNMENT, ROW_TILE } from "./constants.ts";

/** Bytes. */
export const PAGE = 65536;
/** Pages of a memory of 32-bit addresses. */
export const MAXIMUM_PAGES = 65536;

/** What is measured or chosen when the runtime starts; the rest is the same on every CPU. */
export type CpuChoices = Pick<Device, "threads" | "panelWidth">;

export function cpuDevice({ threads, panelWidth }: CpuChoices): Device {
  return {
    threads,
    panelWidth,
    rowTile: ROW_TILE,
    elementBlock: 4096,
    localBytes: 2 << 20,
    localAlignment: LOCAL_ALIGNMENT,
    localArguments: ARGUMENT_BYTES / 4,
    alignment: 64,
    padding: 64,
    largestMemory: MAXIMUM_PAGES * PAGE,
  };
}
