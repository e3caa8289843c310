// A network of one's own, trained by trainNet: the bits of the loop that a program would write, records that the report
// and the page read, checkpoints from which it goes on with the same bits, and mistakes that are told.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { createParameters, initialise, input, openRuntime, type Runtime } from "../../src/index.ts";
import { mean, multiply } from "../../src/ops.ts";
import { findings } from "../../src/report/findings.ts";
import { csvTables } from "../../src/interop/csv.ts";
import { prometheusText } from "../../src/interop/prometheus.ts";
import { reportHtml } from "../../src/report/report-page.ts";
import { readRunData, trainNet, type TrainNetOptions } from "../../src/runs.ts";
import { createNetTrainer, parseTrainingConfig } from "../../src/training.ts";
import { learningRate } from "../../src/training/schedule.ts";
import { byHand, squareNet, valuesAt } from "./net.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-net-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (...names: string[]): string => path.join(folder, ...names);

let runtime: Runtime;
beforeEach(async () => void (runtime = await openRuntime({ threads: 1 })));
afterEach(() => runtime.close());

const options = { steps: 20, learningRate: 3e-3, weightDecay: 0 } as const;

/** Train the small network from its first values. */
async function train(more: Partial<TrainNetOptions> = {}, seed = 1) {
  const net = squareNet();
  initialise(runtime, net.parameters, seed);
  const batch = (step: number) => [[net.x, valuesAt(step)]] as const;
  return { net, ...(await trainNet(runtime, net, { ...options, batch, ...more })) };
}

/** The lines of metrics.jsonl without times. */
const untimed = (records: readonly object[]): unknown[] =>
  records.map((record) => ({ ...record, seconds: 0, tokensPerSecond: 0 }));

test("it has the bits of the loop that a program writes by hand, with gains measured or not", async () => {
  const net = squareNet();
  const adamw = byHand(net, options.learningRate);
  const program = runtime.compile({ outputs: { loss: net.loss }, updates: adamw.updates });
  initialise(runtime, net.parameters);
  const losses: number[] = [];
  for (let t = 1; t <= options.steps; t++) {
    runtime.write(net.x, valuesAt(t));
    adamw.write(runtime, t);
    program.run();
    losses.push((await program.read("loss"))[0]!);
  }
  const values = await Promise.all(net.parameters.all.map(({ tensor }) => runtime.read(tensor)));

  const { metrics, gains, net: trained, interrupted } = await train({ gainsEvery: 7 });
  expect(metrics.map(({ loss }) => loss)).toEqual(losses);
  expect(losses.at(-1)).toBeLessThan(losses[0]!);
  for (const [index, { tensor, name }] of trained.parameters.all.entries())
    expect(await runtime.read(tensor), name).toEqual(values[index]);
  expect(gains.map(({ step }) => step)).toEqual([7, 14, 20]);
  expect(gains[0]!.composite!.forward).toHaveLength(2);
  expect(gains[0]!.composite!.forward[0]).toBeCloseTo(1, 5);
  expect(interrupted).toBe(false);
});

test("its folder is one that the readers, the report and the findings know", async () => {
  const out = at("square");
  const evaluate = (step: number) => ({ validationLoss: 1 / step, accuracy: 0.5 });
  await train({ out, connection: "mhc", evaluate, evaluateEvery: 10, schedule: "cosine", warmup: 2 });
  const run = readRunData(out);
  expect(run.problems).toEqual([]);
  expect(run.config).toBeUndefined();
  expect(run.net).toMatchObject({
    kind: "net",
    name: "square",
    steps: 20,
    model: { parameters: expect.any(Number), connection: { kind: "mhc" } },
    optimizer: { learningRate: 3e-3, warmup: 2, schedule: { kind: "cosine", final: 0.1 }, weightDecay: 0, clip: 1 },
  });
  expect(run.metrics).toHaveLength(20);
  expect(run.metrics[19]).toMatchObject({ step: 20, validationLoss: 1 / 20, accuracy: 0.5 });
  expect(run.metrics[8]).not.toHaveProperty("validationLoss");
  const rate = { learningRate: 3e-3, warmup: 2, schedule: { kind: "cosine", final: 0.1 } } as const;
  expect(run.metrics.map((record) => record.learningRate)).toEqual(
    run.metrics.map(({ step }) => learningRate(rate, step, 20)),
  );
  expect(run.gains.at(-1)!.mixing).toHaveLength(2);
  expect(run.checkpoints).toEqual([16, 20]);
  expect(fs.existsSync(path.join(out, "lock"))).toBe(false);
  expect(findings([run]).join(" ")).toMatch(
    /square ends with a validation loss of 0\.0500\. Largest composite gain: 1\.0/,
  );
  const [titles, ...rows] = csvTables(run)["metrics.csv"].trim().split("\r\n");
  expect(titles).toMatch(/^step,loss,.*,accuracy$/);
  expect([rows[8], rows[9], rows[19]].map((row) => row!.split(",").at(-1))).toEqual(["", "0.5", "0.5"]);
  const labels = `{run="square",folder="${out}",connection="mhc"}`;
  expect(prometheusText([run]).split("\n")).toEqual(
    expect.arrayContaining([`birkhoff_steps${labels} 20`, `birkhoff_validation_loss${labels} 0.05`]),
  );
  const html = await reportHtml([run]);
  expect(html.includes("Mixing matrices")).toBe(true);
  expect(html.replaceAll(/<script[^]*?<\/script>/g, "").match(/.{20}nats.{20}/)).toBeNull();
  expect(() => parseTrainingConfig(JSON.parse(fs.readFileSync(path.join(out, "config.json"), "utf8")).config)).toThrow(
    /is of a network of one's own, which only the program that trained it can build/,
  );
});

