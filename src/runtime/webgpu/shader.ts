// Question: what does a kernel look like to WebGPU?
//
// Every operand is bound read-write: WebGPU forbids a buffer that is bound read-only and read-write in one dispatch,
// even in parts that do not meet, and most operands lie in one arena. Operands at the same place share a binding.

import type { KernelWork } from "../gpu/work.ts";

/** The most groups of threads along one axis of a dispatch. */
const MOST_GROUPS = 65535;

/** How many groups along x and y: at least `groups` together, and few more. */
export function gridOf(groups: number): readonly [x: number, y: number] {
  const y = Math.ceil(groups / MOST_GROUPS);
  return [Math.ceil(groups / y), y];
}

/**
 * The module of a kernel.
 *
 * @param bindings of each operand, its binding
 */
export function shaderText(
  { operands, functions, body, width, groups }: KernelWork,
  bindings: readonly number[],
): string {
  const declared = new Map(operands.map(({ type }, at) => [bindings[at]!, type]));
  const names = new Map(operands.map(({ name }, at) => [name, `b${bindings[at]!}`]));
  const bound = body.replaceAll(/\b([A-Za-z]\w*)\[/g, (whole, name: string) =>
    names.has(name) ? `${names.get(name)}[` : whole,
  );
  return [
    ...[...declared].map(
      ([binding, type]) => `@group(0) @binding(${binding}) var<storage, read_write> b${binding}: array<${type}>;`,
    ),
    ...functions,
    `@compute @workgroup_size(${width})
fn main(@builtin(workgroup_id) groupPlace: vec3<u32>, @builtin(num_workgroups) groupCounts: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let group: u32 = groupPlace.y * groupCounts.x + groupPlace.x;
  if (group >= ${groups}u) { return; }${bound}
}`,
  ].join("\n");
}
