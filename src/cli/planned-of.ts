// Question: of which model is a plan, and what is said of it?

import type { ReadModel } from "../planning/here/hugging-face.ts";
import { readPlannedModel } from "../planning/here/model-file.ts";
import { plannedModel } from "../planning/presets.ts";

/** A preset, or a model's file or folder; with --context instead of its own. */
export interface PlannedChoice {
  readonly preset: string;
  readonly model?: string;
  readonly context?: number;
}

export function plannedOf({ preset, model: place, context }: PlannedChoice): ReadModel {
  const { model, notes }: ReadModel =
    place === undefined ? { model: plannedModel(preset), notes: [] } : readPlannedModel(place);
  if (context === undefined) return { model, notes };
  return { model: { ...model, context }, notes: notes.filter((note) => !note.includes("--context")) };
}
