// Question: how is a plan written down for the interpreter?
//
// Into 32-bit words, laid out as kernels/interpreter.ts reads them. Every pointer is absolute, so
// nothing is looked up while the program runs.

import type { Buffer, Call, Group, Local, Phase, Word } from "../plan/calls.ts";

/** Words before the pointers to the groups. */
export const HEADER_WORDS = 4;
const GROUP_WORDS = 4;
const CALL_WORDS = 4;
const LOCAL_WORDS = 3;

export interface EncodedCall {
  readonly call: Call;
  readonly group: Group;
  /** Byte address of its record. */
  readonly record: number;
}

export interface EncodedProgram {
  readonly words: Int32Array;
  /** In order of execution. */
  readonly calls: readonly EncodedCall[];
}

/** Where a buffer lies: at an address, or in the memory of each thread. */
export type Place = { readonly address: number } | { readonly local: Local };

/** How many words a program takes. */
export function programSize(phases: readonly Phase[], placeOf: (buffer: Buffer) => Place): number {
  const groups = phases.flat();
  return (
    HEADER_WORDS +
    groups.reduce(
      (words, { calls }) =>
        words +
        1 +
        GROUP_WORDS +
        calls.reduce(
          (sum, call) =>
            sum + CALL_WORDS + LOCAL_WORDS * localsOf(call, placeOf).length + call.operands.length + call.words.length,
          0,
        ),
      0,
    )
  );
}

/** The operands that lie in the memory of each thread: [position among the arguments, offset, bytes of a row]. */
function localsOf(call: Call, placeOf: (buffer: Buffer) => Place): [number, number, number][] {
  return call.operands.flatMap((operand, index): [number, number, number][] => {
    const place = operand && placeOf(operand.buffer);
    return place && "local" in place ? [[index, place.local.offset, place.local.rowBytes]] : [];
  });
}

/**
 * @param phases the schedule
 * @param base byte address where the words will lie
 * @param placeOf where a buffer lies
 * @param kernelIndex the kernel's place in the function table
 */
export function encodeProgram(
  phases: readonly Phase[],
  base: number,
  placeOf: (buffer: Buffer) => Place,
  kernelIndex: (name: string) => number,
): EncodedProgram {
  const groups = phases.flatMap((phase) => phase.map((group, index) => ({ group, barrier: index === 0 })));
  const words = new Int32Array(programSize(phases, placeOf));
  const encoded: EncodedCall[] = [];
  const floats = new Float32Array(words.buffer);
  const address = (index: number): number => base + 4 * index;

  words[0] = groups.length;
  let next = HEADER_WORDS + groups.length;
  groups.forEach(({ barrier, group }, groupIndex) => {
    const { domain, grain, calls } = group;
    words[HEADER_WORDS + groupIndex] = address(next);
    words.set([barrier && groupIndex > 0 ? 1 : 0, domain, grain, calls.length], next);
    let table = next + GROUP_WORDS;
    next = table + calls.reduce((sum, call) => sum + CALL_WORDS + LOCAL_WORDS * localsOf(call, placeOf).length, 0);
    for (const call of calls) {
      const locals = localsOf(call, placeOf);
      const argumentWords = call.operands.length + call.words.length;
      words.set([kernelIndex(call.kernel), address(next), argumentWords, locals.length, ...locals.flat()], table);
      encoded.push({ call, group, record: address(table) });
      table += CALL_WORDS + LOCAL_WORDS * locals.length;
      for (const operand of call.operands) {
        const place = operand && placeOf(operand.buffer);
        words[next++] = place && "address" in place ? place.address : 0;
      }
      for (const word of call.words) {
        if ("f32" in word) floats[next++] = word.f32;
        else words[next++] = integerOf(word, call, domain);
      }
    }
  });
  return { words, calls: encoded };
}

function integerOf(word: Exclude<Word, { f32: number }>, call: Call, domain: number): number {
  if ("i32" in word) return word.i32;
  const elements = word.itemOf.bytes / 4;
  return elements % domain === 0 ? elements / domain : Math.ceil(elements / domain / 8) * 8;
}
