// Question: what does a person see while a sweep runs?
//
// A terminal shows one line, redrawn in place: the runs done, the runs in progress, the time left. A pipe gets a plain
// line now and then.

import { duration } from "./live.ts";

export interface SweepState {
  readonly done: number;
  readonly points: number;
  readonly running: readonly {
    readonly name: string;
    readonly step: number;
    readonly steps: number;
    readonly loss: number | undefined;
  }[];
  readonly secondsLeft: number | undefined;
}

export interface SweepView {
  update(state: SweepState): void;
  close(): void;
}

const PLAIN_MS = 10_000;

/** Draw on a terminal if there is one, and write plain lines otherwise. */
export function createSweepView(stream: NodeJS.WriteStream = process.stderr): SweepView {
  let [shown, done] = [-Infinity, -1];
  const erase = (): void => void stream.write("\r\x1b[0K");
  return {
    update(state) {
      const line = progressLine(state);
      if (stream.isTTY) {
        erase();
        stream.write(line.slice(0, (stream.columns || 80) - 1));
        return;
      }
      const due = performance.now() - shown > PLAIN_MS || (state.done > done && state.done === state.points);
      if (!due) return;
      [shown, done] = [performance.now(), state.done];
      stream.write(`${line}\n`);
    },
    close: () => void (stream.isTTY && erase()),
  };
}

function progressLine({ done, points, running, secondsLeft }: SweepState): string {
  const left = secondsLeft === undefined ? [] : [`${duration(secondsLeft)} left`];
  const runs = running.map(
    ({ name, step, steps, loss }) => `${name} ${step}/${steps}${loss === undefined ? "" : ` loss ${loss.toFixed(3)}`}`,
  );
  return [`${done}/${points} runs`, ...left, ...runs].join(" · ");
}
