// Alarms of real runs: marked, stopped, rolled back; a run killed anywhere in a rollback ends with the bytes
// of an undisturbed one.

import fs from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { given } from "../../src/basics/given.ts";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { prepareData } from "../../src/data/prepare.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { largestComposite } from "../../src/stability/gains.ts";
import type { MhcConfig } from "../../src/connections/mhc-options.ts";
import { type AlarmsConfig, planAlarms, rateFactorAt } from "../../src/training/alarms.ts";
import { listCheckpoints } from "../../src/runs/checkpoint.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import type { EventRecord } from "../../src/training/records.ts";
import { readEvents, readGains, readMetrics } from "../../src/runs/run-folder.ts";
import { openRun, type Run } from "../../src/runs/run.ts";
import { AlarmError, DivergenceError } from "../../src/training/reactions.ts";
import { hashOf, losses, makeWorkplace } from "../e2e/cli.ts";
import { tinyTraining } from "./tiny.ts";

const STEPS = 20;
const place = makeWorkplace();
let runtime: WasmRuntime;
let data: PreparedData;
/** Largest composite gain by step of a run without alarms. */
let gains: Map<number, number>;

beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 1 });
  data = await prepareData({ source: place.at("text.txt"), vocabularySize: 270, cacheFolder: place.at("cache") });
  const run = await open("plain", { rules: { gain: "off" } });
  await advance(run);
  run.close();
  expect(run.events).toEqual([]);
  gains = new Map(
    readGains(place.at("plain")).map((record) => {
      const { forward, backward } = largestComposite(record);
      return [record.step, Math.max(forward, backward)];
    }),
  );
});
afterEach(() => vi.restoreAllMocks());
afterAll(() => {
  data.close();
  runtime.close();
  place.remove();
});

/** HC at a high rate: its gain grows from step to step, and is measured at each. */
function configOf(alarms?: AlarmsConfig): TrainingConfig {
  return tinyTraining("hc", {
    steps: STEPS,
    gainsEvery: 1,
    optimizer: { learningRate: 3e-2, warmup: 0 },
    model: { vocabulary: data.tokenizer.vocabularySize },
    ...given({ alarms }),
  });
}
const open = async (name: string, alarms?: AlarmsConfig, existing: "refuse" | "resume" = "refuse"): Promise<Run> =>
  await openRun(runtime, configOf(alarms), data, place.at(name), { existing });
async function advance(run: Run, until = Number.POSITIVE_INFINITY): Promise<void> {
  while (!run.finished && run.trainer.step < until) await run.advance();
}
const gain = (action: "continue" | "stop" | "rollback", bound: number): AlarmsConfig => ({
  rules: { gain: { bound, action } },
});
/** A bound that is passed at a step for the first time. */
function passedAt(step: number): number {
  const before = Math.max(...Array.from({ length: step - 1 }, (_, index) => gains.get(index + 1)!));
  expect(gains.get(step)!).toBeGreaterThan(before);
  return (before + gains.get(step)!) / 2;
}
async function errorOf(action: () => unknown): Promise<Error> {
  try {
    await action();
  } catch (error) {
    return error as Error;
  }
  throw new Error("There was no error.");
}
const results = (name: string): unknown => ({
  metrics: losses(place.at(name)),
  gains: readGains(place.at(name)),
  events: readEvents(place.at(name)),
  samples: fs.readFileSync(place.at(name, "samples.txt"), "utf8"),
  checkpoints: listCheckpoints(place.at(name)).map(({ step }) => step),
  last: ["model", "optimizer"].map((file) =>
    hashOf(place.at(name, "checkpoints", `step-${STEPS}`, `${file}.safetensors`)),
  ),
});

test("an alarm that goes on is recorded and changes no bit", async () => {
  const bound = passedAt(10);
  const run = await open("continue", gain("continue", bound));
  await advance(run);
  run.close();
  expect(run.events).toMatchObject([{ step: 10, rule: "gain", bound, value: gains.get(10), action: "continue" }]);
  expect(readEvents(place.at("continue"))).toEqual(run.events);
  expect(losses(place.at("continue"))).toEqual(losses(place.at("plain")));
});

