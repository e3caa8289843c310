// Several ranks train one model as one process does that accumulates gradients.

import { describe, expect, test } from "vitest";
import type { Collective, Pending } from "../../../src/runtime/collective/collective.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createParameters, parameterCount } from "../../../src/graph/parameters.ts";
import { languageModel } from "../../../src/model/language-model.ts";
import { createPlannedRuntime } from "../../../src/runtime/planned/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { compileTraining } from "../../../src/training/programs.ts";
import { endFollowers, followTrainer, leadTrainer } from "../../../src/training/parallel/lead.ts";
import { COMPARE_EVERY } from "../../../src/training/parallel/shared-steps.ts";
import type { TrainerState } from "../../../src/training/state.ts";
import { createTrainer, type StepResult, type Trainer } from "../../../src/training/trainer.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";
import { mixture, tinyBatches, tinyTraining } from "../tiny.ts";
import { losses, runtimesOfRanks, withTrainer } from "./ranks.ts";

const STEPS = 20;

const runtimes = runtimesOfRanks(4, (rank) => (rank === 1 ? 2 : 1));

interface Trained {
  readonly results: readonly StepResult[];
  readonly state: TrainerState;
  readonly validation: number;
}

async function trainOn(trainer: Trainer, steps: number): Promise<Trained> {
  const results: StepResult[] = [];
  for (let step = 0; step < steps; step++) results.push(await trainer.trainStep({ instruments: step === 1 }));
  const { loss: validation } = await trainer.evaluate();
  return { results, state: await trainer.save(), validation };
}

const trainAlone = (config: TrainingConfig, steps = STEPS): Promise<Trained> =>
  withTrainer(createTrainer(runtimes[0]!, config, tinyBatches(config)), (trainer) => trainOn(trainer, steps));

/** Small buckets: parameters are cut, and several buckets are under way. */
const trainerOf = (
  config: TrainingConfig,
  collective: Collective,
  { runtime = runtimes[collective.rank]!, bucketBytes = 2048 }: { runtime?: Runtime; bucketBytes?: number } = {},
): Trainer => createTrainer(runtime, config, tinyBatches(config), Object.assign({}, collective, { bucketBytes }));
/** More buckets than may be under way. */
const MANY = { bucketBytes: 512 };

const trainTogether = (config: TrainingConfig, size: number, steps = STEPS): Promise<Trained[]> =>
  onAll(createWorld(size, { deadline: 60 }), (collective) =>
    withTrainer(trainerOf(config, collective), (trainer) => trainOn(trainer, steps)),
  );

describe.each([
  ["residual", 2, {}],
  ["mhc", 2, {}],
  ["mhc", 4, {}],
  ["residual", 4, mixture],
] as const)("%s on %d ranks (%j)", (kind, size, changes) => {
  test("has the losses of one process within 1e-5, and the same bits on every rank and each time", async () => {
    const config = { ...tinyTraining(kind, changes), batch: 1, accumulate: size };
    const one = await trainAlone(config);
    const ranks = await trainTogether(config, size);
    for (const each of ranks) {
      expect(losses(each)).toEqual(losses(ranks[0]!));
      expect(each.state).toEqual(ranks[0]!.state);
      expect(each.validation).toBe(ranks[0]!.validation);
    }
    for (const [index, loss] of losses(ranks[0]!).entries())
      expect(Math.abs(loss - losses(one)[index]!)).toBeLessThan(1e-5);
    expect(ranks[0]!.results[3]!.expertLoad).toEqual(one.results[3]!.expertLoad);
    const again = await trainTogether(config, size, 4);
    for (const each of again) expect(losses(each)).toEqual(losses(ranks[0]!).slice(0, 4));
    expect(ranks[0]!.results[1]!.instruments).toEqual(ranks[1]!.results[1]!.instruments);
    expect(ranks[0]!.results[2]!.ranks).toHaveLength(size);
  });
});

describe.each([
  ["of dense layers", {}, { accumulate: 1 }],
  ["of a mixture", mixture, { accumulate: 2 }],
  ["with gradients added up", {}, { accumulate: 6 }],
] as const)("parameters that arrive behind the next forward pass, %s", (_, changes, { accumulate }) => {
  const config = { ...tinyTraining("mhc", changes), batch: 2, accumulate };
  const together = (work: (trainer: Trainer) => Promise<unknown>): Promise<unknown[]> =>
    onAll(createWorld(2, { deadline: 60 }), (collective) => withTrainer(trainerOf(config, collective, MANY), work));

  test("have the same bits, whatever is asked for meanwhile", async () => {
    const [early] = (await together(async (trainer) => {
      await trainer.trainStep();
      return await trainer.save();
    })) as [TrainerState];
    const askings: Readonly<Record<string, (trainer: Trainer) => unknown>> = {
      nothing: () => undefined,
      evaluate: (trainer) => trainer.evaluate(),
      save: (trainer) => trainer.save(),
      view: (trainer) => trainer.view({ for: 1 }),
      viewOwn: (trainer) => trainer.viewOwn(),
      findNotFinite: (trainer) => trainer.findNotFinite(),
      generate: (trainer) => Array.fromAsync(trainer.generate([1, 2], { maxTokens: 3, random: () => 0.5 })),
      instruments: (trainer) => trainer.trainStep({ instruments: true }),
      restore: (trainer) => trainer.restore(early),
    };
    const trained = (follows: boolean): Promise<unknown[]> =>
      together(async (trainer) => {
        const told: unknown[] = [];
        for (const [name, ask] of Object.entries(askings)) {
          const { loss } = await trainer.trainStep({ ahead: follows ? {} : undefined });
          told.push({ name, loss, answer: withoutTimes(await ask(trainer)) });
        }
        return [told, await trainer.save()];
      });
    expect(await trained(true)).toEqual(await trained(false));
  });
});

