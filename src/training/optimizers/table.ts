// Question: which optimizers are there?
//
// Each has a file of its own: formulas, settings with their usual values, states. A configuration names one as
// optimizer.kind; without a name it is AdamW.

import { z } from "zod";
import type { Role } from "../../graph/parameters.ts";
import { adafactorEntry, type AdafactorRule } from "./adafactor.ts";
import { adamwEntry, type AdamwRule } from "./adamw.ts";
import { type ClipConfig, clipSchema } from "./clipping.ts";
import { lionEntry, type LionRule } from "./lion.ts";
import { muonEntry, type MuonRule } from "./muon.ts";
import type { OptimizerEntry } from "./rule.ts";
import { setting, settingList } from "./setting-rules.ts";
import { sgdEntry, type SgdRule } from "./sgd.ts";

/** How parameters follow their gradients: an optimizer by its kind, with its own settings. */
export type OptimizerRule = AdamwRule | MuonRule | LionRule | SgdRule | AdafactorRule;

/** The name of an optimizer: "adamw", "muon", "lion", "sgd" or "adafactor". */
export type OptimizerKind = Exclude<OptimizerRule["kind"], undefined>;

/** What all optimizers have. */
export interface DecayAndClip {
  /** λ: a step takes away learning rate · λ of a parameter that decays; of "sgd" it is a part of the gradient. */
  readonly weightDecay: number;
  /** Roles of the parameters that decay; norms, embeddings and connections do not by default. */
  readonly decayed: readonly Role[];
  /** Largest norm of all gradients together, "none", or adaptive. */
  readonly clip: ClipConfig;
}

/** An optimizer with all its settings, but for its rate. */
export type OptimizerSettings = OptimizerRule & DecayAndClip;

const entries = {
  adamw: adamwEntry,
  muon: muonEntry,
  lion: lionEntry,
  sgd: sgdEntry,
  adafactor: adafactorEntry,
} as const;

type AnyEntry = OptimizerEntry<{ readonly kind?: string }>;

/** The entry of an optimizer; AdamW's where none is named. */
export const optimizerEntry = (kind: OptimizerKind = "adamw"): AnyEntry => entries[kind];

export const optimizerKinds: readonly OptimizerKind[] = Object.keys(entries) as OptimizerKind[];

/** A schema for each setting of an optimizer, with what all have. */
export function settingsOf(kind: OptimizerKind): Record<string, z.ZodType> {
  const { settings, usual } = optimizerEntry(kind);
  return {
    ...settings,
    weightDecay: setting("weightDecay").default(usual.weightDecay),
    decayed: settingList(["weight", "embedding", "norm", "connection"] as const).default(["weight"]),
    clip: clipSchema.default(1),
  };
}

/** The settings of the mHC paper (Table 5), for models built like its own, where the optimizer has AdamW's. */
export const paperSettings = (kind: OptimizerKind = "adamw"): Readonly<Record<string, number>> =>
  kind === "adamw" || kind === "muon" ? { beta1: 0.9, beta2: 0.95, epsilon: 1e-20, weightDecay: 0.1 } : {};

/** Every setting of an optimizer, with its usual value. */
export const usualSettings = (kind: OptimizerKind): Readonly<Record<string, unknown>> =>
  z.object(settingsOf(kind)).parse({});

/**
 * What `schedule` [3] holds at a step.
 *
 * @param step counts from 1
 */
export const optimizerSchedule = (
  rate: number,
  step: number,
  settings: OptimizerRule,
): readonly [rate: number, second: number, third: number] =>
  optimizerEntry(settings.kind).schedule(rate, step, settings);
