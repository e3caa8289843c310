// What the training commands make of runs in turns: exit code, errors, signals, and the summary.

import { afterEach, expect, test } from "vitest";
import { summaryRow, trainAll } from "../../src/cli/session.ts";
import { drawCurves, summaryTable } from "../../src/report/summary.ts";
import { DivergenceError } from "../../src/training/reactions.ts";
import { fakeRun, STEPS } from "../runs/fake-run.ts";

const { exitCode } = process;
afterEach(() => void (process.exitCode = exitCode));

function silentView() {
  const notes: string[] = [];
  return { notes, update() {}, note: (message: string) => void notes.push(message), close() {} };
}
const diverging = (name: string, at: number): ReturnType<typeof fakeRun> =>
  fakeRun(name, { failure: { at, error: new DivergenceError(`${name} diverged`) } });

test("when one run of two diverges, the view and the exit code say so", async () => {
  const [bad, good] = [diverging("bad", 3), fakeRun("good")];
  const view = silentView();
  const { failed } = await trainAll([bad, good], view);
  expect(process.exitCode).toBe(1);
  expect([...failed.keys()]).toEqual([bad]);
  expect(view.notes).toEqual(["bad diverged"]);
  expect(good.saved).toEqual([STEPS]);
});

test("when all diverge, the first reason is the error", async () => {
  const run = diverging("only", 1);
  await expect(trainAll([run], silentView())).rejects.toThrow("only diverged");
  expect(run.saved).toEqual([]);
});

test("Ctrl-C ends the loop after the step in progress, and is left alone afterwards", async () => {
  const before = process.listenerCount("SIGINT");
  const run = fakeRun("one");
  let updates = 0;
  const update = (): void => void (++updates === 2 && process.emit("SIGINT"));
  const { interrupted } = await trainAll([run], { ...silentView(), update });
  expect([interrupted, run.trainer.step, run.saved]).toEqual([true, 2, [2]]);
  expect(process.listenerCount("SIGINT")).toBe(before);
  expect(process.exitCode).toBe(130);
});

test("a run without a step, and one of half a million, have a summary", async () => {
  const none = fakeRun("none");
  expect(summaryTable([{ ...summaryRow(none), diverged: true }])).toMatch(/none \(diverged\).* -/);
  expect(drawCurves([{ name: "none", values: [] }])).toBe("(no steps yet)");
  // Curves of which one has not begun.
  expect(
    drawCurves([
      { name: "none", values: [] },
      { name: "one", values: [3, 2] },
    ]),
  ).toMatch(/3\.00 ┼/);
  const long = fakeRun("long");
  const record = { step: 1, loss: 1, gradientNorm: 2, learningRate: 1, tokensPerSecond: 3, seconds: 1 };
  const row = summaryRow({ ...long, metrics: Array.from({ length: 500_000 }, () => record) });
  expect([row.largestGradientNorm, row.tokensPerSecond]).toEqual([2, 3]);
});
