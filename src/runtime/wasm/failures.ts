// Question: how does what goes wrong in a thread reach the caller?
//
// Threads leave word in the control block. An index out of range is recorded by the kernel, which goes on with index 0
// (kernels/indices.ts): the run ends, and then the caller gets a RangeError. A trap ends a thread for good. It sets a
// flag and wakes the others, so that none waits for it, and the runtime does nothing any more. For a thread that has ended
// without a word the calling thread does the same (engine.ts).

import { IndexError } from "../../ops/indices.ts";
import {
  CONTROL_BYTES,
  CONTROL_FAILED,
  CONTROL_OPENED,
  FAILED_CALL,
  FAILED_LENGTH,
  FAILED_TEXT,
  OFFENCE_CALL,
  OFFENCE_INDEX,
  OFFENCE_POSITION,
  OFFENCE_ROWS,
} from "./constants.ts";

/** What CONTROL_FAILED holds while a thread leaves word, and afterwards. */
const [WRITING, WRITTEN] = [1, 2];
/** Milliseconds for another thread to leave its word. */
const WORD_MS = 1000;

/** A thread has trapped: let the others leave, and leave what the caller is to read. */
export function recordTrap(memory: WebAssembly.Memory, control: number, call: number, error: unknown): void {
  const words = controlWords(memory, control);
  // Of several threads the first one tells.
  if (Atomics.compareExchange(words, CONTROL_FAILED / 4, 0, WRITING) === 0) {
    const text = new TextEncoder().encode(error instanceof Error ? error.message : String(error));
    const kept = text.subarray(0, CONTROL_BYTES - FAILED_TEXT);
    new Uint8Array(memory.buffer, control + FAILED_TEXT).set(kept);
    words[FAILED_LENGTH / 4] = kept.length;
    words[FAILED_CALL / 4] = call;
    Atomics.store(words, CONTROL_FAILED / 4, WRITTEN);
  }
  Atomics.add(words, CONTROL_OPENED / 4, 1);
  Atomics.notify(words, CONTROL_OPENED / 4);
}

/** A call of a program, for messages. */
export interface NamedCall {
  /** Byte address of its record. */
  readonly record: number;
  readonly call: { readonly label: string };
}

/** Runs work of a runtime's threads, and throws what went wrong in one of them. */
export interface Watch {
  /**
   * @param calls those that the work may run, for names
   * @param begun whether threads have begun it already: what they have left word of counts
   */
  over<T>(calls: readonly NamedCall[], work: () => T, begun?: boolean): T;
  /**
   * Throw when a thread has trapped or ended, and say why.
   *
   * @param ended what has become of a thread that has ended
   */
  expectSound(ended?: string): void;
}

/** @param currentCall the record of the call that the calling thread was at when it trapped */
export function watchThreads(memory: WebAssembly.Memory, control: number, currentCall: () => number): Watch {
  let failure: Error | undefined;
  const expectSound = (ended?: string): void => {
    if (!failure && ended !== undefined) failure = new Error(ended);
    if (!failure) return;
    // The step that failed may have changed some states and not others: nothing is to be saved of them.
    throw new Error(
      `This runtime has failed and does nothing any more (${failure.message}); close it and open another.`,
      { cause: failure },
    );
  };
  return {
    expectSound,
    over(calls, work, begun = false) {
      expectSound();
      const words = controlWords(memory, control);
      if (!begun) words[OFFENCE_CALL / 4] = 0;
      let result: ReturnType<typeof work> | undefined;
      let cause: unknown;
      try {
        result = work();
      } catch (error) {
        if (!(error instanceof WebAssembly.RuntimeError)) throw error;
        cause = error;
        recordTrap(memory, control, currentCall(), error);
      }
      if (Atomics.load(words, CONTROL_FAILED / 4) !== 0) {
        const until = performance.now() + WORD_MS;
        while (Atomics.load(words, CONTROL_FAILED / 4) === WRITING && performance.now() < until);
        failure = trapOf(memory, words, control, calls, cause);
        throw failure;
      }
      if (words[OFFENCE_CALL / 4] !== 0) throw offenceOf(words, calls);
      return result as ReturnType<typeof work>;
    },
  };
}

function trapOf(
  memory: WebAssembly.Memory,
  words: Int32Array,
  control: number,
  calls: readonly NamedCall[],
  cause: unknown,
): Error {
  const { operation, scope } = nameOf(words[FAILED_CALL / 4], calls);
  // A shared buffer cannot be decoded where it is.
  const text = new Uint8Array(memory.buffer, control + FAILED_TEXT, words[FAILED_LENGTH / 4]).slice();
  return new Error(
    `${operation}${scope === "" ? "" : ` (in ${scope})`}: a thread of the CPU runtime failed (${new TextDecoder().decode(text)}); ` +
      "close this runtime and open another.",
    { cause },
  );
}

function offenceOf(words: Int32Array, calls: readonly NamedCall[]): IndexError {
  const { operation, scope } = nameOf(words[OFFENCE_CALL / 4], calls);
  const at = (offset: number): number => words[offset / 4] ?? 0;
  const offence = { index: at(OFFENCE_INDEX), position: at(OFFENCE_POSITION), rows: at(OFFENCE_ROWS) };
  return new IndexError(operation, offence, scope);
}

/** A label is "scope:operation", or the operation alone. */
function nameOf(record: number | undefined, calls: readonly NamedCall[]): { operation: string; scope: string } {
  const label = calls.find((encoded) => encoded.record === record)?.call.label ?? "run";
  const colon = label.lastIndexOf(":");
  return { operation: label.slice(colon + 1), scope: label.slice(0, Math.max(0, colon)) };
}

function controlWords(memory: WebAssembly.Memory, control: number): Int32Array {
  return new Int32Array(memory.buffer, control, CONTROL_BYTES / 4);
}
