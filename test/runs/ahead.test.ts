// On an asynchronous runtime a step is begun before the loss of the one before it is known. The records, the checkpoints
// and what alarms do are those of a run that waits for every loss.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { prepareData } from "../../src/data/prepare.ts";
import { initialise } from "../../src/index.ts";
import type { Program, Runtime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { listCheckpoints } from "../../src/runs/checkpoint.ts";
import { readEvents, readGains, readMetrics } from "../../src/runs/run-folder.ts";
import { openRun, type Run, type RunOptions } from "../../src/runs/run.ts";
import { readSamples } from "../../src/runs/samples.ts";
import { trainInTurns } from "../../src/runs/train-runs.ts";
import { trainNet } from "../../src/runs/train-net.ts";
import { createNetTrainer } from "../../src/training.ts";
import { AlarmError, DivergenceError } from "../../src/training/reactions.ts";
import { hashOf, makeWorkplace } from "../e2e/cli.ts";
import { type Changes, tinyTraining } from "../training/tiny.ts";
import { squareNet, valuesAt } from "./net.ts";

const place = makeWorkplace();
let wasm: WasmRuntime;
let data: PreparedData;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 1 });
  data = await prepareData({ source: place.at("text.txt"), vocabularySize: 270, cacheFolder: place.at("cache") });
});
afterAll(() => {
  data.close();
  wasm.close();
  place.remove();
});

/** The processor as a machine that tells later: reads are answered in their order, long after the call. */
function asynchronous(log: string[] = []): Runtime {
  const later = async <T>(values: Promise<T>, what?: string): Promise<T> => {
    const read = await values;
    await new Promise((resolve) => setImmediate(resolve));
    if (what !== undefined) log.push(what);
    return read;
  };
  const { readNow: _, view: __, ...runtime } = wasm;
  return {
    ...runtime,
    asynchronous: true,
    compile: ((spec) => {
      const { trace: ___, readNow: ____, ...program } = wasm.compile(spec) as Program;
      const isStep = "clip" in spec.outputs;
      return {
        ...program,
        run() {
          if (isStep) log.push("run");
          program.run();
        },
        read: (name) => later(program.read(name), isStep && name === "loss" ? "loss" : undefined),
      };
    }) as Runtime["compile"],
    read: (state) => later(wasm.read(state)),
  };
}

const steps = 24;
const configOf = (changes: Changes = {}): ReturnType<typeof tinyTraining> =>
  tinyTraining("mhc", {
    steps,
    gainsEvery: 6,
    evaluateEvery: 8,
    checkpointEvery: 12,
    ...changes,
    model: { ...changes.model, vocabulary: data.tokenizer.vocabularySize },
  });
const open = (runtime: Runtime, folder: string, changes?: Changes, options?: RunOptions): Promise<Run> =>
  openRun(runtime, configOf(changes), data, place.at(folder), options);

/** All that a folder says, but for times and memory. */
function contentOf(folder: string) {
  const at = place.at(folder);
  return {
    metrics: readMetrics(at).map((record) => ({ ...record, seconds: 0, tokensPerSecond: 0, memory: 0 })),
    gains: readGains(at),
    events: readEvents(at),
    samples: readSamples(at),
    checkpoints: listCheckpoints(at).map(({ step, folder: saved }) => [
      step,
      ...["model", "optimizer"].map((file) => hashOf(path.join(saved, `${file}.safetensors`))),
    ]),
  };
}

async function toTheEnd(run: Run): Promise<Error | undefined> {
  try {
    while (!run.finished) await run.advance();
    return undefined;
  } catch (error) {
    return error as Error;
  } finally {
    run.close();
  }
}

test("the next step is begun before the loss of this one is told, but where somebody looks at the model between", async () => {
  const log: string[] = [];
  await toTheEnd(await open(asynchronous(log), "order", { steps: 12, sampleEvery: 9 }));
  const begun: number[] = [];
  let [runs, losses] = [0, 0];
  for (const event of log) {
    if (event === "loss") losses++;
    else if (++runs > losses + 1) begun.push(runs);
  }
  expect([runs, losses]).toEqual([12, 12]);
  // Gains at 6 and 12, an evaluation at 8, a text at 9: neither these steps nor those after them are begun ahead.
  expect(begun).toEqual([2, 3, 4, 5, 11]);
  const waiting: string[] = [];
  const run = await open({ ...asynchronous(waiting), asynchronous: false }, "waiting", { steps: 12 });
  await toTheEnd(run);
  expect(waiting).toEqual(Array.from({ length: 24 }, (_, k) => (k % 2 ? "loss" : "run")));
});