test("stopped and resumed, also with more steps, it has the bits of a training that never ended", async () => {
  const { metrics, gains } = await train({ steps: 30 });
  const out = at("resumed");
  const stop = new AbortController();
  const first = await train({
    steps: 30,
    out,
    signal: stop.signal,
    onStep: ({ step }) => void (step === 13 && stop.abort()),
  });
  expect(first.interrupted).toBe(true);
  expect(first.metrics).toHaveLength(13);
  // Another seed: the values come from the checkpoint.
  const second = await train({ steps: 30, out, existing: "resume" }, 2);
  expect(untimed(second.metrics)).toEqual(untimed(metrics));
  expect(second.gains).toEqual(gains);
  // Also in a folder that was moved.
  fs.renameSync(out, at("moved"));
  const moved = await train({ steps: 31, out: at("moved"), existing: "resume" }, 2);
  expect(untimed(moved.metrics.slice(0, 30))).toEqual(untimed(metrics));
  expect(moved.metrics).toHaveLength(31);
  fs.renameSync(at("moved"), out);

  const short = at("short");
  await train({ steps: 12, out: short });
  const longer = await train({ steps: 30, out: short, existing: "resume" }, 2);
  expect(untimed(longer.metrics)).toEqual(untimed(metrics));
  expect(readRunData(short).changes[0]).toMatchObject({
    step: 12,
    fields: expect.arrayContaining([{ field: "steps", was: 12, is: 30 }]),
  });
  await expect(train({ out })).rejects.toThrow(
    /trainNet: .*resumed holds a run already, or files of one; give existing: "resume"/,
  );
  expect((await train({ out, existing: "overwrite", steps: 3 })).metrics).toHaveLength(3);
});

test.each<[Partial<TrainNetOptions> | Record<string, unknown>, RegExp]>([
  [{ stepz: 3 }, /trainNet: there is no option "stepz"; .* Did you mean "steps"\?/],
  [{ steps: undefined }, /createNetTrainer: steps is missing/],
  [{ steps: 0 }, /steps is 0; it must be a whole number from 1/],
  [{ batch: undefined }, /batch is missing; it must be a function/],
  [{ schedule: "cosin" }, /schedule is "cosin"; it must be one of constant, step, cosine\. Did you mean "cosine"\?/],
  [{ schedule: { kind: "step", final: 0.1 } }, /only "cosine" has a final share/],
  [{ schedule: { kind: "cosine", final: 2 } }, /only "cosine" has a final share of the rate, from 0 to 1/],
  [{ learningRate: () => 1, warmup: 3 }, /learningRate is a function of the step, and warmup is given, too/],
  [{ learningRate: -1 }, /learningRate/],
  [{ optimizer: { kind: "lyon" } }, /optimizer\.kind is "lyon"; it must be one of adamw.* Did you mean "lion"\?/],
  [{ optimizer: {} }, /optimizer\.kind is undefined; it must be one of adamw/],
  [{ optimizer: { kind: "muon", learningRate: 1 } }, /optimizer\.learningRate is given; .* Give it beside/],
  [{ existing: "resume" }, /existing is "resume", but there is no folder/],
  [{ gainsEvery: 0 }, /trainNet: gainsEvery is 0/],
  [{ batch: () => [] }, /the input "x" of shape \[16, 8\] is in no batch and holds only zeros; give its 128 values/],
  [
    { batch: () => [[input("y", [2]), [1, 2]]] },
    /the batch of step 1 gives "y", on which the loss does not depend; its inputs are "x"/,
  ],
  [{ evaluate: () => ({ loss: 1 }), evaluateEvery: 1 }, /evaluate gives "loss", which every step records already/],
  [
    { evaluate: () => ({ accuracy: "high" }), evaluateEvery: 1 },
    /evaluate gives "high" for accuracy; it must be a number/,
  ],
])("%o is told", async (more, message) => {
  await expect(train(more as Partial<TrainNetOptions>)).rejects.toThrow(message);
});

