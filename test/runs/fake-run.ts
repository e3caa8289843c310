// A run without a model: it counts its steps and checkpoints, and throws at the step it is told to.

import type { Run } from "../../src/runs/run.ts";
import type { EventRecord, MetricRecord } from "../../src/training/records.ts";

/** Steps that a fake run has. */
export const STEPS = 5;

/** What a fake run does that others do not. */
interface FakeOptions {
  /** An error in place of the step `at`. */
  readonly failure?: { readonly at: number; readonly error: Error };
  /** An error of each save. */
  readonly unsaved?: Error;
  /** An event that comes with its step. */
  readonly event?: EventRecord;
}

export function fakeRun(
  name: string,
  { failure, unsaved, event }: FakeOptions = {},
): Run & { readonly saved: number[]; readonly closed: boolean } {
  const metrics: MetricRecord[] = [];
  const events: EventRecord[] = [];
  const saved: number[] = [];
  let step = 0;
  let closed = false;
  return {
    config: { name, steps: STEPS } as Run["config"],
    trainer: {
      get step() {
        return step;
      },
      parameterCount: 7,
      memoryBytes: 2 ** 20,
    } as Run["trainer"],
    folder: { folder: `runs/${name}` } as Run["folder"],
    get finished() {
      return step >= STEPS;
    },
    metrics,
    gains: [],
    events,
    saved,
    get closed() {
      return closed;
    },
    async advance() {
      if (closed) throw new Error(`${name} is closed`);
      if (step + 1 === failure?.at) throw failure.error;
      step++;
      const record = { step, loss: 1, gradientNorm: step, learningRate: 1, tokensPerSecond: 1, seconds: 1 };
      metrics.push(record);
      if (event?.step === step) events.push(event);
      return record;
    },
    async checkpoint() {
      if (unsaved) throw unsaved;
      saved.push(step);
    },
    close: () => void (closed = true),
  };
}
