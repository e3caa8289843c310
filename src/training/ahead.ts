// Question: how is a step begun before the loss of the one before it is known?
//
// A machine of its own does what it is asked for in order: it can be given step k + 1 while it computes step k, and
// never waits for somebody to read a loss. Runtimes say whether they are such (`Runtime.asynchronous`); on the others a
// step is begun when it is asked for. What a step is told is the same either way.

import type { Runtime } from "../runtime/runtime.ts";

/** A step whose orders have all been given. */
export interface BegunStep<R> {
  /** What it did; settles when the machine is done. */
  readonly told: Promise<R>;
}

/** The steps of one trainer; W is what is asked of a step and R what it tells. */
export interface Steps<W, R> {
  /** Whether a step has been begun ahead and not ended. */
  readonly begun: boolean;
  /**
   * Do a step, or end the one that was begun.
   *
   * @param step from 1
   * @param ahead wishes for the step after it, which is then begun before this one is waited for
   */
  take(step: number, wishes: W, ahead?: W): Promise<R>;
  /** Forget the step that was begun: what it told is not wanted any more. */
  drop(): void;
  /** Throws while a step has been begun: what is read now would be neither before it nor after it. */
  expectEnded(operation: string): void;
}

/**
 * @param begin gives all orders of a step, and waits for none but those it must
 */
export function createSteps<W, R>(
  { asynchronous = false }: Pick<Runtime, "asynchronous">,
  begin: (step: number, wishes: W) => Promise<BegunStep<R>>,
): Steps<W, R> {
  let ahead: { readonly step: number; readonly begun: Promise<BegunStep<R>> } | undefined;
  const beginNow = async (step: number, wishes: W): Promise<BegunStep<R>> => {
    const begun = await begin(step, wishes);
    // Whoever ends the step hears of it; until then, or if it is dropped, nobody does.
    begun.told.catch(() => undefined);
    return begun;
  };
  return {
    get begun() {
      return ahead !== undefined;
    },
    async take(step, wishes, next) {
      if (ahead && ahead.step !== step)
        throw new Error(
          `trainStep: step ${step} did not count, and step ${ahead.step} was begun before that was known, so the parameters are neither of the one nor of the other; restore() a saved state.`,
        );
      const begun = ahead?.begun ?? beginNow(step, wishes);
      ahead = undefined;
      const { told } = await begun;
      if (next !== undefined && asynchronous) {
        ahead = { step: step + 1, begun: beginNow(step + 1, next) };
        // All its orders are given before anything else can be asked for. If it fails, its own end tells it.
        await ahead.begun.catch(() => undefined);
      }
      return await told;
    },
    drop: () => void (ahead = undefined),
    expectEnded(operation) {
      if (ahead)
        throw new Error(
          `${operation}: step ${ahead.step} has been begun and is not ended; end it before, by checkpoint() of its run or trainStep() of its trainer.`,
        );
    },
  };
}

const lastDone = new WeakMap<object, number>();

/**
 * Seconds that a step took which has been told of now: from its first order, or from when the step before it was told
 * of, of whichever trainer of the runtime.
 *
 * @param started by `performance.now()`
 */
export function secondsOf(runtime: Runtime, started: number): number {
  const now = performance.now();
  const from = Math.max(started, lastDone.get(runtime) ?? 0);
  lastDone.set(runtime, now);
  return (now - from) / 1000;
}
