// Question: what does a person see while a sweep runs?
//
// A terminal shows one line, redrawn in place: the runs done, the runs in progress, the time left. A pipe gets a plain
// line now and then, with the time of day.

import { showMany } from "../basics/show.ts";
import { duration, timeOfDay } from "./live.ts";
import { widthOf } from "./terminal.ts";

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
  /** The sweep was asked to end: its runs save, and then it leaves. */
  ending(): void;
  close(): void;
}

const PLAIN_MS = 10_000;

/** Draw on a terminal if there is one, and write plain lines with the time of day otherwise. */
export function createSweepView(stream: NodeJS.WriteStream = process.stderr): SweepView {
  let [shown, done] = [-Infinity, -1];
  let line = "";
  let isEnding = false;
  const erase = (): void => void stream.write("\r\x1b[0K");
  const draw = (): void => {
    erase();
    const text = isEnding ? `saving · Ctrl-C again leaves at once · ${line}` : line;
    stream.write(text.slice(0, widthOf(stream) - 1));
  };
  return {
    update(state) {
      line = progressLine(state);
      if (stream.isTTY) return draw();
      const due = performance.now() - shown > PLAIN_MS || (state.done > done && state.done === state.points);
      if (!due) return;
      [shown, done] = [performance.now(), state.done];
      stream.write(`${timeOfDay()} ${line}\n`);
    },
    ending() {
      isEnding = true;
      if (stream.isTTY) draw();
      else stream.write(`${timeOfDay()} saving, then this ends\n`);
    },
    close: () => void (stream.isTTY && erase()),
  };
}

function progressLine({ done, points, running, secondsLeft }: SweepState): string {
  const left = secondsLeft === undefined ? [] : [`${duration(secondsLeft)} left`];
  const runs = running.map(
    ({ name, step, steps, loss }) => `${name} ${step}/${steps}${loss === undefined ? "" : ` loss ${loss.toFixed(3)}`}`,
  );
  return [`${done} of ${showMany(points, "run")}`, ...left, ...runs].join(" · ");
}
