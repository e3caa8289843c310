// Question: how are the kernels of a program bound to places in the memory of the GPU?
//
// A kernel's operands are bound one by one, each a range of a buffer of the GPU; operands at the same place share a
// binding. A kernel with members binds whole buffers, so that few bindings reach all of its operands, and finds them by
// a table of places: for each member [first group, its numbers, the first element of each operand].

import { showBytes, showMany } from "../../basics/show.ts";
import type { Buffer } from "../plan/calls.ts";
import type { Dispatch, Member } from "../gpu/fuse.ts";
import type { Place } from "../gpu/memory.ts";
import type { Pipelines, PipelineSlot } from "./pipelines.ts";
import { gridOf, memberText, shaderText } from "./shader.ts";

/** One dispatch of a program, bound to its places. */
export interface BoundDispatch {
  readonly slot: PipelineSlot;
  readonly group: GPUBindGroup;
  readonly grid: readonly [x: number, y: number];
}

export interface Bound {
  readonly calls: readonly BoundDispatch[];
  /** Settles when all its kernels are compiled or refused; undefined once they are. */
  readonly settled: Promise<void> | undefined;
  /** Of a kernel that was refused. */
  readonly error: Error | undefined;
  /** Give up the tables, once no order needs them. */
  release(): void;
}

export interface BindOptions {
  readonly device: GPUDevice;
  readonly pipelines: Pipelines;
  placeOf(buffer: Buffer): Place<GPUBuffer>;
  /** Make a buffer that holds these words. */
  tableOf(words: Uint32Array<ArrayBuffer>): GPUBuffer;
  drop(table: GPUBuffer): void;
}

/** Members of one kernel whose operands lie in the same buffers of the GPU. */
interface Bundle {
  readonly dispatch: Dispatch;
  readonly members: Member[];
  /** Of each operand. */
  readonly buffers: readonly GPUBuffer[];
  /** Where its table begins, in words. */
  begin: number;
}

const WORD = 4;
/** So many operands of a kernel are named in a message. */
const SHOWN = 6;

export function bind(dispatches: readonly Dispatch[], options: BindOptions): Bound {
  const { device, pipelines, placeOf, tableOf, drop } = options;
  const aligned = device.limits.minStorageBufferOffsetAlignment / WORD;
  const plans = dispatches.map((dispatch) => ({ dispatch, bundles: bundlesOf(dispatch, placeOf) }));
  const words: number[] = [];
  for (const bundle of plans.flatMap(({ bundles }) => bundles)) {
    while (words.length % aligned > 0) words.push(0);
    bundle.begin = words.length;
    words.push(...tableWords(bundle, placeOf));
  }
  const table = words.length > 0 ? tableOf(Uint32Array.from(words)) : undefined;
  const bundled = ({ dispatch: { kernel, label }, members, buffers, begin }: Bundle): BoundDispatch => {
    const distinct = [...new Set(buffers)];
    const groups = members.reduce((sum, member) => sum + member.groups, 0);
    const bindings = buffers.map((buffer) => 1 + distinct.indexOf(buffer));
    const code = memberText({ ...kernel, groups }, bindings, members.length, Object.keys(members[0]?.numbers ?? {}));
    const size = WORD * members.length * (1 + Object.keys(members[0]?.numbers ?? {}).length + buffers.length);
    return {
      slot: pipelines.request(
        label,
        () => sizesOf(members.flatMap((member) => member.buffers)),
        code,
        distinct.length + 1,
        true,
      ),
      group: device.createBindGroup({
        layout: pipelines.layout(distinct.length + 1, true),
        entries: [
          { binding: 0, resource: { buffer: table!, offset: WORD * begin, size } },
          ...distinct.map((buffer, at) => ({ binding: at + 1, resource: { buffer } })),
        ],
      }),
      grid: gridOf(groups),
    };
  };
  const calls = plans.flatMap(({ dispatch, bundles }) =>
    bundles.length > 0 ? bundles.map(bundled) : [single(dispatch, device, pipelines, placeOf)],
  );
  const slots = new Set(calls.map(({ slot }) => slot));
  let error: Error | undefined;
  let settled: Promise<void> | undefined = Promise.all(Array.from(slots, (slot) => slot.settled)).then(() => {
    settled = undefined;
    error = [...slots].find((slot) => slot.error)?.error;
  });
  return {
    calls,
    get settled() {
      return settled;
    },
    get error() {
      return error;
    },
    release() {
      if (table) drop(table);
    },
  };
}

function single(
  { kernel, label, buffers }: Dispatch,
  device: GPUDevice,
  pipelines: Pipelines,
  placeOf: (buffer: Buffer) => Place<GPUBuffer>,
): BoundDispatch {
  const entries: GPUBindGroupEntry[] = [];
  const known = new Map<string, number>();
  const bindings = buffers.map((buffer) => {
    const { gpu, offset, bytes } = placeOf(buffer);
    const key = `${idOf(gpu)} ${offset}`;
    let binding = known.get(key);
    if (binding === undefined) {
      known.set(key, (binding = entries.length));
      entries.push({ binding, resource: { buffer: gpu, offset, size: bytes } });
    }
    return binding;
  });
  return {
    slot: pipelines.request(label, () => sizesOf(buffers), shaderText(kernel, bindings), entries.length, false),
    group: device.createBindGroup({ layout: pipelines.layout(entries.length, false), entries }),
    grid: gridOf(kernel.groups),
  };
}

/** The operands of a kernel, for messages. */
function sizesOf(buffers: readonly Buffer[]): string {
  const shown = buffers.slice(0, SHOWN).map(({ bytes }) => showBytes(bytes));
  const more = buffers.length - shown.length;
  return `${showMany(buffers.length, "operand")} of ${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** The members of a dispatch by the buffers that hold their operands; none for a dispatch without members. */
function bundlesOf(dispatch: Dispatch, placeOf: (buffer: Buffer) => Place<GPUBuffer>): Bundle[] {
  const bundles = new Map<string, Bundle>();
  for (const member of dispatch.members ?? []) {
    const buffers = member.buffers.map((buffer) => placeOf(buffer).gpu);
    const key = buffers.map(idOf).join(" ");
    const known = bundles.get(key);
    if (known) known.members.push(member);
    else bundles.set(key, { dispatch, members: [member], buffers, begin: 0 });
  }
  return [...bundles.values()];
}

function tableWords({ members }: Bundle, placeOf: (buffer: Buffer) => Place<GPUBuffer>): number[] {
  let first = 0;
  return members.flatMap(({ buffers, numbers, groups }) => {
    const row = [first, ...Object.values(numbers), ...buffers.map((buffer) => placeOf(buffer).offset / WORD)];
    first += groups;
    return row;
  });
}

const ids = new WeakMap<GPUBuffer, number>();
let lastId = 0;

/** A number that is a buffer's own. */
function idOf(buffer: GPUBuffer): number {
  let id = ids.get(buffer);
  if (id === undefined) ids.set(buffer, (id = ++lastId));
  return id;
}