describe.each([
  ["plain", {}],
  ["with accumulation and texts", { accumulate: 3, sampleEvery: 5 }],
  ["looked at at every step", { gainsEvery: 1 }],
] as const)("%s", (name, changes) => {
  test("records and checkpoints are those of a run that waits, also when it is killed and resumed", async () => {
    expect(await toTheEnd(await open(wasm, `${name}-waits`, changes))).toBeUndefined();
    expect(await toTheEnd(await open(asynchronous(), `${name}-ahead`, changes))).toBeUndefined();
    expect(contentOf(`${name}-ahead`)).toEqual(contentOf(`${name}-waits`));

    const first = await open(asynchronous(), `${name}-killed`, changes);
    while (first.trainer.step < 16) await first.advance();
    // As a kill does it: nothing is saved or ended.
    first.close();
    const second = await open(asynchronous(), `${name}-killed`, changes, { existing: "resume" });
    expect(second.trainer.step).toBe(12);
    await toTheEnd(second);
    expect(contentOf(`${name}-killed`)).toEqual(contentOf(`${name}-waits`));
  });
});

test("Ctrl-C ends the step that was begun, records and shows it, and saves it", async () => {
  const controller = new AbortController();
  const run = await open(asynchronous(), "stopped");
  const shown: number[] = [];
  const onStep = (): void => {
    shown.push(run.trainer.step);
    if (run.trainer.step === 2) controller.abort();
  };
  expect((await trainInTurns([run], { signal: controller.signal, onStep })).interrupted).toBe(true);
  run.close();
  expect(shown).toEqual([1, 2, 3]);
  expect(readMetrics(place.at("stopped")).map(({ step }) => step)).toEqual([1, 2, 3]);
  expect(listCheckpoints(place.at("stopped")).map(({ step }) => step)).toEqual([3]);
  await toTheEnd(await open(asynchronous(), "stopped", {}, { existing: "resume" }));
  expect(readMetrics(place.at("stopped")).map(({ loss }) => loss)).toEqual(
    readMetrics(place.at("plain-waits")).map(({ loss }) => loss),
  );
});

test("runs in turns have each one step in flight, and their own bits", async () => {
  const machine = asynchronous();
  const runs = [await open(machine, "one"), await open(machine, "two")];
  const begun: boolean[] = [];
  await trainInTurns(runs, { onStep: () => begun.push(runs.every(({ trainer }) => trainer.begun)) });
  for (const run of runs) run.close();
  expect(begun).toContain(true);
  for (const name of ["one", "two"]) expect(contentOf(name)).toEqual(contentOf("plain-waits"));
});

test("the trainer says no to whoever wants the model while a step is in flight", async () => {
  const run = await open(asynchronous(), "refused");
  await run.advance();
  expect(run.trainer.begun).toBe(true);
  await expect(run.trainer.save()).rejects.toThrow(
    "save: step 2 has been begun and is not ended; end it before, by checkpoint() of its run or trainStep() of its trainer.",
  );
  await expect(run.trainer.evaluate()).rejects.toThrow("evaluate: step 2 has been begun");
  await run.checkpoint();
  expect([run.trainer.step, run.trainer.begun]).toEqual([2, false]);
  expect((await run.trainer.save()).step).toBe(2);
  run.close();
});

