// Question: what does a run's configuration say of the connections in its checkpoints?
//
// The names of their tensors do not tell the convention; the configuration does. A run in which all sublayers have the
// same one can be converted as a whole.

import path from "node:path";
import { ConversionError } from "../connections/conventions/convert.ts";
import type { StreamsEnd } from "../connections/conventions/convention.ts";
import { endOf } from "../connections/conventions/ending.ts";
import type { ConventionName } from "../connections/conventions/table.ts";
import { type ConnectionConfig, mapsOf } from "../connections/table.ts";
import { sublayerConnections } from "../model/overrides.ts";
import { latestCheckpoint, weightsFile } from "../runs/checkpoint.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";

/** The convention of a connection, or why it has none. */
export type KnownConvention =
  | { readonly convention: ConventionName; readonly skip?: never }
  | { readonly skip: string; readonly convention?: never };

/** A run's last checkpoint, and what is known of its connections. */
export interface RunConnections {
  /** The file with the model's tensors. */
  readonly file: string;
  readonly config: TrainingConfig;
  /** The smallest number of Sinkhorn-Knopp iterations; undefined where no connection iterates. */
  readonly iterations: number | undefined;
  /** Of a connection by its name, such as layers.0.attention.connection. */
  conventionOf(name: string): KnownConvention | undefined;
}

/**
 * Looks at a run folder.
 *
 * @throws Error when it is none, or has no checkpoint
 */
export function openRunConnections(folder: string): RunConnections {
  const config = configOf(folder);
  const place = latestCheckpoint(folder);
  if (!place) throw new Error(`${folder} has no checkpoint yet; train it first: birkhoff train --resume ${folder}`);
  const connections = sublayerConnections(config.model);
  return {
    file: weightsFile(place.folder),
    config,
    iterations: iterationsOf(config),
    conventionOf(name) {
      const [, layer, role] = /^layers\.(\d+)\.(attention|feedForward)\.connection$/.exec(name) ?? [];
      const connection = connections[2 * Number(layer) + (role === "attention" ? 0 : 1)];
      return connection && conventionOf(connection);
    },
  };
}

const configOf = (folder: string): TrainingConfig =>
  parseTrainingConfig(openRunFolder(folder).config, path.join(folder, "config.json"));

/** The smallest number of Sinkhorn-Knopp iterations of a run's connections; undefined where none of them iterates. */
export const runIterations = (folder: string): number | undefined => iterationsOf(configOf(folder));

function iterationsOf({ model }: TrainingConfig): number | undefined {
  const iterations = sublayerConnections(model).flatMap((each) =>
    each.kind === "mhc" && mapsOf(each).res ? [each.iterations] : [],
  );
  return iterations.length > 0 ? Math.min(...iterations) : undefined;
}

/** Whether a run is a residual model, which can be given streams. */
export const isResidualRun = (folder: string): boolean =>
  sublayerConnections(configOf(folder).model).every(({ kind }) => kind === "residual");

/** The convention that all connections of a run have, and how its streams end where they are mHC's. */
export function sharedConvention(
  folder: string,
  { config }: RunConnections,
): { readonly convention: ConventionName; readonly end?: StreamsEnd } {
  const all = sublayerConnections(config.model);
  const known = all.map(conventionOf);
  const lacking = known.findIndex(({ skip }) => skip !== undefined);
  if (lacking >= 0)
    throw new ConversionError(
      `${folder} cannot be converted: the connection of sublayer ${lacking} is in no convention (${known[lacking]!.skip}). Only runs whose connections are HC's, or mHC's with Sinkhorn-Knopp, can`,
    );
  const names = new Set(known.map(({ convention }) => convention!));
  if (names.size > 1)
    throw new ConversionError(
      `${folder} has connections in several conventions (${[...names].join(", ")}); a file is converted from one`,
    );
  const [first] = all;
  const [convention] = [...names];
  const end = first?.kind === "mhc" ? endOf(first.convention ?? "paper", first.collapse) : undefined;
  return { convention: convention!, ...(end ? { end } : {}) };
}

function conventionOf(config: ConnectionConfig): KnownConvention {
  if (config.kind === "mhc") {
    if ((config.residualMap ?? "sinkhorn") !== "sinkhorn")
      return { skip: `its residual map is ${config.residualMap}, not Sinkhorn's` };
    // One that learns none has no tensors to convert.
    if (!["all", "none", undefined].includes(config.maps))
      return { skip: `it learns only some of its maps (maps: ${config.maps})` };
    if ((config.dynamic ?? "token") !== "token" || (config.group ?? 1) > 1)
      return { skip: "its maps do not depend on each token alone" };
    if (config.active !== undefined) return { skip: "it mixes and writes only some of its streams" };
    return { convention: config.convention ?? "paper" };
  }
  if (config.kind !== "hc") return { skip: `it is ${config.kind}` };
  if (config.dynamic === false) return { convention: "hc-static" };
  return { convention: config.tanh === false ? "hc-dynamic-no-tanh" : "hc-dynamic" };
}
