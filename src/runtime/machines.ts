// Question: for which machines can programs be planned where no runtime is open?

import type { Device } from "./device.ts";
import type { Machine } from "./plan/machine.ts";
import { wasmMachine } from "./wasm/machine.ts";

/** What a machine would choose or measure when a runtime is opened on it. */
export type MachineChoices = Pick<Device, "threads" | "panelWidth">;

/** By the name of their runtime. */
const machines: Readonly<Record<"wasm", (choices: MachineChoices) => Machine>> = { wasm: wasmMachine };

/**
 * A machine as its runtime would find it.
 *
 * @param choices by default one thread, and panels of 16 columns
 * @param name of the runtime
 */
export function plannedMachine(
  { threads = 1, panelWidth = 16 }: Partial<MachineChoices> = {},
  name: keyof typeof machines = "wasm",
): Machine {
  return machines[name]({ threads, panelWidth });
}
