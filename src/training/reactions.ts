// Question: what does a run do about the alarms of a step?
//
// A decision and nothing else: no file is touched and no step is done here. Of the alarms of one step the gravest
// decides, stop before rollback before continue. A rollback goes to the newest checkpoint of at least one update
// before what was seen: the loss, the gradients and the gains of a step are those of the parameters that the step
// before left. When the run went back to that checkpoint already and has saved none since, it goes to the one
// before it. After `rollbacks` of them, or without a checkpoint, the alarm stops the run.
//
// So every run ends: it does each step at most once between two rollbacks, and their number has a limit.

import { given } from "../basics/given.ts";
import { DIVERGED_STEPS, type Excursion } from "../stability/alarms.ts";
import { type AlarmAction, type AlarmPlan, describeEvent, rateFactorAt, shortFactor } from "./alarms.ts";
import type { AdamwRule } from "./optimizers/adamw.ts";
import type { OptimizerRule } from "./optimizers/table.ts";
import type { EventRecord, MetricRecord } from "./records.ts";

/** A run that ended before its last step and does not go on by itself. */
export abstract class RunStopped extends Error {}

/** The run went wrong: its loss or gradient is not finite, or its loss grew far beyond chance. */
export class DivergenceError extends RunStopped {
  override name = "DivergenceError";
}

/** An alarm stopped the run, as its configuration asks, or after its last rollback. The run is saved. */
export class AlarmError extends RunStopped {
  override name = "AlarmError";
}

/** An excursion, or something else that a rule says of a step. */
export type Alarm = Pick<Excursion, "rule" | "message"> &
  Partial<Excursion> & {
    /** Where the parameters are worth nothing any more: what the error says. Such a step is not saved. */
    readonly failure?: string;
  };

/** Where a checkpoint lies. */
export interface SavedStep {
  readonly step: number;
  readonly folder: string;
}

/** What a decision depends on, besides the plan of the alarms. */
export interface Situation {
  /** Name and folder of the run, for messages. */
  readonly name: string;
  readonly folder: string;
  /** The step that was seen. */
  readonly step: number;
  /** What was seen at it. */
  readonly alarms: readonly Alarm[];
  /** All events of the run so far. */
  readonly events: readonly EventRecord[];
  /** The newest sound checkpoint of before a step, or of all. */
  readonly checkpointBefore: (step?: number) => SavedStep | undefined;
}

/** A note of a rollback. */
export type RollbackEvent = EventRecord & Required<Pick<EventRecord, "rollback">>;

/** What the run does: note the events, and then go on, save and stop, stop at once, or go back. */
export type Reaction =
  | { readonly kind: "continue"; readonly notes: readonly EventRecord[] }
  | {
      readonly kind: "stop";
      readonly notes: readonly EventRecord[];
      /** Whether the step is saved first. Unsaved, a resumed run would repeat the steps up to this alarm for ever. */
      readonly save: boolean;
      readonly error: RunStopped;
    }
  | { readonly kind: "rollback"; readonly event: RollbackEvent; readonly checkpoint: SavedStep };

/** Of the alarms of one step, the gravest decides. */
const gravity: Readonly<Record<AlarmAction, number>> = { continue: 0, rollback: 1, stop: 2 };

/** Decide what a run does about what it saw at a step. */
export function reactTo(plan: AlarmPlan, situation: Situation): Reaction {
  const { step, alarms } = situation;
  const actionOf = ({ rule }: Alarm): AlarmAction => plan.actions[rule];
  const [gravest, ...others] = [...alarms].sort((a, b) => gravity[actionOf(b)] - gravity[actionOf(a)]);
  if (!gravest) return { kind: "continue", notes: [] };
  if (actionOf(gravest) === "rollback") return goBack(plan, situation, gravest);
  const minor = others
    .filter((other) => actionOf(other) === "continue")
    .map((alarm) => eventOf(step, alarm, "continue"));
  const event = eventOf(step, gravest, actionOf(gravest));
  const notes = [...minor, event];
  return actionOf(gravest) === "stop" ? stop(situation, gravest, notes, event) : { kind: "continue", notes };
}

function stop(
  { name, folder }: Situation,
  { rule, failure }: Alarm,
  notes: readonly EventRecord[],
  event: EventRecord,
): Reaction {
  const error =
    failure === undefined
      ? new AlarmError(`${name}: ${describeEvent(event)} ${savedIn(folder, rule)}`)
      : new DivergenceError(`${name}: ${failure}`);
  return { kind: "stop", notes, save: failure === undefined, error };
}

