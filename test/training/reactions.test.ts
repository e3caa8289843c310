// What a run does about alarms, as a decision: no model, no folder.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AlarmName, alarmNames } from "../../src/stability/alarms.ts";
import { type AlarmAction, type AlarmPlan, alarmActions } from "../../src/training/alarms.ts";
import {
  type Alarm,
  AlarmError,
  DivergenceError,
  divergedAlarm,
  notFiniteAlarm,
  notSavedAlarm,
  type Reaction,
  reactTo,
  RunStopped,
  type SavedStep,
} from "../../src/training/reactions.ts";
import type { EventRecord } from "../../src/training/records.ts";

const everywhere = (action: AlarmAction): Record<AlarmName, AlarmAction> =>
  Object.fromEntries(alarmNames.map((name) => [name, action])) as Record<AlarmName, AlarmAction>;

function planOf(actions: Partial<Record<AlarmName, AlarmAction>>, limits: Partial<AlarmPlan> = {}): AlarmPlan {
  const subject = { chance: 5, doublyStochastic: [], constrained: false, startsMixing: [] };
  const bounds = new Map(alarmNames.map((name) => [name, 1]));
  return {
    subject,
    bounds,
    actions: { ...everywhere("continue"), ...actions },
    rateFactor: 0.5,
    rollbacks: 3,
    ...limits,
  };
}
const alarm = (rule: AlarmName, failure?: string): Alarm => ({
  rule,
  message: `${rule} is high.`,
  ...(failure === undefined ? {} : { failure }),
});
const placeOf = (step: number): SavedStep => ({ step, folder: `run/step-${step}` });
const newestOf =
  (checkpoints: readonly number[]) =>
  (before = Number.POSITIVE_INFINITY): SavedStep | undefined => {
    const step = Math.max(...checkpoints.filter((saved) => saved < before));
    return Number.isFinite(step) ? placeOf(step) : undefined;
  };
const wentBack = (step: number, to: number, rateFactor: number): EventRecord => ({
  step,
  rule: "gain",
  message: "gain is high.",
  action: "rollback",
  rollback: { step: to, rateFactor },
});

function react(
  plan: AlarmPlan,
  step: number,
  alarms: readonly Alarm[],
  { checkpoints = [], events = [] }: { checkpoints?: readonly number[]; events?: readonly EventRecord[] } = {},
): Reaction {
  return reactTo(plan, { name: "r", folder: "run", step, alarms, events, checkpointBefore: newestOf(checkpoints) });
}
const notesOf = (reaction: Reaction): readonly EventRecord[] =>
  reaction.kind === "rollback" ? [reaction.event] : reaction.notes;

describe("of several alarms", () => {
  const plan = planOf({ gain: "rollback", diverged: "stop" });
  test.each<[string, readonly AlarmName[], Reaction["kind"], readonly string[]]>([
    ["none does nothing", [], "continue", []],
    [
      "those that go on are all noted, the first of them last",
      ["spike", "gradient"],
      "continue",
      ["gradient", "spike"],
    ],
    ["a stop is noted after those that go on", ["diverged", "spike"], "stop", ["spike", "diverged"]],
    ["a stop is before a rollback, which is then not noted", ["gain", "diverged"], "stop", ["diverged"]],
    ["a rollback gives up what else was seen at its step", ["spike", "gain"], "rollback", ["gain"]],
  ])("%s", (_, rules, kind, noted) => {
    const reaction = react(
      plan,
      9,
      rules.map((rule) => alarm(rule)),
      { checkpoints: [4] },
    );
    expect(reaction.kind).toBe(kind);
    expect(notesOf(reaction).map(({ rule, step }) => [rule, step])).toEqual(noted.map((rule) => [rule, 9]));
  });
  test("a note has what was seen, and what was done", () => {
    const seen: Alarm = { rule: "gain", message: "gain is high.", value: 7, bound: 3, sublayer: 2 };
    expect(notesOf(react(planOf({}), 9, [seen]))).toEqual([{ step: 9, ...seen, action: "continue" }]);
  });
});