/** What differs from time to time goes. */
const withoutTimes = (value: unknown = null): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, each: unknown) => {
      if (key === "seconds" || key === "ranks" || key === "started") return undefined;
      return ArrayBuffer.isView(each) ? [...new Uint8Array(each.buffer, each.byteOffset, each.byteLength)] : each;
    }),
  );

test("where the next step follows, a step does not wait for the parameters", async () => {
  const config = { ...tinyTraining("mhc"), batch: 2, accumulate: 1 };
  const seen = await onAll(createWorld(2, { deadline: 60 }), async (collective) => {
    let [begun, taken] = [0, 0];
    const counting = Object.assign({}, collective, {
      allGather(own: Float32Array, into: Float32Array): Pending {
        const pending = collective.allGather(own, into);
        if (!(own instanceof Float32Array)) return pending;
        begun++;
        let has = false;
        const take = (): void => {
          if (!has) taken++;
          has = true;
        };
        const test = (): boolean => {
          const come = pending.test();
          if (come) take();
          return come;
        };
        return { test, done: () => pending.done().then(take) };
      },
    });
    return await withTrainer(trainerOf(config, counting, MANY), async (trainer) => {
      await trainer.trainStep();
      const whole = [begun, taken];
      await trainer.trainStep({ ahead: {} });
      const behind = [begun - whole[0]!, taken - whole[1]!];
      await trainer.trainStep();
      return { whole, behind, after: [begun, taken] };
    });
  });
  for (const { whole, behind, after } of seen) {
    expect(whole[0]).toBeGreaterThan(32);
    expect(whole[1]).toBe(whole[0]);
    expect(behind).toEqual([4, 0]);
    expect(after).toEqual([3 * whole[0]!, 3 * whole[0]!]);
  }
});

test("where nothing is clipped, the bits are those of one process that accumulates", async () => {
  const config = { ...tinyTraining("mhc", { optimizer: { clip: Number.MAX_VALUE } }), batch: 2, accumulate: 4 };
  const one = await trainAlone(config, 5);
  const [first] = await trainTogether(config, 4, 5);
  expect(losses(first!)).toEqual(losses(one));
  expect(first!.validation).toBe(one.validation);
});

test("microbatches of a rank are added up before they are sent", async () => {
  const config = { ...tinyTraining("mhc"), batch: 2, accumulate: 6 };
  const one = await trainAlone(config, 5);
  const [first] = await trainTogether(config, 2, 5);
  for (const [index, loss] of losses(first!).entries()) expect(Math.abs(loss - losses(one)[index]!)).toBeLessThan(1e-5);
});

test.each(["moments", "gradients"] as const)("what is sharded changes only memory: %s", async (sharded) => {
  const config = { ...tinyTraining("mhc"), batch: 2, accumulate: 6 };
  const one = await trainAlone(config, 5);
  const [first, second] = await trainTogether({ ...config, sharded }, 2, 5);
  expect(losses(second!)).toEqual(losses(first!));
  expect(second!.state).toEqual(first!.state);
  for (const [index, loss] of losses(first!).entries()) expect(Math.abs(loss - losses(one)[index]!)).toBeLessThan(1e-5);
});

test.each([
  ["of dense layers", {}, 2],
  ["added up before", {}, 6],
  ["of a mixture", mixture, 2],
  ["of whole matrices", { optimizer: { kind: "muon" } }, 2],
] as const)(
  "gradients that travel as bfloat16, %s, give the same bits on all ranks, near those of float32",
  async (_, changes, accumulate) => {
    const config = { ...tinyTraining("mhc", changes), batch: 2, accumulate };
    const one = await trainAlone(config, 5);
    const [first, second] = await trainTogether({ ...config, reducePrecision: "bfloat16" }, 2, 5);
    expect(losses(second!)).toEqual(losses(first!));
    expect(second!.state).toEqual(first!.state);
    const [again] = await trainTogether({ ...config, reducePrecision: "bfloat16" }, 2, 5);
    expect(again!.state).toEqual(first!.state);
    expect(losses(first!)).not.toEqual(losses(one));
    for (const [index, loss] of losses(first!).entries())
      expect(Math.abs(loss - losses(one)[index]!)).toBeLessThan(5e-3);
  },
);

