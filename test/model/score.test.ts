// The likelihood of continuations is that of the whole text, and does not depend on what is scored with it.

import { setImmediate as turn } from "node:timers/promises";
import v8 from "node:v8";
import vm from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectionKinds } from "../../src/connections/table.ts";
import { input } from "../../src/graph/state.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { createLanes, type LaneOptions, type Lanes } from "../../src/model/lanes.ts";
import { type LanguageModel, languageModel } from "../../src/model/language-model.ts";
import type { Reading } from "../../src/model/reading.ts";
import { type ContinuationScore, scoreContinuations, type ScoreRequest } from "../../src/model/score.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { uniform } from "../ops/harness.ts";
import { modelOn, tinyConfig } from "./tiny.ts";

const AWAY = { seed: 5, noise: 0.2 };
const config = tinyConfig("mhc", { context: 40 });
let wasm: SynchronousRuntime;
let model: LanguageModel;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 2 });
  model = modelOn(wasm, config, AWAY);
});
afterAll(() => wasm.close());

const random = uniform(11);
const draw = (below: number): number => Math.floor(random() * below);
const tokens = (length: number): number[] => Array.from({ length }, () => draw(config.vocabulary));

/** Requests of all lengths; some begin like others, as prompts with the same examples do. */
function someRequests(count: number): ScoreRequest[] {
  const examples = tokens(12);
  return Array.from({ length: count }, (_, index) => ({
    context: [...(index % 3 === 0 ? [] : examples), ...tokens(1 + draw(16))],
    continuations: Array.from({ length: 1 + draw(4) }, () => tokens(1 + draw(12))),
  }));
}

async function scoresOf(
  requests: readonly ScoreRequest[],
  options?: LaneOptions,
  runtime = wasm,
  scored = runtime === wasm ? model : modelOn(runtime, config, AWAY),
): Promise<(readonly ContinuationScore[])[]> {
  const lanes = createLanes(runtime, scored, options);
  const found: (readonly ContinuationScore[])[] = [];
  for await (const { request, scores } of scoreContinuations(lanes, requests)) {
    expect(found[request]).toBeUndefined();
    found[request] = scores;
  }
  lanes.release();
  return found;
}

/** Sum of log softmax over the continuation, from one reading of the whole text without a cache. */
function byWholeText(context: readonly number[], continuation: readonly number[]): number {
  const text = [...context, ...continuation];
  const ids = input("tokens", [1, text.length], "i32");
  const program = wasm.compile({ outputs: { logits: model.logits(model.hidden(ids).hidden_NC) } });
  wasm.write(ids, text);
  program.run();
  const logits = program.readNow("logits");
  const logs = continuation.map((token, index) => {
    const start = (context.length + index - 1) * config.vocabulary;
    const row = [...logits.subarray(start, start + config.vocabulary)];
    return row[token]! - Math.log(row.reduce((sum, score) => sum + Math.exp(score), 0));
  });
  program.release();
  return logs.reduce((sum, value) => sum + value, 0);
}

