// Question: where does every buffer live?
//
// A buffer is live from the phase that writes it to the last phase that reads it. Buffers whose lives
// do not meet share bytes: largest first, each at the lowest offset where it fits. A call may write
// over an input that dies with it, if nobody else of the phase reads that input. A buffer that one chain
// writes and reads row by row, and nobody else, needs no place in the arena: a tile of its rows lives in
// the memory of the thread, so it never leaves the cache.

import type { Device } from "../device.ts";
import {
  type ArenaPlan,
  type Buffer,
  type Call,
  type Group,
  type Life,
  type Local,
  type Phase,
  reads,
  writes,
} from "./calls.ts";

/**
 * @param phases the schedule
 * @param outputs buffers that must survive to the end of the program
 * @param updates [state, new value]: the new value is written over the state when nothing reads the state afterwards
 * @param passing buffers that must survive to the end of the phase that writes them last
 */
export function planArena(
  phases: readonly Phase[],
  device: Device,
  outputs: ReadonlySet<Buffer>,
  updates: ReadonlyMap<Buffer, Buffer>,
  passing: ReadonlySet<Buffer> = new Set(),
): ArenaPlan {
  const lives = new Map<Buffer, Life>();
  const sharing = new Map<Buffer, Buffer>();
  const readers = findReaders(phases);
  const stateOfNewValue = new Map([...updates].map(([state, value]) => [value, state]));
  const isWanted = (buffer: Buffer): boolean => outputs.has(buffer) || passing.has(buffer);
  const rootOf = (buffer: Buffer): Buffer => {
    const shared = sharing.get(buffer);
    return shared ? rootOf(shared) : buffer;
  };

  phases.forEach((groups, phase) => {
    for (const group of groups) {
      for (const call of group.calls) {
        for (const { buffer } of reads(call)) {
          const life = lives.get(rootOf(buffer));
          if (life) life.last = Math.max(life.last, phase);
        }
        for (const { buffer } of writes(call)) {
          const target = shareTarget(call, buffer, group, phase);
          if (target) sharing.set(buffer, target);
          const root = rootOf(buffer);
          const last = outputs.has(buffer) ? Number.POSITIVE_INFINITY : lastRead(buffer, phase);
          const life = lives.get(root);
          if (life) life.last = Math.max(life.last, last);
          else if (!root.state) lives.set(root, { first: phase, last });
        }
      }
    }
  });
  const groupsOf = findGroups(phases, rootOf);
  const shown = new Set([...passing].map(rootOf));
  const inChain = (root: Buffer): boolean =>
    groupsOf.get(root)!.size === 1 && Number.isFinite(lives.get(root)?.last) && !shown.has(root);
  const locals = new Map(
    phases.flatMap((groups) => groups.flatMap((group) => [...findLocals(group, device, inChain, rootOf)])),
  );
  for (const buffer of locals.keys()) lives.delete(buffer);
  const { offsets, bytes } = assignOffsets(lives, (buffer) => buffer.bytes, device, device.arenaPage);
  for (const buffer of sharing.keys()) {
    const offset = offsets.get(rootOf(buffer));
    if (offset !== undefined) offsets.set(buffer, offset);
  }
  return { offsets, bytes, locals, lives, sharing: new Map([...sharing.keys()].map((b) => [b, rootOf(b)])) };

  function lastRead(buffer: Buffer, phase: number): number {
    return Math.max(phase, ...(readers.get(buffer) ?? []).map((reader) => reader.phase));
  }

  /** The input this output may be written over, if any. */
  function shareTarget(call: Call, output: Buffer, group: Group, phase: number): Buffer | undefined {
    const state = stateOfNewValue.get(output);
    for (const [readIndex, writeIndex] of call.inPlace) {
      const from = call.operands[readIndex];
      const to = call.operands[writeIndex];
      if (!from || to?.buffer !== output || from.buffer.bytes !== output.bytes) continue;
      const source = rootOf(from.buffer);
      if (source.state !== undefined || state ? source !== state : isWanted(from.buffer)) continue;
      // Everything that lives in the source's storage must be dead after this call, but for this
      // call itself and calls before it in the same chain.
      const position = group.calls.indexOf(call);
      // A call may say so of an operand that its tasks do not share, if it reads it by this operand alone.
      const alone = call.operands.filter((operand) => operand?.buffer === from.buffer).length === 1;
      const tenants = [source, ...[...sharing].filter(([, root]) => rootOf(root) === source).map(([tenant]) => tenant)];
      const free = tenants.every(
        (tenant) =>
          !isWanted(tenant) &&
          (readers.get(tenant) ?? []).every(
            (reader) =>
              reader.phase < phase ||
              (alone && reader.call === call) ||
              (reader.aligned && reader.group === group && group.calls.indexOf(reader.call) <= position),
          ),
      );
      if (free) return source;
    }
    return undefined;
  }
}