function goBack({ rollbacks, rateFactor }: AlarmPlan, situation: Situation, alarm: Alarm): Reaction {
  const { name, folder, step, events, checkpointBefore } = situation;
  const done = events.flatMap(({ rollback }) => rollback ?? []);
  const newest = checkpointBefore(step - 1) ?? checkpointBefore(step);
  const checkpoint = newest && newest.step === done.at(-1)?.step ? (checkpointBefore(newest.step) ?? newest) : newest;
  const factor = rateFactorAt(events, step);
  if (checkpoint && done.length < rollbacks) {
    const rollback = { step: checkpoint.step, rateFactor: factor * rateFactor };
    return { kind: "rollback", event: { ...eventOf(step, alarm, "rollback"), rollback }, checkpoint };
  }
  const event = eventOf(step, alarm, "stop");
  const why = checkpoint
    ? `It has gone back ${done.length} time${done.length === 1 ? "" : "s"}, and ${rollbacks} is the limit (alarms.rollbacks); the learning rate was ${shortFactor(factor)} × the configured one.`
    : "There is no checkpoint to go back to.";
  const lost = alarm.failure !== undefined;
  const Stopped = lost ? DivergenceError : AlarmError;
  const rest = lost ? lastGood(checkpointBefore()) : savedIn(folder, alarm.rule);
  const error = new Stopped(`${name}: ${describeEvent(event)} ${why} ${rest}`);
  return { kind: "stop", notes: [event], save: !lost, error };
}

function eventOf(step: number, { rule, message, value, bound, sublayer }: Alarm, action: AlarmAction): EventRecord {
  return { step, rule, message, ...given({ value, bound, sublayer }), action };
}

const savedIn = (folder: string, rule: string): string =>
  `It is saved in ${folder}; resumed, it goes on past this alarm (${rule}).`;

const lastGood = (checkpoint: SavedStep | undefined): string =>
  checkpoint
    ? `The last good checkpoint is step ${checkpoint.step} in ${checkpoint.folder}.`
    : "There is no checkpoint yet.";

/**
 * The alarm of a step whose loss or gradient norm is not finite.
 *
 * @param tensor the first that was not finite, where a repetition of the step has shown it
 */
export function notFiniteAlarm(
  { step, loss }: Pick<MetricRecord, "step" | "loss">,
  tensor: string | undefined,
  newest: SavedStep | undefined,
): Alarm {
  const seen =
    `the ${Number.isFinite(loss) ? "gradient" : "loss"} of step ${step} is not finite; the first tensor that went ` +
    `wrong is ${tensor ?? "not found in a repetition"}. The step was not applied.`;
  const remedy =
    step === 1
      ? "No step came before it, so the learning rate is not the cause: look at the starting weights and the sizes of the model."
      : "Lower the learning rate or the clipping norm.";
  return { rule: "not-finite", message: `${seen} ${remedy}`, failure: `${seen} ${lastGood(newest)} ${remedy}` };
}

/** The square of a smaller gradient is 0 in float32: a smaller ε is then all that a step is divided by. */
const LEAST_SAFE_EPSILON = 1e-22;

/**
 * The alarm of an update that left a tensor, a parameter or a moment, with a value that is not finite.
 *
 * @param optimizer the settings with which the step was made
 */
export function notSavedAlarm(
  step: number,
  tensor: string,
  newest: SavedStep | undefined,
  optimizer: OptimizerRule | Pick<AdamwRule, "epsilon">,
): Alarm & Required<Pick<Alarm, "failure">> {
  const epsilon = "epsilon" in optimizer ? optimizer.epsilon : Infinity;
  const remedy =
    epsilon < LEAST_SAFE_EPSILON
      ? `Raise optimizer.epsilon, which is ${epsilon}: squares of small gradients are 0 in float32, and then a step is divided by it alone; 1e-8 is usual.`
      : "Lower the learning rate.";
  const message = `step ${step} made ${tensor} not finite, so it is not saved. ${lastGood(newest)} ${remedy}`;
  return { rule: "not-finite", message, failure: message };
}

/** The alarm of a loss that has been far above chance for long. */
export function divergedAlarm(
  excursion: Excursion,
  { step, loss }: Pick<MetricRecord, "step" | "loss">,
  chance: number,
  newest: SavedStep | undefined,
): Alarm {
  const failure =
    `the run diverges: at step ${step} the loss (${loss.toFixed(2)}) has been more than ${excursion.bound} nats above chance ` +
    `(${chance.toFixed(2)}) for ${DIVERGED_STEPS} steps. ${lastGood(newest)} Lower the learning rate.`;
  return { ...excursion, failure };
}
