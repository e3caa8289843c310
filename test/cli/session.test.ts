// Runs that take turns: what happens to the others when one goes wrong.

import { expect, test } from "vitest";
import { summaryRow, trainAll } from "../../src/cli/session.ts";
import { drawCurves, summaryTable } from "../../src/report/summary.ts";
import type { MetricRecord } from "../../src/training/records.ts";
import { DivergenceError, type Run } from "../../src/runs/run.ts";

const STEPS = 5;

/** A run without a model: it counts its steps and checkpoints, and throws at the step it is told to. */
function fakeRun(name: string, failure?: { at: number; error: Error }): Run & { readonly saved: number[] } {
  const metrics: MetricRecord[] = [];
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
    events: [],
    saved,
    advance() {
      if (closed) throw new Error(`${name} is closed`);
      if (step + 1 === failure?.at) throw failure.error;
      step++;
      const record = { step, loss: 1, gradientNorm: step, learningRate: 1, tokensPerSecond: 1, seconds: 1 };
      metrics.push(record);
      return record;
    },
    checkpoint: () => void saved.push(step),
    close: () => void (closed = true),
  };
}

function silentView() {
  const notes: string[] = [];
  return { notes, update() {}, note: (message: string) => void notes.push(message), close() {} };
}

test("a run that diverges ends, the others go on and are saved, and the exit code says so", async () => {
  const [bad, good] = [fakeRun("bad", { at: 3, error: new DivergenceError("bad diverged") }), fakeRun("good")];
  const view = silentView();
  const before = process.exitCode;
  const { diverged } = await trainAll([bad, good], view);
  expect(process.exitCode).toBe(1);
  process.exitCode = before;
  expect([...diverged.keys()]).toEqual([bad]);
  expect(view.notes).toEqual(["bad diverged"]);
  expect([bad.trainer.step, good.trainer.step]).toEqual([2, STEPS]);
  expect([bad.saved, good.saved]).toEqual([[], [STEPS]]);
});

test("when all diverge, the first reason is the error", async () => {
  const run = fakeRun("only", { at: 1, error: new DivergenceError("only diverged") });
  await expect(trainAll([run], silentView())).rejects.toThrow("only diverged");
  expect(run.saved).toEqual([]);
});

test("after any other error every run is saved first", async () => {
  const [bad, good] = [fakeRun("bad", { at: 4, error: new Error("the disk is full") }), fakeRun("good")];
  await expect(trainAll([good, bad], silentView())).rejects.toThrow("the disk is full");
  expect([good.saved, bad.saved]).toEqual([[4], [3]]);
});

test("a page may ask for checkpoints, and for the end of all runs after the step in progress", async () => {
  const runs = [fakeRun("one"), fakeRun("other")] as const;
  const handlers: (((action: "stop" | "checkpoint") => void) | undefined)[] = [];
  const controls = { listen: (handler: (typeof handlers)[number]) => void handlers.push(handler) };
  const view = silentView();
  let updates = 0;
  const training = trainAll(
    runs,
    {
      ...view,
      update() {
        updates++;
        if (updates === 2) handlers[0]!("checkpoint");
        if (updates === 5) handlers[0]!("stop");
      },
    },
    controls,
  );
  expect((await training).stopped).toBe(true);
  expect(handlers[1]).toBeUndefined();
  expect(runs.map(({ trainer }) => trainer.step)).toEqual([3, 2]);
  expect(runs.map(({ saved }) => saved)).toEqual([
    [1, 3],
    [1, 2],
  ]);
});

test("a page may stop one run, which is saved and closed while the others go on, or the last that is left", async () => {
  const runs = [fakeRun("one"), fakeRun("other"), fakeRun("third")] as const;
  let ask: ((action: "stop" | "checkpoint", folder?: string) => void) | undefined;
  const controls = { listen: (handler: typeof ask) => void (ask = handler) };
  const view = silentView();
  let updates = 0;
  const { stopped, left } = await trainAll(
    runs,
    {
      ...view,
      update() {
        updates++;
        // During the first run's second step: the second run has done one.
        if (updates === 4) ask!("stop", "runs/other");
        if (updates === 5) ask!("checkpoint", "runs/third");
        if (updates === 6) ask!("stop", "runs/none");
      },
    },
    controls,
  );
  expect(stopped).toBe(false);
  expect([...left]).toEqual([runs[1]]);
  expect(runs.map(({ trainer }) => trainer.step)).toEqual([STEPS, 1, STEPS]);
  expect(runs.map(({ saved }) => saved)).toEqual([[STEPS], [1], [2, STEPS]]);
  expect(view.notes).toEqual(["other is stopped and saved at step 1; the others go on."]);

  const [last, gone] = [fakeRun("last"), fakeRun("gone", { at: 1, error: new DivergenceError("gone diverged") })];
  const code = process.exitCode;
  const end = await trainAll([gone, last], { ...silentView(), update: () => ask!("stop", "runs/last") }, controls);
  process.exitCode = code;
  expect([end.stopped, end.left.size, last.trainer.step]).toEqual([true, 0, 0]);
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
