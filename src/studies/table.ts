// Question: which studies are there, by name?

import { clipping } from "./clipping.ts";
import { constraints } from "./constraints.ts";
import { dynamic } from "./dynamic.ts";
import { layers } from "./layers.ts";
import { optimizers } from "./optimizers.ts";
import { reasoning } from "./reasoning.ts";
import { generalisation } from "./generalisation.ts";
import { robustness } from "./robustness.ts";
import { streams } from "./streams.ts";
import { variability } from "./variability.ts";
import type { Study } from "./study.ts";

/** The names of all studies. */
export const studyNames = [
  "robustness",
  "reasoning",
  "constraints",
  "dynamic",
  "optimizers",
  "clipping",
  "generalisation",
  "variability",
  "streams",
  "layers",
] as const;

/** One of the names of `studies`. */
export type StudyName = (typeof studyNames)[number];

/** Every study by the name that the command line uses. */
export const studies: Readonly<Record<StudyName, Study>> = {
  robustness,
  reasoning,
  constraints,
  dynamic,
  optimizers,
  clipping,
  generalisation,
  variability,
  streams,
  layers,
};
