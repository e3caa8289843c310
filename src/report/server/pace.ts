// Question: how long will a run still train?
//
// The time of a run's own steps does not tell: runs in one process take turns. So the server looks at the clock when it
// sees a run's step, and divides the steps that are left by the steps a second of the last minutes.

interface Seen {
  /** Milliseconds on a clock that only goes forward. */
  readonly at: number;
  readonly step: number;
}

/** Tells, for a run that is at a step now, the seconds that the steps to its last one will take. */
export interface Pace {
  /** Undefined until enough steps were seen. */
  secondsLeft(step: number, steps: number): number | undefined;
}

const [LEAST_MS, LEAST_STEPS] = [2000, 2];
/** A look is kept so long after the one before it, and so many are kept. */
const [APART_MS, KEPT] = [5000, 24];

export function createPace(now: () => number = () => performance.now()): Pace {
  let seen: Seen[] = [];
  return {
    secondsLeft(step, steps) {
      const at = now();
      // The run went back.
      if (step < (seen.at(-1)?.step ?? 0)) seen = [];
      if (seen.length === 0 || at - seen.at(-1)!.at > APART_MS) seen = [...seen.slice(1 - KEPT), { at, step }];
      const first = seen[0]!;
      if (at - first.at < LEAST_MS || step - first.step < LEAST_STEPS) return undefined;
      return Math.round(((at - first.at) / 1000 / (step - first.step)) * (steps - step));
    },
  };
}
