// Question: what can a GPU do, on paper?
//
// Peak dense rates (no sparsity) and sizes from the vendors' data sheets. What a training run reaches of the
// matrix rate is the model FLOP utilisation, which the planner is told (see time.ts).
//
// Sources
//   H100, H200   NVIDIA H100 and H200 Tensor Core GPU data sheets, SXM; the sheets print rates with 2:4
//                sparsity (1979 and 989 TFLOP/s), half of which is the dense rate
//   H800         NVIDIA H800 Tensor Core GPU data sheet, SXM: an H100 with NVLink at 400 GB/s
//   B200         NVIDIA Blackwell architecture technical brief, HGX B200; DGX B200 data sheet: 1440 GB and
//                64 TB/s for eight GPUs
//   MI300X       AMD Instinct MI300X data sheet: 1307.4 and 653.7 TFLOP/s matrix, 163.4 vector; seven
//                Infinity Fabric links of 128 GB/s
// Others who read the same sheets: glennklockwood.com/garden/processors/h100 (989.4, 494.7 and 66.9 TFLOP/s,
// 3.35 TB/s, 80 GB) and rooflinenotes.dev/accelerators (H200 4.8 TB/s and 141 GB; B200 2.25 PFLOP/s, 8 TB/s and
// 180 GB; MI300X 1.3 PFLOP/s, 5.3 TB/s and 192 GB). Some list a B200 with its full 192 GB.

import { MOST_COUNT } from "../basics/bounds.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";

/** What a GPU, or a measured machine, can do. */
export interface Hardware {
  readonly name: string;
  /** Peak dense FLOP/s: products of bfloat16 matrices, of tfloat32 ones, and float32 arithmetic without them. */
  readonly peak: { readonly bf16: number; readonly tf32: number; readonly fp32: number };
  /** Bytes a second from memory. */
  readonly bandwidth: number;
  readonly memoryBytes: number;
  /** Bytes a second to other GPUs of the same machine, both directions together. */
  readonly interconnect?: number;
  /** Bytes a second and direction of a GPU's own adapter, to GPUs of other machines. Default 50e9: 400 Gbit/s. */
  readonly network?: number;
  /** Default 8. */
  readonly gpusPerMachine?: number;
  /** A measured profile has no gap between its peak and what a program reaches in products of matrices. */
  readonly measured?: true;
}

const rules: FieldRules<Hardware> = {
  name: "text",
  peak: "group",
  bandwidth: "number",
  memoryBytes: "number",
  interconnect: "number",
  network: "number",
  gpusPerMachine: "number",
  measured: "flag",
};

/**
 * Throw unless a profile has all its rates and no other field.
 *
 * @param operation who asks: the first part of the message
 */
export function expectHardware(operation: string, hardware: Hardware): void {
  const what = "field of hardware";
  expectFields(operation, hardware, rules, what);
  expectFields(operation, hardware.peak, { bf16: "number", tf32: "number", fp32: "number" }, `${what}.peak`);
  const { bandwidth, memoryBytes, interconnect = 1, network = 1, gpusPerMachine = 1, peak } = hardware;
  expectWhole(operation, "hardware.gpusPerMachine", gpusPerMachine, 1, MOST_COUNT);
  const rates = { bandwidth, memoryBytes, interconnect, network, "peak.bf16": peak.bf16, "peak.tf32": peak.tf32 };
  for (const [name, value] of Object.entries({ ...rates, "peak.fp32": peak.fp32 }))
    if (!(value > 0 && value < Number.POSITIVE_INFINITY))
      throw new RangeError(`${operation}: hardware.${name} is ${value}; it must be a finite number above 0. Give it.`);
}

/** A GPU with a profile. */
export type HardwareName = "h100" | "h200" | "h800" | "b200" | "mi300x";

const hopper = { bf16: 989.4e12, tf32: 494.7e12, fp32: 66.9e12 } as const;

/** Profiles from data sheets, whose sources stand at the head of this file. */
export const hardwareProfiles: Readonly<Record<HardwareName, Hardware>> = {
  h100: { name: "H100 SXM", peak: hopper, bandwidth: 3.35e12, memoryBytes: 80e9, interconnect: 900e9 },
  h200: { name: "H200 SXM", peak: hopper, bandwidth: 4.8e12, memoryBytes: 141e9, interconnect: 900e9 },
  h800: { name: "H800 SXM", peak: hopper, bandwidth: 3.35e12, memoryBytes: 80e9, interconnect: 400e9 },
  b200: {
    name: "B200 (HGX)",
    peak: { bf16: 2250e12, tf32: 1100e12, fp32: 80e12 },
    bandwidth: 8e12,
    memoryBytes: 180e9,
    interconnect: 1800e9,
  },
  mi300x: {
    name: "MI300X",
    peak: { bf16: 1307.4e12, tf32: 653.7e12, fp32: 163.4e12 },
    bandwidth: 5.3e12,
    memoryBytes: 192e9,
    interconnect: 896e9,
  },
};

export const hardwareNames: readonly HardwareName[] = Object.keys(hardwareProfiles) as HardwareName[];