test("a killed run repeats its alarms, and is silent about an excursion that lasts", async () => {
  const alarms = gain("continue", passedAt(10));
  const first = await open("repeated", alarms);
  await advance(first, 11);
  first.close();
  // From step 8, so the alarm of step 10 is dropped and comes again.
  const second = await open("repeated", alarms, "resume");
  expect([second.trainer.step, second.events]).toEqual([8, []]);
  await advance(second, 14);
  await second.checkpoint();
  second.close();
  const third = await open("repeated", alarms, "resume");
  expect(third.events.map(({ step }) => step)).toEqual([10]);
  await advance(third);
  third.close();
  expect(third.events).toEqual(readEvents(place.at("continue")));
});

test("an alarm that stops saves the step, and a resumed run goes on past it", async () => {
  const alarms = gain("stop", passedAt(10));
  const run = await open("stop", alarms);
  const error = await errorOf(async () => await advance(run));
  run.close();
  expect(error).toBeInstanceOf(AlarmError);
  expect(error.message).toMatch(
    /^tiny: alarm "gain" at step 10: the largest composite gain, at sublayer \d of 4, is .* The run stops\. It is saved in /,
  );
  expect(listCheckpoints(place.at("stop")).at(-1)!.step).toBe(10);
  const resumed = await open("stop", alarms, "resume");
  expect(resumed.events).toMatchObject([{ step: 10, action: "stop" }]);
  await advance(resumed);
  resumed.close();
  expect(losses(place.at("stop"))).toEqual(losses(place.at("plain")));
});