describe("alarms", () => {
  /** A bound of the gradient that is passed again and again, also where the next step is in flight. */
  const rules = (action: "continue" | "rollback" | "stop"): Changes => ({
    steps: 60,
    gainsEvery: 60,
    evaluateEvery: 60,
    checkpointEvery: 16,
    alarms: { rules: { gradient: { bound: 1.15, action } } },
  });

  test.each(["continue", "rollback"] as const)("%s: events, records and checkpoints are the same", async (action) => {
    const errors = [
      await toTheEnd(await open(wasm, `${action}-waits`, rules(action))),
      await toTheEnd(await open(asynchronous(), `${action}-ahead`, rules(action))),
    ];
    const events = readEvents(place.at(`${action}-ahead`));
    expect(events.map((event) => event.action)).toContain(action);
    expect(
      events.some(({ step }) => step % 16 < 15 && step % 16 > 0),
      "the next was in flight",
    ).toBe(true);
    if (errors[0]) {
      // The alarm after the last rollback stops the run, which is then saved: one step later, where one was in flight.
      const run = await open(wasm, `${action}-waits`, rules(action), { existing: "resume" });
      await run.advance();
      await run.checkpoint();
      run.close();
    }
    const [waited, ahead] = ["waits", "ahead"].map((name) => contentOf(`${action}-${name}`));
    expect({ ...ahead, checkpoints: ahead!.checkpoints.slice(-1) }).toEqual({
      ...waited,
      checkpoints: waited!.checkpoints.slice(-1),
    });
    expect(errors[1]?.message).toBe(errors[0]?.message.replaceAll(`${action}-waits`, `${action}-ahead`));
  });

  test("stop: the step in flight is ended and saved, and a resumed run goes on past the alarm", async () => {
    const changes = rules("stop");
    const error = await toTheEnd(await open(asynchronous(), "halted", changes));
    expect(error).toBeInstanceOf(AlarmError);
    const { step } = readEvents(place.at("halted")).at(-1)!;
    const saved = listCheckpoints(place.at("halted")).at(-1)!.step;
    expect(saved).toBe(step + 1);
    expect(readMetrics(place.at("halted")).at(-1)!.step).toBe(saved);
    const resumed = await open(asynchronous(), "halted", changes, { existing: "resume" });
    expect(resumed.trainer.step).toBe(saved);
    await resumed.advance();
    expect(resumed.metrics.at(-1)!.step).toBe(saved + 1);
    resumed.close();
  });

  test("a step that is not finite ends the run, and what was in flight is lost with it", async () => {
    const run = await open(asynchronous(), "poisoned");
    while (run.trainer.step < 12) await run.advance();
    const state = await run.trainer.save();
    run.trainer.restore({
      ...state,
      model: state.model.map((tensor) =>
        tensor.name === "norm" ? { ...tensor, data: tensor.data.with(0, Number.NaN) } : tensor,
      ),
    });
    const recorded = fs.readFileSync(place.at("poisoned", "metrics.jsonl"), "utf8");
    await expect(run.advance()).rejects.toThrow(DivergenceError);
    await expect(run.checkpoint()).rejects.toThrow(/did not count, and step \d+ was begun before that was known/);
    run.close();
    expect(fs.readFileSync(place.at("poisoned", "metrics.jsonl"), "utf8")).toBe(recorded);
    await toTheEnd(await open(asynchronous(), "poisoned", {}, { existing: "resume" }));
    expect(readMetrics(place.at("poisoned")).map(({ loss }) => loss)).toEqual(
      readMetrics(place.at("plain-waits")).map(({ loss }) => loss),
    );
  });
});

describe("a network of one's own", () => {
  const options = { steps: 20, learningRate: 3e-3, weightDecay: 0, gainsEvery: 7, checkpointEvery: 9 } as const;
  const train = async (runtime: Runtime, more: Partial<Parameters<typeof trainNet>[2]> = {}) => {
    const net = squareNet();
    initialise(runtime, net.parameters);
    const trained = await trainNet(runtime, net, { ...options, batch: (step) => [[net.x, valuesAt(step)]], ...more });
    return { ...trained, metrics: trained.metrics.map((record) => ({ ...record, seconds: 0, tokensPerSecond: 0 })) };
  };

  test("records are those of a training that waits", async () => {
    const log: string[] = [];
    expect(await train(asynchronous(log))).toEqual(await train(wasm));
    expect(log.join(" ")).toContain("run run");
  });

  test("its own mistakes lose no step: those that were begun are recorded and saved", async () => {
    const out = place.at("own-mistake");
    const onStep = ({ step }: { step: number }): void => {
      if (step >= 3) throw new Error("mine");
    };
    await expect(train(asynchronous(), { out, onStep })).rejects.toThrow("mine");
    expect(readMetrics(out).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(listCheckpoints(out).map(({ step }) => step)).toEqual([4]);
    const batchOut = place.at("own-batch");
    const net = squareNet();
    initialise(wasm, net.parameters);
    const batch = (step: number): [[typeof net.x, Float32Array]] => {
      if (step === 3) throw new Error("no more");
      return [[net.x, valuesAt(step)]];
    };
    await expect(trainNet(asynchronous(), net, { ...options, batch, out: batchOut })).rejects.toThrow("no more");
    expect(listCheckpoints(batchOut).map(({ step }) => step)).toEqual([2]);
  });

  test("its trainer begins a step ahead only if it is asked to", async () => {
    const machine = asynchronous();
    const net = squareNet();
    initialise(machine, net.parameters);
    const trainer = createNetTrainer(machine, net, { steps: 20, batch: (step) => [[net.x, valuesAt(step)]] });
    await trainer.trainStep();
    expect(trainer.begun).toBe(false);
    await trainer.trainStep(false, true);
    expect(trainer.begun).toBe(true);
    await expect(trainer.save()).rejects.toThrow("save: step 3 has been begun");
    await trainer.trainStep();
    expect((await trainer.save()).step).toBe(3);
    trainer.release();
  });
});