interface Reader {
  readonly call: Call;
  readonly group: Group;
  readonly phase: number;
  readonly aligned: boolean;
}

function findReaders(phases: readonly Phase[]): Map<Buffer, Reader[]> {
  const readers = new Map<Buffer, Reader[]>();
  phases.forEach((groups, phase) => {
    for (const group of groups) {
      for (const call of group.calls) {
        for (const { buffer, aligned } of reads(call)) {
          const list = readers.get(buffer);
          const reader = { call, group, phase, aligned };
          if (list) list.push(reader);
          else readers.set(buffer, [reader]);
        }
      }
    }
  });
  return readers;
}

/** Which groups touch a buffer or another that shares its place. */
function findGroups(phases: readonly Phase[], rootOf: (buffer: Buffer) => Buffer): Map<Buffer, Set<Group>> {
  const found = new Map<Buffer, Set<Group>>();
  for (const group of phases.flat()) {
    for (const operand of group.calls.flatMap((call) => call.operands)) {
      if (!operand) continue;
      const root = rootOf(operand.buffer);
      const groups = found.get(root);
      if (groups) groups.add(group);
      else found.set(root, new Set([group]));
    }
  }
  return found;
}

/** The buffers (roots of sharing) that only this chain touches, row by row, and their places in a thread's memory. */
function findLocals(
  group: Group,
  device: Device,
  inChain: (root: Buffer) => boolean,
  rootOf: (buffer: Buffer) => Buffer,
): Map<Buffer, Local> {
  if (group.grain !== device.rowTile) return new Map();
  const { domain } = group;
  const used = new Map<Buffer, Life>();
  const excluded = new Set<Buffer>();
  group.calls.forEach((call, position) => {
    const tooMany = call.operands.length + call.words.length > device.localArguments;
    for (const operand of call.operands) {
      if (!operand) continue;
      const root = rootOf(operand.buffer);
      const life = used.get(root);
      if (life) life.last = position;
      else used.set(root, { first: position, last: position });
      if (!operand.aligned || root.bytes % (4 * domain) !== 0 || tooMany) excluded.add(root);
    }
  });
  const chain = new Map([...used].filter(([root]) => inChain(root) && !excluded.has(root)));
  const sizeOf = ({ bytes }: Buffer): number => (bytes / domain) * device.rowTile;
  for (;;) {
    const { offsets, bytes } = assignOffsets(chain, sizeOf, {
      alignment: device.localAlignment,
      padding: device.padding,
    });
    if (bytes <= device.localBytes)
      return new Map([...offsets].map(([buffer, offset]) => [buffer, { offset, rowBytes: buffer.bytes / domain }]));
    const largest = [...chain.keys()].reduce((a, b) => (b.bytes > a.bytes ? b : a));
    chain.delete(largest);
  }
}

/**
 * Largest first, each at the lowest offset where no buffer with a life that meets its own lies, and where it crosses no
 * multiple of `page`.
 */
function assignOffsets(
  lives: ReadonlyMap<Buffer, Life>,
  sizeOf: (buffer: Buffer) => number,
  { alignment, padding }: Pick<Device, "alignment" | "padding">,
  page = Number.POSITIVE_INFINITY,
): { offsets: Map<Buffer, number>; bytes: number } {
  const offsets = new Map<Buffer, number>();
  const placed: { offset: number; end: number; life: Life }[] = [];
  let most = 0;
  const inPage = (offset: number, size: number): number => {
    const end = (Math.floor(offset / page) + 1) * page;
    return offset + size > end ? end : offset;
  };
  const bySize = [...lives].sort(([a], [b]) => b.bytes - a.bytes);
  for (const [buffer, life] of bySize) {
    const size = Math.ceil((sizeOf(buffer) + padding) / alignment) * alignment;
    let offset = 0;
    for (const other of placed) {
      if (other.life.first > life.last || life.first > other.life.last) continue;
      if (offset + size <= other.offset) break;
      offset = inPage(Math.max(offset, other.end), size);
    }
    offsets.set(buffer, offset);
    const index = placed.findIndex((other) => other.offset > offset);
    placed.splice(index < 0 ? placed.length : index, 0, { offset, end: offset + size, life });
    most = Math.max(most, offset + size);
  }
  return { offsets, bytes: most };
}
