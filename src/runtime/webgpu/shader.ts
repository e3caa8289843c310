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
  const names = new Map(operands.map(({ name }, at) => [name, `b${bindings[at]!}[`]));
  return [
    ...declarations(operands, bindings),
    ...functions,
    entryPoint(
      width,
      `let group: u32 = groupPlace.y * groupCounts.x + groupPlace.x;
  if (group >= ${groups}u) { return; }${withPlaces(body, names)}`,
    ),
  ].join("\n");
}

/**
 * The module of a kernel with members, which finds its operands by a table (see bind.ts).
 *
 * @param bindings of each operand, the binding of the buffer that it lies in; the table's is 0
 * @param members how many there are
 * @param numbers the names of a member's numbers
 */
export function memberText(
  { operands, functions, body, width, groups }: KernelWork,
  bindings: readonly number[],
  members: number,
  numbers: readonly string[],
): string {
  const names = new Map(operands.map(({ name }, at) => [name, `b${bindings[at]!}[${name}At + `]));
  const row = 1 + numbers.length + operands.length;
  const entries = [...numbers, ...operands.map(({ name }) => `${name}At`)];
  return [
    "@group(0) @binding(0) var<storage, read> places: array<u32>;",
    ...declarations(operands, bindings),
    ...functions,
    entryPoint(
      width,
      `let place: u32 = groupPlace.y * groupCounts.x + groupPlace.x;
  if (place >= ${groups}u) { return; }
  // The last member that begins at this group or before it.
  var member: u32 = 0u;
  var beyond: u32 = ${members}u;
  while (beyond - member > 1u) {
    let middle: u32 = (member + beyond) / 2u;
    if (places[middle * ${row}u] <= place) { member = middle; } else { beyond = middle; }
  }
  let entry: u32 = member * ${row}u;
  let group: u32 = place - places[entry];
${entries.map((name, at) => `  let ${name}: u32 = places[entry + ${at + 1}u];`).join("\n")}${withPlaces(body, names)}`,
    ),
  ].join("\n");
}

function declarations(operands: KernelWork["operands"], bindings: readonly number[]): string[] {
  const declared = new Map(operands.map(({ type }, at) => [bindings[at]!, type]));
  return [...declared].map(
    ([binding, type]) => `@group(0) @binding(${binding}) var<storage, read_write> b${binding}: array<${type}>;`,
  );
}

/** A body whose operands are called by their bindings. */
function withPlaces(body: string, names: ReadonlyMap<string, string>): string {
  return body.replaceAll(/\b([A-Za-z]\w*)\[/g, (whole, name: string) => names.get(name) ?? whole);
}

function entryPoint(width: number, body: string): string {
  return `@compute @workgroup_size(${width})
fn main(@builtin(workgroup_id) groupPlace: vec3<u32>, @builtin(num_workgroups) groupCounts: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  ${body}
}`;
}