test("where gradients are sharded, a rank has no room for all of them", () => {
  const config = { ...tinyTraining("mhc"), batch: 2, accumulate: 4 };
  const { machine } = runtimes[0]!;
  const bytesOf = (sharded: "moments" | "gradients"): number => {
    const runtime = createPlannedRuntime(machine!);
    compileTraining(runtime, { ...config, sharded }, { rank: 0, size: 2 });
    return runtime.memoryBytes();
  };
  const parameters = createParameters();
  languageModel(config.model, parameters);
  expect(bytesOf("moments") - bytesOf("gradients")).toBeGreaterThan(3 * parameterCount(parameters));
});

test("a state goes on alone, and with another number of ranks", async () => {
  const config = { ...tinyTraining("mhc"), batch: 4, accumulate: 1 };
  const whole = await trainAlone(config, 6);
  const [half] = await trainTogether(config, 4, 3);
  const goOn = async (trainer: Trainer): Promise<number[]> => {
    trainer.restore(half!.state);
    return losses(await trainOn(trainer, 3));
  };
  const alone = await withTrainer(createTrainer(runtimes[0]!, config, tinyBatches(config)), goOn);
  const two = await onAll(createWorld(2), (collective) => withTrainer(trainerOf(config, collective), goOn));
  for (const each of [alone, ...two])
    for (const [index, loss] of each.entries()) expect(Math.abs(loss - losses(whole)[3 + index]!)).toBeLessThan(1e-5);
});

test("a runtime without parts or views takes part beside one that has them", async () => {
  const config = { ...tinyTraining("residual"), batch: 2, accumulate: 1 };
  const one = await trainAlone(config, 3);
  const reference = createReferenceRuntime();
  const [first, second] = await onAll(createWorld(2), (collective) =>
    withTrainer(
      trainerOf(config, collective, { runtime: collective.rank === 1 ? reference : runtimes[0]! }),
      (trainer) => trainOn(trainer, 3),
    ),
  );
  expect(losses(second!)).toEqual(losses(first!));
  for (const [index, loss] of losses(first!).entries()) expect(Math.abs(loss - losses(one)[index]!)).toBeLessThan(1e-4);
});

test("rank 0 leads: the others follow its calls, and get what it restores", async () => {
  const config = { ...tinyTraining("mhc"), batch: 4, accumulate: 1 };
  const told = await onAll(createWorld(2), (collective) =>
    withTrainer(trainerOf(config, collective), async (trainer) => {
      if (collective.rank > 0) {
        const asked: unknown[] = [];
        await followTrainer(
          collective,
          {
            ...trainer,
            trainStep: (wishes) => (asked.push(wishes?.instruments), trainer.trainStep(wishes)),
            view: async (wishes) => {
              const state = await trainer.view(wishes);
              asked.push(state.optimizer.length);
              return state;
            },
          },
          () => "",
        );
        // It reads no instruments, and copies no moments for a state that rank 0 alone needs.
        expect(asked.filter((each) => each !== undefined)).toEqual([0, 0, 0, 0]);
        return { step: trainer.step, losses: [] };
      }
      const lead = leadTrainer(collective, trainer, () => "");
      const trained = await trainOn(lead, 3);
      expect(trained.results[1]!.instruments).toBeDefined();
      const first = losses(trained);
      const saved = await lead.save();
      const second = losses(await trainOn(lead, 2));
      lead.restore(saved);
      expect(lead.step).toBe(3);
      const again = losses(await trainOn(lead, 2));
      expect(again).toEqual(second);
      expect(await lead.findNotFinite()).toBeUndefined();
      await endFollowers(collective);
      return { step: lead.step, losses: first };
    }),
  );
  expect(told[1]!.step).toBe(5);
  expect(told[0]!.losses).toEqual(losses((await trainTogether(config, 2, 3))[0]!));
});

test("parameters that differ are found by their hash, on all ranks", async () => {
  const config = { ...tinyTraining("residual", { model: { layers: 1 } }), batch: 2, accumulate: 1 };
  const told = await onAll(createWorld(2), (collective) => {
    const runtime = runtimes[collective.rank]!;
    const { memory: _, ...others } = runtime;
    // One rank's machine writes wrong numbers.
    const broken: Runtime = {
      ...others,
      write: (state, values) =>
        runtime.write(
          state,
          values instanceof Float32Array && values.length > 100 ? values.map((x) => 1.5 * x) : values,
        ),
    };
    return withTrainer(
      trainerOf(config, collective, { runtime: collective.rank === 1 ? broken : runtime }),
      async (trainer) => {
        trainer.restore({ ...(await trainer.save()), step: COMPARE_EVERY - 2 });
        await trainer.trainStep();
        return await trainer.trainStep().then(
          () => "nothing",
          (error: unknown) => (error as Error).message,
        );
      },
    );
  });
  for (const message of told)
    expect(message).toContain(`the parameters after step ${COMPARE_EVERY} must be the same on all ranks; rank`);
});
