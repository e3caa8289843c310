// Question: for which machines can programs be planned where no runtime is open?

import { expectFields, expectName } from "../basics/fields.ts";
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
export function plannedMachine(choices: Partial<MachineChoices> = {}, name: keyof typeof machines = "wasm"): Machine {
  expectFields("plannedMachine", choices, { threads: "number", panelWidth: "number" });
  expectName("plannedMachine", "the runtime", name, Object.keys(machines));
  const { threads = 1, panelWidth = 16 } = choices;
  return machines[name]({ threads, panelWidth });
}
