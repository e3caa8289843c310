// Question: what does a kernel look like to CUDA's compiler?
//
// A namespace with what is the kernel's own, and an entry whose parameters are its operands. The name has the
// beginning of the hash of the text, so that two kernels of one name can lie in one module, and equal ones are one. A
// kernel with members finds its operands in a table: of each member a row with its first group, its numbers, and the
// addresses of its operands.

import { createHash } from "node:crypto";
import type { KernelWork } from "../gpu/work.ts";
import { translate } from "./translate.ts";
import type { CudaType, CudaWork } from "./work.ts";

/** A kernel as CUDA C++, without the prelude. */
export interface KernelText {
  /** Of its entry in the module. */
  readonly name: string;
  readonly text: string;
  /** Threads of a group. */
  readonly width: number;
  readonly groups: number;
  /** Bytes of shared memory that are named at the launch. */
  readonly sharedBytes: number;
}

const pointers: Readonly<Record<CudaType, string>> = {
  f32: "float*",
  i32: "int*",
  u32: "u32*",
  bf16: "bf16*",
  e4m3: "unsigned char*",
};

interface Parts {
  readonly parameters: readonly (readonly [type: string, name: string])[];
  readonly outside: readonly string[];
  readonly members: readonly string[];
  readonly body: string;
  readonly width: number;
  readonly groupsAtOnce?: number | undefined;
  readonly sharedBytes?: number | undefined;
  /** Names of the numbers of a member; absent where there are no members. */
  readonly numbers?: readonly string[] | undefined;
}

/**
 * @param title how profilers call it, such as "rmsNorm"
 * @param numbers the names of a member's numbers, where the kernel has members
 */
export function kernelText(title: string, work: KernelWork | CudaWork, numbers?: readonly string[]): KernelText {
  const parts: Parts = work.kind === "cuda" ? partsOfCuda(work) : { ...translate(work), width: work.width, numbers };
  const plain = textOf("NAME", parts);
  const hash = createHash("sha256").update(plain).digest("hex").slice(0, 16);
  const name = `${title.replaceAll(/\W/g, "_")}_${hash}`;
  const { sharedBytes = 0 } = parts;
  return { name, text: textOf(name, parts), width: work.width, groups: work.groups, sharedBytes };
}

function partsOfCuda({ operands, declarations, body, width, groupsAtOnce, sharedBytes }: CudaWork): Parts {
  const parameters = operands.map(({ name, type }) => [pointers[type], name] as const);
  return { parameters, outside: declarations, members: [], body, width, groupsAtOnce, sharedBytes };
}

function textOf(name: string, parts: Parts): string {
  const { parameters, outside, members, body, width, groupsAtOnce, sharedBytes = 0, numbers = [] } = parts;
  const shared = sharedBytes > 0 ? [["unsigned char*", "shared"] as const] : [];
  const own = [...parameters, ...numbers.map((number) => ["const u32", number] as const), ...shared];
  const bounds = groupsAtOnce === undefined ? `${width}` : `${width}, ${groupsAtOnce}`;
  const entry = `extern "C" __global__ void __launch_bounds__(${bounds}) ${name}`;
  return `namespace of_${name} {
${outside.join("\n")}
struct Thread {
${members.join("\n")}
DEVICE void run(const u32 group, const u32 lane${own.map(([type, operand]) => `, ${type} ${operand}`).join("")}) {
${body}
}
};
}
${parts.numbers ? `${entry}${membersText(name, parameters, numbers)}` : `${entry}${plainText(name, parameters, shared.length > 0)}`}
`;
}

type Parameters = Parts["parameters"];

const plainText = (name: string, parameters: Parameters, shared: boolean): string =>
  `(${parameters.map(([type, operand]) => `${type} ${operand}`).join(", ")}) {
${shared ? "DYNAMIC_SHARED(shared)\n" : ""}of_${name}::Thread thread;
thread.run(blockIdx.x, threadIdx.x${parameters.map(([, operand]) => `, ${operand}`).join("")}${shared ? ", shared" : ""});
}`;

/** The member is the last that begins at this group or before it. */
const membersText = (name: string, parameters: Parameters, numbers: readonly string[]): string =>
  `(const u64* table, u32 members) {
u32 member = 0, beyond = members;
while (beyond - member > 1) {
const u32 middle = (member + beyond) / 2;
if (table[middle * ${1 + numbers.length + parameters.length}] <= blockIdx.x) member = middle; else beyond = middle;
}
const u64* row = table + member * ${1 + numbers.length + parameters.length};
of_${name}::Thread thread;
thread.run(blockIdx.x - (u32)row[0], threadIdx.x${parameters.map(([type], at) => `, (${type})row[${1 + numbers.length + at}]`).join("")}${numbers.map((_, at) => `, (u32)row[${1 + at}]`).join("")});
}`;

/** The table of a kernel with members. */
export function memberTable(
  members: readonly { readonly numbers: Readonly<Record<string, number>>; readonly groups: number }[],
  addresses: readonly (readonly number[])[],
): BigUint64Array<ArrayBuffer> {
  let first = 0;
  const rows = members.map(({ numbers, groups }, at) => {
    const row = [first, ...Object.values(numbers), ...addresses[at]!];
    first += groups;
    return row;
  });
  return BigUint64Array.from(rows.flat().map(BigInt));
}
