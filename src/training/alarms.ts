// Question: what does a run do when a rule of stability/alarms.ts speaks?
//
// A run's configuration names what differs from the defaults. By default rules speak and the run goes on;
// a step that is not finite and a loss that has diverged stop it, because neither mends itself. A rollback
// goes to a checkpoint from before, with a lower learning rate from there on. How low is never kept
// anywhere but in events.jsonl, so a run that is killed and resumed has the rate of an undisturbed one.

import { z } from "zod";
import { countFromZero } from "../basics/schemas.ts";
import { initialisations } from "../connections/initialisations.ts";
import { residualMaps } from "../connections/manifolds/table.ts";
import { type ConnectionConfig, mapsOf } from "../connections/table.ts";
import type { ModelConfig } from "../model/config.ts";
import { sublayerConnections } from "../model/overrides.ts";
import { sinkhornResult } from "../ops/sinkhorn.ts";
import { type AlarmName, alarmNames, alarmRules, type AlarmSubject, HARDENED } from "../stability/alarms.ts";
import { secondModulus } from "../stability/measure.ts";
import type { EventRecord } from "./records.ts";

/** What a run does when a rule speaks. */
export type AlarmAction = EventRecord["action"];

/** What is changed of a rule; what is absent is as in the default. */
export interface AlarmSetting {
  readonly bound?: number;
  readonly action?: AlarmAction;
}

/** What a run does about alarms, as far as it differs from the defaults. */
export interface AlarmsConfig {
  readonly rules?: Readonly<Partial<Record<AlarmName, "off" | AlarmSetting>>>;
  /** The learning rate after a rollback is this share of the one before; 0.5 by default. */
  readonly rateFactor?: number;
  /** After so many rollbacks the next one stops the run; 3 by default. */
  readonly rollbacks?: number;
}

/** The actions by name. */
export const alarmActions: readonly AlarmAction[] = ["continue", "stop", "rollback"];

const settingSchema = z.strictObject({
  bound: z.number().min(0).exactOptional(),
  action: z.enum(alarmActions).exactOptional(),
});
/** A step that is not finite is not applied: going on would repeat it for ever. */
const notFiniteSchema = z.strictObject({ action: z.enum(["stop", "rollback"]).exactOptional() });
const ruleSchema = z.union([z.literal("off"), settingSchema]).exactOptional();

/** Checks the field `alarms` of a configuration; it fills in nothing. */
export const alarmsSchema: z.ZodType<AlarmsConfig> = z.strictObject({
  rules: z
    .strictObject({
      "not-finite": notFiniteSchema.exactOptional(),
      diverged: ruleSchema,
      gain: ruleSchema,
      "column-error": ruleSchema,
      saturation: ruleSchema,
      spike: ruleSchema,
      gradient: ruleSchema,
    })
    .exactOptional(),
  rateFactor: z.number().positive().max(1).exactOptional(),
  rollbacks: countFromZero().exactOptional(),
});

const defaultActions: Readonly<Record<AlarmName, AlarmAction>> = {
  "not-finite": "stop",
  diverged: "stop",
  gain: "continue",
  "column-error": "continue",
  saturation: "continue",
  spike: "continue",
  gradient: "continue",
};

/** What a run does about alarms, all told. */
export interface AlarmPlan {
  readonly subject: AlarmSubject;
  /** Of the rules that are on. */
  readonly bounds: ReadonlyMap<AlarmName, number>;
  /** Of all rules; those that are off have the default. */
  readonly actions: Readonly<Record<AlarmName, AlarmAction>>;
  readonly rateFactor: number;
  readonly rollbacks: number;
}

/** Whether some rule may send the run back to a checkpoint. */
export function mayRollBack({ rules = {} }: AlarmsConfig = {}): boolean {
  return Object.values(rules).some((setting) => setting !== "off" && setting.action === "rollback");
}

/** The rules of a run with their bounds and actions. */
export function planAlarms(model: ModelConfig, config: AlarmsConfig = {}): AlarmPlan {
  const subject = subjectOf(model);
  const bounds = new Map<AlarmName, number>();
  const actions = { ...defaultActions };
  for (const name of alarmNames) {
    const setting = config.rules?.[name] ?? {};
    if (setting === "off") continue;
    bounds.set(name, setting.bound ?? alarmRules[name].bound(subject));
    actions[name] = setting.action ?? defaultActions[name];
  }
  return { subject, bounds, actions, rateFactor: config.rateFactor ?? 0.5, rollbacks: config.rollbacks ?? 3 };
}

/** Rules that never speak in a run of this model, because it has nothing that they measure. */
export function silentAlarms(model: ModelConfig): readonly AlarmName[] {
  const { doublyStochastic, startsMixing } = subjectOf(model);
  return [
    ...(sublayerConnections(model).some(mixes) ? [] : (["gain"] as const)),
    ...(doublyStochastic.some(Boolean) ? [] : (["column-error"] as const)),
    ...(startsMixing.some(Boolean) ? [] : (["saturation"] as const)),
  ];
}

/** Whether a connection has an H_res that is measured. */
const mixes = (connection: ConnectionConfig): boolean => mapsOf(connection).res;

/** Maps by Sinkhorn-Knopp, which means to be doubly stochastic and guarantees only its last normalisation. */
const meantToBe: ReadonlySet<string> = new Set(["sinkhorn", "sinkhorn-implicit", "sinkhorn-adaptive"]);

function subjectOf(model: ModelConfig): AlarmSubject {
  const sublayers = sublayerConnections(model);
  const doublyStochastic = sublayers.map((connection) => {
    if (connection.kind !== "mhc" || !mixes(connection)) return false;
    const { residualMap = "sinkhorn" } = connection;
    return meantToBe.has(residualMap) || residualMaps[residualMap].guarantee.columns;
  });
  return {
    chance: Math.log(model.vocabulary),
    doublyStochastic,
    constrained: sublayers.every((connection, index) => !mixes(connection) || doublyStochastic[index]),
    startsMixing: sublayers.map(startsMixing),
  };
}

/** Whether H_res is made of exp(logits), and those of the start leave a matrix that is not hardened. */
function startsMixing(connection: ConnectionConfig): boolean {
  if (connection.kind !== "mhc" || !mixes(connection)) return false;
  const { streams: n, iterations, residualMap = "sinkhorn", initialisation = "default", active } = connection;
  if (!residualMaps[residualMap].exponential) return false;
  // Streams that are not active keep a |λ₂| of 1 whatever the others do.
  if (active !== undefined) return false;
  const logits = Float64Array.from(initialisations[initialisation].res(n));
  return secondModulus(sinkhornResult(logits, n, iterations), n) <= HARDENED;
}

/**
 * Share of the configured learning rate at a step: that of the last rollback to before it. A step of
 * before all rollbacks that is done again, because its checkpoint was damaged, has its old rate again.
 */
export function rateFactorAt(events: readonly EventRecord[], step: number): number {
  return events.findLast(({ rollback }) => rollback && rollback.step < step)?.rollback?.rateFactor ?? 1;
}

/** An alarm and what was done, in one line. */
export function describeEvent({ step, rule, message, action, rollback }: EventRecord): string {
  const done = rollback
    ? ` Back to step ${rollback.step}, with ${shortFactor(rollback.rateFactor)} × the configured learning rate from there on.`
    : action === "stop"
      ? " The run stops."
      : "";
  return `alarm "${rule}" at step ${step}: ${message}${done}`;
}

/** A factor in four digits: products of decimal factors have many. */
export const shortFactor = (factor: number): string => String(Number(factor.toPrecision(4)));
