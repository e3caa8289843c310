// Question: how does every chain get its own copy of something cheap?
//
// A repeated call, such as the widening of bfloat16 streams to float32, is left out while the others are
// scheduled: its readers seem to read its input. Then each group that reads its result gets a copy of
// the call, right before the first reader, with a buffer of its own, which never leaves the chain.
// If some reader cannot take the rows as they come, the call is scheduled like any other.

import { type Buffer, type Call, type Group, type Operand, reads, writes } from "./calls.ts";

export interface Hidden {
  /** The calls to schedule. */
  readonly calls: Call[];
  /** A group of them with the repeated calls back in place. */
  reveal(group: Group): Group;
}

/**
 * @param rowTile rows of a tile
 * @param kept buffers that outlive the program: there must be one of each
 */
export function hideRepeated(all: readonly Call[], rowTile: number, kept: ReadonlySet<Buffer>): Hidden {
  const hidden = findHidden(all, rowTile, kept);
  const originals = new Map<Call, Call>();
  const sourceOf = (buffer: Buffer): Buffer => {
    const call = hidden.get(buffer);
    return call ? reads(call)[0]!.buffer : buffer;
  };
  const calls = all.flatMap((call) => {
    if (hidden.has(writes(call)[0]!.buffer)) return [];
    const direct = withReads(call, (operand) => ({ ...operand, buffer: sourceOf(operand.buffer) }));
    const after = call.after && sourceOf(call.after);
    if (direct === call && after === call.after) return [call];
    const scheduled = { ...direct, after };
    originals.set(scheduled, call);
    return [scheduled];
  });
  const reveal = (group: Group): Group => {
    if (!group.calls.some((call) => originals.has(call))) return group;
    const copies = new Map<Buffer, Buffer>();
    const revealed = group.calls.flatMap((call) => {
      const before: Call[] = [];
      const own = withReads(originals.get(call) ?? call, (operand) => {
        const source = hidden.get(operand.buffer);
        if (!source) return operand;
        let copy = copies.get(operand.buffer);
        if (!copy) {
          copies.set(operand.buffer, (copy = { ...operand.buffer }));
          before.push(withWrite(source, copy));
        }
        return { ...operand, buffer: copy };
      });
      return [...before, own];
    });
    return { ...group, calls: revealed };
  };
  return { calls, reveal };
}

/** The repeated calls by their results, those whose readers are all chains of the same rows. */
function findHidden(calls: readonly Call[], rowTile: number, kept: ReadonlySet<Buffer>): Map<Buffer, Call> {
  const hidden = new Map(calls.filter(({ repeated }) => repeated).map((call) => [writes(call)[0]!.buffer, call]));
  for (const buffer of kept) hidden.delete(buffer);
  for (const call of calls) {
    for (const { buffer, aligned } of reads(call)) {
      const source = hidden.get(buffer);
      if (source && !(aligned && call.grain === rowTile && call.domain === source.domain)) hidden.delete(buffer);
      // A copy of a copy would have to be made in order: the second is scheduled.
      if (source && call.repeated) hidden.delete(writes(call)[0]!.buffer);
    }
  }
  const read = new Set(calls.flatMap((call) => reads(call).map(({ buffer }) => buffer)));
  return new Map([...hidden].filter(([buffer]) => read.has(buffer)));
}

function withReads(call: Call, change: (operand: Operand) => Operand): Call {
  const operands = call.operands.map((operand) => (operand?.access === "read" ? change(operand) : operand));
  const same = operands.every((operand, index) => operand?.buffer === call.operands[index]?.buffer);
  return same ? call : { ...call, operands };
}

function withWrite(call: Call, buffer: Buffer): Call {
  return {
    ...call,
    operands: call.operands.map((operand) => (operand?.access === "write" ? { ...operand, buffer } : operand)),
  };
}