describe("stop", () => {
  test("saves the step, so that a resumed run goes on past the alarm", () => {
    const reaction = react(planOf({ gain: "stop" }), 9, [alarm("gain")]);
    const error = new AlarmError(
      'r: alarm "gain" at step 9: gain is high. The run stops. It is saved in run; resumed, it goes on past this alarm (gain).',
    );
    expect(reaction).toMatchObject({ kind: "stop", save: true, error });
  });
  test("of parameters that are worth nothing, saves nothing", () => {
    const reaction = react(planOf({ diverged: "stop" }), 9, [alarm("diverged", "the run diverges.")]);
    expect(reaction).toMatchObject({ kind: "stop", save: false, error: new DivergenceError("r: the run diverges.") });
  });
});

describe("rollback", () => {
  const plan = planOf({ gain: "rollback" });
  test.each<[string, number, readonly number[], readonly EventRecord[], { step: number; rateFactor: number }]>([
    ["to the newest checkpoint", 11, [4, 8], [], { step: 8, rateFactor: 0.5 }],
    ["not to the step before, which made what was seen", 9, [4, 8], [], { step: 4, rateFactor: 0.5 }],
    ["but there, when it is all there is", 9, [8], [], { step: 8, rateFactor: 0.5 }],
    ["not to the step itself or later ones", 8, [4, 8, 12], [], { step: 4, rateFactor: 0.5 }],
    ["one further, when it went there already", 10, [4, 8], [wentBack(11, 8, 0.5)], { step: 4, rateFactor: 0.25 }],
    ["there again, when there is none before", 10, [8], [wentBack(11, 8, 0.5)], { step: 8, rateFactor: 0.25 }],
    [
      "there again, after another",
      10,
      [8],
      [wentBack(20, 8, 0.5), wentBack(11, 4, 0.25)],
      { step: 8, rateFactor: 0.125 },
    ],
  ])("%s", (_, step, checkpoints, events, rollback) => {
    const reaction = react(plan, step, [alarm("gain")], { checkpoints, events });
    expect(reaction).toMatchObject({ kind: "rollback", checkpoint: placeOf(rollback.step) });
    expect(notesOf(reaction)).toEqual([{ step, ...alarm("gain"), action: "rollback", rollback }]);
  });

  test("after its limit stops, saved", () => {
    const events = [wentBack(11, 8, 0.5), wentBack(10, 4, 0.25)];
    const reaction = react({ ...plan, rollbacks: 2 }, 9, [alarm("gain")], { checkpoints: [4], events });
    const error = new AlarmError(
      'r: alarm "gain" at step 9: gain is high. The run stops. It has gone back 2 times, and 2 is the limit (alarms.rollbacks); ' +
        "the learning rate was 0.25 × the configured one. It is saved in run; resumed, it goes on past this alarm (gain).",
    );
    expect(reaction).toMatchObject({ kind: "stop", save: true, error });
    expect(notesOf(reaction).map(({ action }) => action)).toEqual(["stop"]);
  });
  test("after its limit, of parameters that are worth nothing, stops unsaved", () => {
    const events = [wentBack(11, 8, 0.5)];
    const reaction = react({ ...plan, rollbacks: 1 }, 9, [alarm("gain", "it is lost.")], {
      checkpoints: [4, 12],
      events,
    });
    const error = new DivergenceError(
      'r: alarm "gain" at step 9: gain is high. The run stops. It has gone back 1 time, and 1 is the limit (alarms.rollbacks); ' +
        "the learning rate was 0.5 × the configured one. The last good checkpoint is step 12 in run/step-12.",
    );
    expect(reaction).toMatchObject({ kind: "stop", save: false, error });
  });
  test("without a checkpoint stops", () => {
    const reaction = react(plan, 9, [alarm("gain", "it is lost.")]);
    const error = new DivergenceError(
      'r: alarm "gain" at step 9: gain is high. The run stops. There is no checkpoint to go back to. There is no checkpoint yet.',
    );
    expect(reaction).toMatchObject({ kind: "stop", save: false, error });
  });
});