describe("rollback", () => {
  /** So much lower that the gain never passes the bound again. */
  const once = (): AlarmsConfig => ({ ...gain("rollback", passedAt(11)), rateFactor: 0.03 });

  test("goes to the last checkpoint with a lower rate from there on; records tell one past", async () => {
    const run = await open("rollback", once());
    await advance(run, 10);
    await run.checkpoint();
    await advance(run);
    run.close();
    expect(run.events).toMatchObject([{ step: 11, action: "rollback", rollback: { step: 8, rateFactor: 0.03 } }]);
    const metrics = readMetrics(place.at("rollback"));
    expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, index) => index + 1));
    expect(metrics).toEqual(run.metrics);
    expect(readGains(place.at("rollback"))).toEqual(run.gains);
    const plain = losses(place.at("plain"));
    expect(losses(place.at("rollback")).slice(0, 8)).toEqual(plain.slice(0, 8));
    expect(losses(place.at("rollback"))[9]).not.toEqual(plain[9]);
    for (const { step, learningRate } of metrics) expect(learningRate).toBe(3e-2 * rateFactorAt(run.events, step));
    expect(metrics.map(({ learningRate }) => learningRate).slice(7, 9)).toEqual([3e-2, 0.03 * 3e-2]);
  });

  test("killed at any write of a rollback and resumed, a run ends with the bytes of an undisturbed one", async () => {
    const alarms = once();
    const expected = results("rollback");
    const calls = ["writeSync", "renameSync", "rmSync"] as const;
    let died = 0;
    for (let kill = 1; ; kill++) {
      const name = `killed-${kill}`;
      const run = await open(name, alarms);
      await advance(run, 10);
      // A checkpoint that the rollback gives up.
      await run.checkpoint();
      let left = kill;
      for (const call of calls) {
        const real = fs[call] as (...given: unknown[]) => unknown;
        vi.spyOn(fs, call).mockImplementation((...given: unknown[]): never => {
          if (--left <= 0) throw new Error("killed");
          return real(...given) as never;
        });
      }
      // Some failures are none: what a rollback leaves behind goes with the next save.
      await run.advance().catch(() => undefined);
      vi.restoreAllMocks();
      run.close();
      if (left > 0) break;
      died++;
      const resumed = await open(name, alarms, "resume");
      await advance(resumed);
      resumed.close();
      expect(results(name), name).toEqual(expected);
    }
    expect(died).toBeGreaterThan(8);
  }, 240_000);

  test("resumed again and again, a run of several rollbacks has the bytes of an undisturbed one", async () => {
    const alarms: AlarmsConfig = { ...gain("rollback", passedAt(11)), rateFactor: 0.3 };
    const undisturbed = await open("several", alarms);
    await advance(undisturbed);
    undisturbed.close();
    expect(undisturbed.events.length).toBeGreaterThan(1);
    for (let [round, finished] = [0, false]; !finished; round++) {
      const run = await open("disturbed", alarms, round === 0 ? "refuse" : "resume");
      for (let steps = 0; steps < 5 + round && !run.finished; steps++) await run.advance();
      ({ finished } = run);
      run.close();
    }
    expect(results("disturbed")).toEqual(results("several"));
  });

  test("an alarm that comes back at once goes one checkpoint further back, and after its limit stops", async () => {
    // Passed by the parameters of the beginning: lower rates cannot help.
    const alarms: AlarmsConfig = { ...gain("rollback", gains.get(1)! / 2), rollbacks: 2, rateFactor: 0.1 };
    const run = await open("hopeless", alarms);
    const error = await errorOf(async () => await advance(run));
    run.close();
    expect(error).toBeInstanceOf(AlarmError);
    expect(error.message).toMatch(/It has gone back 2 times, and 2 is the limit \(alarms\.rollbacks\)/);
    expect(readEvents(place.at("hopeless")).map(({ action }) => action)).toEqual(["rollback", "rollback", "stop"]);
    // It was saved, so a resumed run goes on past the alarm instead of repeating the steps up to it for ever.
    const resumed = await open("hopeless", alarms, "resume");
    expect(resumed.trainer.step).toBe(readEvents(place.at("hopeless")).at(-1)!.step);
    await advance(resumed);
    expect(resumed.finished).toBe(true);
    resumed.close();

    const late: AlarmsConfig = { ...gain("rollback", gains.get(9)! * 1.0001), rateFactor: 1 };
    const again = await open("further", late);
    const stopped = await errorOf(async () => await advance(again));
    again.close();
    expect(stopped).toBeInstanceOf(AlarmError);
    const steps = readEvents(place.at("further")).map(({ rollback }) => rollback?.step);
    expect(steps.slice(0, 2)).toEqual([8, 4]);
  });

  test("a step that is not finite goes back too, and otherwise is an event that stops", async () => {
    const poison = async (run: Run): Promise<void> => {
      const state = await run.trainer.save();
      const spoil = ({ name, data, ...rest }: (typeof state.model)[number]): (typeof state.model)[number] => ({
        name,
        ...rest,
        data: name === "norm" ? data.with(0, Number.NaN) : data,
      });
      run.trainer.restore({ ...state, model: state.model.map(spoil) });
    };
    const run = await open("finite", { rules: { "not-finite": { action: "rollback" } } });
    await advance(run, 6);
    await poison(run);
    expect((await run.advance()).loss).toBeNaN();
    expect(run.trainer.step).toBe(4);
    expect(run.events).toMatchObject([{ step: 7, rule: "not-finite", rollback: { step: 4, rateFactor: 0.5 } }]);
    await advance(run);
    run.close();
    expect(readMetrics(place.at("finite")).map(({ step }) => step)).toEqual(
      Array.from({ length: STEPS }, (_, index) => index + 1),
    );

    const other = await open("infinite");
    await advance(other, 6);
    await poison(other);
    expect(await errorOf(async () => await other.advance())).toBeInstanceOf(DivergenceError);
    other.close();
    expect(readEvents(place.at("infinite"))).toMatchObject([{ step: 7, rule: "not-finite", action: "stop" }]);
  });

  test("a run that may go back has a checkpoint of its beginning", async () => {
    const run = await open("early", gain("rollback", gains.get(2)! - 1e-9));
    expect(listCheckpoints(place.at("early")).map(({ step }) => step)).toEqual([0]);
    run.close();
    expect(fs.existsSync(path.join(place.at("plain"), "checkpoints", "step-0"))).toBe(false);
  });
});

