// Question: how does every chain get its own copy of something cheap?
//
// A repeated call, such as the widening of bfloat16 values to float32, is left out while the others are
// scheduled: its readers seem to read its input. Then each group that reads its result gets a copy of
// the call, right before the first reader, with a buffer of its own, which never leaves the chain.
// A reader that cannot take the rows as they come gets a copy that is scheduled like any other call, as late as it
// can be: so what is kept for long is always the input, which is the smaller one.

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
  const { calls: own, hidden } = separate(all, rowTile, kept);
  const originals = new Map<Call, Call>();
  const sourceOf = (buffer: Buffer): Buffer => {
    const call = hidden.get(buffer);
    return call ? reads(call)[0]!.buffer : buffer;
  };
  const calls = own.flatMap((call) => {
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

interface Separated {
  /** All calls; before a reader that cannot chain stands its own copy of the repeated call. */
  readonly calls: readonly Call[];
  /** The repeated calls by their results, which nobody reads but chains of the same rows. */
  readonly hidden: ReadonlyMap<Buffer, Call>;
}

function separate(all: readonly Call[], rowTile: number, kept: ReadonlySet<Buffer>): Separated {
  const read = new Set(all.flatMap((call) => reads(call).map(({ buffer }) => buffer)));
  const hidden = new Map<Buffer, Call>();
  for (const call of all) {
    const result = writes(call)[0]?.buffer;
    // A copy of a copy would have to be made in order: the second is scheduled.
    const plain = call.repeated && reads(call).every(({ buffer }) => !hidden.has(buffer));
    if (result && plain && read.has(result) && !kept.has(result)) hidden.set(result, call);
  }
  const calls = all.flatMap((call) => {
    const copies = new Map<Buffer, Call>();
    const own = withReads(call, (operand) => {
      const source = hidden.get(operand.buffer);
      if (!source || (operand.aligned && chains(call, source, rowTile))) return operand;
      const copy =
        copies.get(operand.buffer) ??
        ({ ...withWrite(source, { ...operand.buffer }), after: call.after, lazy: true } satisfies Call);
      copies.set(operand.buffer, copy);
      return { ...operand, buffer: writes(copy)[0]!.buffer };
    });
    return [...copies.values(), own];
  });
  return { calls, hidden };
}

/** Whether a reader takes the result of a repeated call row by row, or element by element, as it is made. */
function chains(reader: Call, source: Call, rowTile: number): boolean {
  const { domain } = reader;
  if (source.domain !== undefined) return domain === source.domain && reader.grain === rowTile;
  if (domain === undefined) return writes(reader)[0]!.buffer.bytes === writes(source)[0]!.buffer.bytes;
  return (
    reader.grain === rowTile &&
    source.operands.every((operand) => !operand || operand.buffer.bytes % (4 * domain) === 0)
  );
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
