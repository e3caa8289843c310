// Runs that take turns: what happens to the others when one goes wrong, and who may ask for what.

import { expect, test } from "vitest";
import { type RunRequest, type RunRequests, trainInTurns } from "../../src/runs/train-runs.ts";
import { AlarmError, DivergenceError } from "../../src/training/reactions.ts";
import type { EventRecord, MetricRecord } from "../../src/training/records.ts";
import { fakeRun, STEPS } from "./fake-run.ts";

/** Someone who asks when a test says so. */
function asker(): RunRequests & { ask: RunRequest; readonly listening: boolean } {
  let handler: RunRequest | undefined;
  return {
    listen: (wanted) => void (handler = wanted),
    ask: (...request) => handler?.(...request),
    get listening() {
      return handler !== undefined;
    },
  };
}
const stepsOf = (runs: readonly ReturnType<typeof fakeRun>[]): number[] => runs.map(({ trainer }) => trainer.step);
const savedOf = (runs: readonly ReturnType<typeof fakeRun>[]): number[][] => runs.map(({ saved }) => saved);

test("runs take turns, and all are saved at their end", async () => {
  const runs = [fakeRun("one"), fakeRun("other")];
  const order: string[] = [];
  const result = await trainInTurns(runs, { onStep: ({ config }) => order.push(config.name) });
  expect(order).toEqual(Array.from({ length: STEPS }, () => ["one", "other"]).flat());
  expect(savedOf(runs)).toEqual([[STEPS], [STEPS]]);
  expect([result.interrupted, result.failed.size, result.dismissed.size]).toEqual([false, 0, 0]);
});

test("a step may be asynchronous", async () => {
  const run = fakeRun("later");
  const later = { ...run, trainer: run.trainer, advance: () => Promise.resolve().then(() => run.advance()) };
  Object.defineProperty(later, "finished", { get: () => run.finished });
  await trainInTurns([later]);
  expect([run.trainer.step, run.saved]).toEqual([STEPS, [STEPS]]);
});

test.each([new DivergenceError("bad went wrong"), new AlarmError("bad went wrong")])(
  "a run that ends with $name ends alone, unsaved; the others go on and are saved",
  async (error) => {
    const [bad, good] = [fakeRun("bad", { failure: { at: 3, error } }), fakeRun("good")];
    const notes: string[] = [];
    const { failed, interrupted } = await trainInTurns([bad, good], { onNote: (note) => notes.push(note) });
    expect([...failed]).toEqual([[bad, error]]);
    expect([interrupted, notes]).toEqual([false, ["bad went wrong"]]);
    expect(stepsOf([bad, good])).toEqual([2, STEPS]);
    expect(savedOf([bad, good])).toEqual([[], [STEPS]]);
  },
);

test("a run whose last step cannot be saved has gone wrong as well", async () => {
  const error = new DivergenceError("step 5 made norm not finite");
  const [bad, good] = [fakeRun("bad", { unsaved: error }), fakeRun("good")];
  const { failed } = await trainInTurns([bad, good]);
  expect([...failed]).toEqual([[bad, error]]);
  expect(good.saved).toEqual([STEPS]);
  const full = fakeRun("full", { unsaved: new Error("the disk is full") });
  await expect(trainInTurns([full, good])).rejects.toThrow("the disk is full");
  expect(good.saved).toEqual([STEPS, STEPS]);
});

test("after any other error every run is saved first", async () => {
  const error = new Error("the disk is full");
  const [bad, good] = [fakeRun("bad", { failure: { at: 4, error } }), fakeRun("good")];
  const requests = asker();
  await expect(trainInTurns([good, bad], { requests })).rejects.toThrow(error);
  expect(savedOf([good, bad])).toEqual([[4], [3]]);
  expect(requests.listening).toBe(false);
});

test.each(["a signal", "a request"])("%s ends the step in progress, which is dropped", async (by) => {
  const run = fakeRun("slow");
  const controller = new AbortController();
  const requests = asker();
  const endless = async (signal?: AbortSignal): Promise<MetricRecord> => {
    setTimeout(() => (by === "a signal" ? controller.abort() : requests.ask("stop", "runs/slow")));
    return await new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason as Error)));
  };
  const slow = Object.assign(Object.create(run) as typeof run, { advance: endless });
  const { interrupted, failed } = await trainInTurns([slow], { signal: controller.signal, requests });
  expect([interrupted, failed.size, run.saved]).toEqual([true, 0, [0]]);
});

