// Question: which trainings show that every mesh of four ranks trains as one process does?
//
// Every way in which four ranks stand on the three axes, with every model that fits it. The program of one of the ranks is
// every-mesh-rank.ts.

import type { TrainingConfig } from "../../src/training/config.ts";
import { type MeshSize, showMesh } from "../../src/training/parallel/mesh.ts";
import { mixture, tinyTraining } from "../training/tiny.ts";

export const RANKS = 4;
export const STEPS = 20;

export const meshes: readonly MeshSize[] = [1, 2, 4].flatMap((pipeline) =>
  [1, 2, 4]
    .filter((expert) => RANKS % (pipeline * expert) === 0)
    .map((expert) => ({ data: RANKS / pipeline / expert, pipeline, expert })),
);

/** Two sequences for each of four ranks; stages pass them on one by one. */
export const models: Readonly<Record<string, TrainingConfig>> = Object.fromEntries(
  (["residual", "mhc"] as const).flatMap((kind) =>
    [["dense", {}] as const, ["mixture", mixture] as const].map(([feedForward, changes]) => [
      `${kind}, ${feedForward}`,
      { ...tinyTraining(kind, changes), batch: 1, accumulate: 2 * RANKS },
    ]),
  ),
);

/** One training of the job. */
export interface Asked {
  readonly model: string;
  readonly size: MeshSize;
  /** What else of a rank's numbers is shared; each rank keeps its part of the moments alone. */
  readonly sharded: "moments" | "gradients";
}

export const nameOf = ({ model, size, sharded }: Asked): string => `${model} on ${showMesh(size)} sharing ${sharded}`;

/** Only a mixture has experts to share. */
export const fits = (model: string, size: MeshSize): boolean =>
  size.expert === 1 || models[model]!.model.feedForward !== undefined;

/** Stages add their gradients up before they send them, so there is one way of sharing numbers for a pipeline. */
export const asked: readonly Asked[] = Object.keys(models).flatMap((model) =>
  meshes
    .filter((size) => fits(model, size))
    .flatMap((size) =>
      (size.pipeline === 1 ? (["moments", "gradients"] as const) : (["moments"] as const)).map((sharded): Asked => ({
        model,
        size,
        sharded,
      })),
    ),
);