/** A run of made-up alarms: what is seen each time it does a step comes from the list, and then nothing. */
function simulate(
  plan: AlarmPlan,
  { steps, every, seen }: { steps: number; every: number; seen: readonly (readonly Alarm[])[] },
): { done: number; rollbacks: { from: number; to: number }[]; end: "finished" | RunStopped } {
  let checkpoints = [0];
  let events: EventRecord[] = [];
  const rollbacks: { from: number; to: number }[] = [];
  let done = 0;
  for (let step = 0; step < steps;) {
    step++;
    const reaction = react(plan, step, seen[done++] ?? [], { checkpoints, events });
    if (reaction.kind === "rollback") {
      const to = reaction.checkpoint.step;
      rollbacks.push({ from: step, to });
      checkpoints = checkpoints.filter((saved) => saved <= to);
      events = [...events.filter((past) => past.rollback ?? past.step <= to), reaction.event];
      step = to;
      continue;
    }
    events.push(...reaction.notes);
    if (reaction.kind === "stop") return { done, rollbacks, end: reaction.error };
    if (step % every === 0) checkpoints = [...checkpoints.filter((saved) => saved !== step), step].slice(-2);
  }
  return { done, rollbacks, end: "finished" };
}

test("whatever is seen: at most so many rollbacks, never to a later step, and the run ends", () => {
  const alarms = fc.array(
    fc.record(
      { rule: fc.constantFrom(...alarmNames), message: fc.constant("seen.") },
      { requiredKeys: ["rule", "message"] },
    ),
    { maxLength: 3 },
  );
  const actions = fc.record(
    Object.fromEntries(alarmNames.map((name) => [name, fc.constantFrom(...alarmActions)])) as Record<
      AlarmName,
      fc.Arbitrary<AlarmAction>
    >,
  );
  fc.assert(
    fc.property(
      fc.record({ actions, rollbacks: fc.nat(5), rateFactor: fc.constantFrom(1, 0.5, 0.1) }),
      fc.record({
        steps: fc.integer({ min: 1, max: 40 }),
        every: fc.integer({ min: 1, max: 9 }),
        seen: fc.array(alarms),
      }),
      ({ actions, ...limits }, run) => {
        const { done, rollbacks, end } = simulate(planOf(actions, limits), run);
        expect(rollbacks.length).toBeLessThanOrEqual(limits.rollbacks);
        for (const { from, to } of rollbacks) expect(to).toBeLessThan(from);
        expect(done).toBeLessThanOrEqual((rollbacks.length + 1) * run.steps);
        expect(end === "finished" || end instanceof RunStopped).toBe(true);
        if (end === "finished") expect(done).toBeGreaterThanOrEqual(run.steps);
      },
    ),
  );
});

describe("what is seen", () => {
  test("a loss that is not finite", () => {
    const { rule, message, failure } = notFiniteAlarm({ step: 7, loss: Number.NaN }, "layers.0:matmul", placeOf(4));
    const seen =
      "the loss of step 7 is not finite; the first tensor that went wrong is layers.0:matmul. The step was not applied.";
    expect(rule).toBe("not-finite");
    expect(message).toBe(`${seen} Lower the learning rate or the clipping norm.`);
    expect(failure).toBe(
      `${seen} The last good checkpoint is step 4 in run/step-4. Lower the learning rate or the clipping norm.`,
    );
  });
  test("a gradient that is not finite, and cannot be found", () => {
    const { message } = notFiniteAlarm({ step: 7, loss: 1 }, undefined, undefined);
    expect(message).toMatch(/^the gradient of step 7 .* is not found in a repetition\. /);
  });
  test("an update that is not finite", () => {
    expect(notSavedAlarm(8, "norm", undefined, { epsilon: 1e-20 }).failure).toBe(
      "step 8 made norm not finite, so it is not saved. There is no checkpoint yet. Lower the learning rate.",
    );
  });
  test("a loss that has diverged", () => {
    const excursion = { rule: "diverged", value: 2.5, bound: 2, message: "it is high." } as const;
    const { message, failure } = divergedAlarm(excursion, { step: 30, loss: 8 }, 5.5, placeOf(4));
    expect(message).toBe("it is high.");
    expect(failure).toBe(
      "the run diverges: at step 30 the loss (8.00) has been more than 2 nats above chance (5.50) for 20 steps. " +
        "The last good checkpoint is step 4 in run/step-4. Lower the learning rate.",
    );
  });
});