describe("configuration", () => {
  test("an older run has no field of it, and what was asked for stays as it was", () => {
    const { alarms: _, ...old } = configOf();
    expect(parseTrainingConfig(old)).toEqual(old);
    expect("alarms" in parseTrainingConfig(old)).toBe(false);
    const given = configOf({ rules: { gain: { bound: 5 }, spike: "off" }, rollbacks: 1 });
    expect(parseTrainingConfig(JSON.parse(JSON.stringify(given)))).toEqual(given);
  });
  test("a step that is not finite cannot go on, and a rollback needs two checkpoints", () => {
    const rules = { "not-finite": { action: "continue" } } as never;
    expect(() => configOf({ rules })).toThrow(/alarms\.rules\.not-finite\.action/);
    const config = configOf(gain("rollback", 5));
    expect(() => parseTrainingConfig({ ...config, keepCheckpoints: 1 })).toThrow(
      /keepCheckpoints: an alarm that rolls back/,
    );
  });
  test("bounds follow the connection", () => {
    const bound = (kind: "hc" | "mhc"): number => planAlarms(tinyTraining(kind).model).bounds.get("gain")!;
    expect([bound("hc"), bound("mhc")]).toEqual([10, 3]);
    const { bounds, actions } = planAlarms(tinyTraining("mhc").model, {
      rules: { spike: "off", gain: { bound: 7 } },
    });
    expect([bounds.get("gain"), bounds.has("spike"), actions.gain, actions.diverged]).toEqual([
      7,
      false,
      "continue",
      "stop",
    ]);
  });
  test("every map by Sinkhorn-Knopp is meant to be doubly stochastic", () => {
    const { model } = tinyTraining("mhc");
    const bound = (
      residualMap: "sinkhorn" | "sinkhorn-implicit" | "sinkhorn-adaptive" | "row-softmax",
    ): number | undefined =>
      planAlarms({
        ...model,
        connection: { ...model.connection, residualMap } as MhcConfig,
      }).bounds.get("gain");
    expect([bound("sinkhorn"), bound("sinkhorn-implicit"), bound("sinkhorn-adaptive")]).toEqual([3, 3, 3]);
    expect(bound("row-softmax")).toBe(10);
  });
  test("what can harden follows the start and the map", () => {
    const { model } = tinyTraining("mhc");
    const starts = (change: Partial<MhcConfig>): boolean[] => [
      ...new Set(
        planAlarms({ ...model, connection: { ...model.connection, ...change } as MhcConfig }).subject.startsMixing,
      ),
    ];
    expect(starts({})).toEqual([true]);
    expect(starts({ initialisation: "zero" })).toEqual([true]);
    // 0 on the diagonal and −8 or −50 off it.
    expect(starts({ initialisation: "mhc-lite" })).toEqual([false]);
    expect(starts({ initialisation: "gpt2-equivalent" })).toEqual([false]);
    expect(starts({ residualMap: "cayley" })).toEqual([false]);
    expect(starts({ active: 2 })).toEqual([false]);
    expect(planAlarms(tinyTraining("hc").model).subject.startsMixing).toContain(false);
  });
  test("the rate of a step is that of the last rollback to before it", () => {
    const back = (step: number, to: number, rateFactor: number): EventRecord => ({
      step,
      rule: "spike",
      message: "",
      action: "rollback",
      rollback: { step: to, rateFactor },
    });
    const events = [back(50, 40, 0.5), back(90, 80, 0.25), back(85, 20, 0.125)];
    expect([20, 21, 40, 41, 80, 81].map((step) => rateFactorAt(events, step))).toEqual([
      1, 0.125, 0.125, 0.125, 0.125, 0.125,
    ]);
    expect([40, 41, 80, 81].map((step) => rateFactorAt(events.slice(0, 2), step))).toEqual([1, 0.5, 0.5, 0.25]);
  });
});