describe("scores of continuations", () => {
  test("are those of the whole text", async () => {
    const requests = someRequests(8);
    const scores = await scoresOf(requests);
    for (const [index, { context, continuations }] of requests.entries())
      for (const [place, continuation] of continuations.entries()) {
        const score = scores[index]![place]!;
        expect(score.tokens).toHaveLength(continuation.length);
        expect(score.logProbability).toBeCloseTo(byWholeText(context, continuation), 4);
      }
  });

  test("have the same bits alone, with others, in few lanes, in small pieces and in another order", async () => {
    const requests = someRequests(40);
    const together = await scoresOf(requests);
    for (const options of [{ lanes: 1 }, { lanes: 3, rows: 32 }, { lanes: 40, rows: 1024 }])
      expect(await scoresOf(requests, options)).toEqual(together);
    expect((await scoresOf(requests.toReversed())).toReversed()).toEqual(together);
    for (const index of [0, 7, 22]) expect(await scoresOf([requests[index]!])).toEqual([together[index]]);
  });

  test.each(connectionKinds)("have the same bits alone and with others: %s", async (kind) => {
    const other = modelOn(wasm, tinyConfig(kind, { context: 40 }), AWAY);
    const requests = someRequests(24);
    const together = await scoresOf(requests, {}, wasm, other);
    for (const index of [0, 13]) expect(await scoresOf([requests[index]!], {}, wasm, other)).toEqual([together[index]]);
    expect(await scoresOf(requests.toReversed(), { lanes: 5 }, wasm, other)).toEqual(together.toReversed());
  });

  test("are the same on the reference", async () => {
    const requests = someRequests(3);
    const [ours, reference] = [
      await scoresOf(requests),
      await scoresOf(requests, { lanes: 2 }, createReferenceRuntime()),
    ];
    for (const [index, scores] of ours.entries())
      for (const [place, { logProbability }] of scores.entries())
        expect(logProbability).toBeCloseTo(reference[index]![place]!.logProbability, 3);
  });

  test("say whether the model itself would have written the continuation", async () => {
    const context = tokens(5);
    const every = Array.from({ length: config.vocabulary }, (_, token) => [token]);
    const [scores] = await scoresOf([{ context, continuations: every }]);
    const best = scores!.filter(({ greedy }) => greedy);
    expect(best).toHaveLength(1);
    expect(best[0]!.logProbability).toBe(Math.max(...scores!.map(({ logProbability }) => logProbability)));
    expect(scores!.reduce((sum, { logProbability }) => sum + Math.exp(logProbability), 0)).toBeCloseTo(1, 6);
  });

  test("a text may fill the window and one token more, and no more than that", async () => {
    const request = (length: number): ScoreRequest => ({ context: tokens(1), continuations: [tokens(length)] });
    const [scores] = await scoresOf([request(config.context)]);
    expect(scores![0]!.tokens).toHaveLength(config.context);
    await expect(scoresOf([request(config.context + 1)])).rejects.toThrow(/41 tokens; the window has 40/);
  });

  test("lanes can be used again after they were left in the middle", async () => {
    const lanes = createLanes(wasm, model, { lanes: 2 });
    const requests = someRequests(9);
    for await (const _ of scoreContinuations(lanes, requests)) break;
    const found: (readonly ContinuationScore[])[] = [];
    for await (const { request, scores } of scoreContinuations(lanes, requests)) found[request] = scores;
    expect(found).toEqual(await scoresOf(requests));
    lanes.release();
  });

  test("are those of the parameters of now, also where the texts were read before", async () => {
    const parameters = createParameters();
    const own = languageModel(config, parameters);
    const lanes = createLanes(wasm, own, { lanes: 2 });
    const begins = tokens(36);
    const request = { context: begins, continuations: [tokens(3)] };
    const read = async (used: Lanes): Promise<readonly ContinuationScore[]> => {
      for await (const { scores } of scoreContinuations(used, [request])) return scores;
      throw new Error("There are no scores.");
    };
    const found = [];
    for (const seed of [1, 2]) {
      for (const each of parameters.all)
        wasm.write(
          each.tensor,
          initialValues(each, seed).map((value) => 3 * value),
        );
      found.push(await read(lanes));
    }
    const fresh = createLanes(wasm, own, { lanes: 2 });
    expect(found[1]).toEqual(await read(fresh));
    expect(found[1]).not.toEqual(found[0]);
    for (const each of [lanes, fresh]) each.release();
  });

  test("what has ended keeps no scores, however many requests there are", async () => {
    v8.setFlagsFromString("--expose-gc");
    const collect = vm.runInNewContext("gc") as () => void;
    const lanes = createLanes(wasm, model, { lanes: 2 });
    const seen: WeakRef<object>[] = [];
    const errands = Array.from({ length: 40 }, (_, token) => ({
      tokens: [],
      *read(): Reading<undefined> {
        const [scores] = yield { rows: [{ position: 0, token: token % config.vocabulary }], wanted: 1 };
        seen.push(new WeakRef(scores!));
      },
    }));
    let left = Infinity;
    for await (const [number] of lanes.run(errands)) {
      if (number < 38) continue;
      await turn();
      collect();
      left = seen.filter((ref) => ref.deref()).length;
    }
    expect(seen).toHaveLength(40);
    expect(left).toBeLessThan(8);
    lanes.release();
  });

  test("a request that is wrong costs no lane", async () => {
    let runs = 0;
    const lanes = createLanes(wasm, model, { lanes: 2, pause: () => Promise.resolve(void runs++) });
    const requests = someRequests(2);
    const read = async (wanted: readonly ScoreRequest[]): Promise<void> => {
      for await (const _ of scoreContinuations(lanes, wanted));
    };
    const wrong = { context: [], continuations: [[1]] };
    await expect(read([requests[0]!, wrong])).rejects.toThrow("the context has no tokens");
    await read(requests);
    expect(runs).toBe(1);
    lanes.release();
  });

  test("between runs of the model a program can do other things", async () => {
    let runs = 0;
    const heard: number[] = [];
    const pause = (): Promise<void> => {
      runs++;
      return new Promise((resolve) => void setImmediate(resolve));
    };
    const requests = someRequests(12);
    setImmediate(() => void heard.push(runs));
    expect(await scoresOf(requests, { lanes: 1, rows: 32, pause })).toEqual(await scoresOf(requests));
    expect(runs).toBeGreaterThan(11);
    expect(heard[0]).toBeLessThan(3);
  });

  test("empty contexts and continuations are refused", async () => {
    await expect(scoresOf([{ context: [], continuations: [[1]] }])).rejects.toThrow("the context has no tokens");
    await expect(scoresOf([{ context: [1], continuations: [[]] }])).rejects.toThrow("a continuation has no tokens");
  });
});