test("alarms are noted once, but for the one that is in the error of a run", async () => {
  const event: EventRecord = { step: 2, rule: "gain", message: "it is high.", action: "continue" };
  const notes: string[] = [];
  const onNote = (note: string): void => void notes.push(note);
  await trainInTurns([fakeRun("one", { event })], { onNote });
  expect(notes).toEqual(['one: alarm "gain" at step 2: it is high.']);
  await trainInTurns([fakeRun("one", { event: { ...event, action: "stop" } })], { onNote });
  expect(notes).toHaveLength(1);
});

test("a signal ends the loop after the step in progress; every run is saved", async () => {
  const runs = [fakeRun("one"), fakeRun("other")];
  const controller = new AbortController();
  let steps = 0;
  const { interrupted } = await trainInTurns(runs, {
    signal: controller.signal,
    onStep: () => ++steps === 3 && controller.abort(),
  });
  expect(interrupted).toBe(true);
  expect(stepsOf(runs)).toEqual([2, 1]);
  expect(savedOf(runs)).toEqual([[2], [1]]);
});

test("the time that is left follows from the steps that were done", async () => {
  const times: (number | undefined)[] = [];
  await trainInTurns([fakeRun("one"), fakeRun("other")], { onStep: (_, left) => times.push(left) });
  expect(times.map((time) => time === undefined)).toEqual(Array.from({ length: 2 * STEPS }, (_, k) => k < 3));
  expect(times[3]).toBeGreaterThan(0);
  expect(times.at(-1)).toBe(0);
});

test("checkpoints may be asked for, and the end of all runs after the step in progress", async () => {
  const runs = [fakeRun("one"), fakeRun("other")];
  const requests = asker();
  let steps = 0;
  const { interrupted } = await trainInTurns(runs, {
    requests,
    onStep() {
      steps++;
      if (steps === 2) requests.ask("checkpoint");
      if (steps === 5) requests.ask("stop");
    },
  });
  expect([interrupted, requests.listening]).toEqual([true, false]);
  expect(stepsOf(runs)).toEqual([3, 2]);
  expect(savedOf(runs)).toEqual([
    [1, 3],
    [1, 2],
  ]);
});

test("one run may be asked to stop: it is saved and closed while the others go on", async () => {
  const runs = [fakeRun("one"), fakeRun("other"), fakeRun("third")];
  const requests = asker();
  const notes: string[] = [];
  let steps = 0;
  const { interrupted, dismissed } = await trainInTurns(runs, {
    requests,
    onStep() {
      steps++;
      // During the first run's second step: the second run has done one.
      if (steps === 4) requests.ask("stop", "runs/other");
      if (steps === 5) requests.ask("checkpoint", "runs/third");
      if (steps === 6) requests.ask("stop", "runs/none");
    },
    onNote: (note) => notes.push(note),
  });
  expect(interrupted).toBe(false);
  expect([...dismissed]).toEqual([runs[1]]);
  expect(runs.map(({ closed }) => closed)).toEqual([false, true, false]);
  expect(stepsOf(runs)).toEqual([STEPS, 1, STEPS]);
  expect(savedOf(runs)).toEqual([[STEPS], [1], [2, STEPS]]);
  expect(notes).toEqual(["other is stopped and saved at step 1; the others go on."]);
});

test("the last run that still goes on, asked to stop, ends the loop", async () => {
  const failure = { at: 1, error: new DivergenceError("gone diverged") };
  const [last, gone] = [fakeRun("last"), fakeRun("gone", { failure })];
  const requests = asker();
  const end = await trainInTurns([gone, last], { requests, onStep: () => requests.ask("stop", "runs/last") });
  expect([end.interrupted, end.dismissed.size, last.trainer.step, last.closed]).toEqual([true, 0, 0, false]);
});

test("a request that fails is noted, and the run goes on", async () => {
  const unsaved = new DivergenceError("step 1 made norm not finite");
  const [bad, good] = [fakeRun("bad", { unsaved }), fakeRun("good")];
  const requests = asker();
  const notes: string[] = [];
  let steps = 0;
  await trainInTurns([bad, good], {
    requests,
    onStep: () => ++steps === 2 && requests.ask("checkpoint"),
    onNote: (note) => notes.push(note),
  });
  expect(notes[0]).toBe("A request (checkpoint) failed: step 1 made norm not finite");
  expect(bad.trainer.step).toBe(STEPS);
  expect(good.saved).toEqual([1, STEPS]);
});