test("a forgotten initialise, a wrong mixing and a loss that is not finite are told", async () => {
  const net = squareNet();
  const batch = (step: number) => [[net.x, valuesAt(step)]] as const;
  await expect(trainNet(runtime, net, { ...options, batch })).rejects.toThrow(
    /the parameter "block0\.weight" holds only zeros; .* Call initialise\(runtime, parameters\)/,
  );
  expect(() => createNetTrainer(runtime, { ...net, mixing: [net.x] }, { ...options, batch })).not.toThrow();
  const wrong = input("wrong", [4, 6]);
  expect(() => createNetTrainer(runtime, { ...net, mixing: [wrong] }, { ...options, batch })).toThrow(
    /mixing\[0\] is \[4, 6\]; it must be the coefficients \[tokens, n² \+ 2n\]/,
  );
  const out = at("nan");
  initialise(runtime, net.parameters);
  const spoiled = (step: number) => [[net.x, step === 9 ? valuesAt(step).fill(NaN) : valuesAt(step)]] as const;
  await expect(trainNet(runtime, net, { ...options, batch: spoiled, out })).rejects.toThrow(
    /trainNet: at step 9 the loss is NaN .* The last checkpoint is that of step 8\./,
  );
  expect(readRunData(out).metrics).toHaveLength(8);
  expect(fs.existsSync(path.join(out, "lock"))).toBe(false);
});

test.each(["evaluate", "onStep", "batch"] as const)("an error in %s loses no step", async (name) => {
  const out = at(`fails-in-${name}`);
  const fail = (step: number): void => {
    if (step === 7) throw new Error("mine");
  };
  const failing: Record<typeof name, Partial<TrainNetOptions>> = {
    evaluate: { evaluateEvery: 1, evaluate: (step) => (fail(step), { accuracy: step }) },
    onStep: { onStep: ({ step }) => fail(step) },
    batch: { batch: (step) => (fail(step - 1), new Map([[last.x, valuesAt(step)]])) },
  };
  const last = squareNet();
  initialise(runtime, last.parameters, 1);
  const training = { ...options, batch: (step: number) => new Map([[last.x, valuesAt(step)]]), out };
  await expect(trainNet(runtime, last, { ...training, ...failing[name] })).rejects.toThrow("mine");
  expect(readRunData(out).checkpoints).toContain(7);
  expect(readRunData(out).metrics).toHaveLength(7);
  const { metrics } = await train({ out, existing: "resume" }, 2);
  const whole = await train();
  expect(metrics.map(({ loss }) => loss)).toEqual(whole.metrics.map(({ loss }) => loss));
});

test("a trainer by itself saves, restores and goes on with the same bits; the parameters outlive it", async () => {
  const net = squareNet();
  initialise(runtime, net.parameters);
  const training = { ...options, batch: (step: number) => new Map([[net.x, valuesAt(step)]]) };
  const trainer = createNetTrainer(runtime, net, training);
  for (let i = 0; i < 3; i++) await trainer.trainStep();
  const state = await trainer.save();
  const next = await trainer.trainStep(true);
  expect(next.instruments!.composite!.backward).toHaveLength(2);
  trainer.restore(state);
  expect(trainer.step).toBe(3);
  const again = await trainer.trainStep();
  expect({ ...again, seconds: 0 }).toEqual({ ...next, instruments: undefined, seconds: 0 });
  trainer.release();
  const held = await runtime.read(net.parameters.all[0]!.tensor);
  expect(held.some((value) => value !== 0)).toBe(true);
});

test("a network without mixing has no gains, and its batch may be a promise", async () => {
  const parameters = createParameters();
  const [x, w] = [input("x", [4]), parameters.create("w", [4], { constant: 2 }, "weight")];
  initialise(runtime, parameters);
  const batch = (): Promise<readonly (readonly [typeof x, number[]])[]> => Promise.resolve([[x, [1, 2, 3, 4]]]);
  const { metrics, gains } = await trainNet(runtime, { parameters, loss: mean(multiply(x, w)) }, { steps: 2, batch });
  expect(metrics[0]).toMatchObject({ step: 1, loss: 5, learningRate: 3e-3 });
  expect(metrics[0]).not.toHaveProperty("tokensPerSecond");
  expect(gains).toEqual([]);
});
